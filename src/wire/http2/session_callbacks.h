#pragma once

// What nghttp2 calls while it reads and writes for a Session. Included by session.cpp and
// session_callbacks.cpp only.

#include <nghttp2/nghttp2.h>

#include <memory>
#include <vector>

#include "wire/http2/session.h"

namespace datapunk::mesh::wire::http2 {

// A frame of data or a head, either way, earns some that carry nothing: window updates belong to
// data.
inline constexpr double kFramesEarned = 4;
// What comes back from announce_end().
inline constexpr std::uint8_t kEndPing[8] = {'e', 'n', 'd', 0, 0, 0, 0, 0};

struct CallbacksDeleter {
    void operator()(nghttp2_session_callbacks* callbacks) const noexcept {
        nghttp2_session_callbacks_del(callbacks);
    }
};

using CallbacksPtr = std::unique_ptr<nghttp2_session_callbacks, CallbacksDeleter>;

struct SessionPairs {
    std::vector<nghttp2_nv> list;
};

struct SessionCallbacks {
    static CallbacksPtr make();

    static H2Stream* stream_of(nghttp2_session* session, std::int32_t id) {
        return static_cast<H2Stream*>(nghttp2_session_get_stream_user_data(session, id));
    }

    static ssize_t read_body(
        nghttp2_session* nghttp2,
        std::int32_t id,
        std::uint8_t* into,
        std::size_t room,
        std::uint32_t* flags,
        nghttp2_data_source* source,
        void* user_data
    );

    static int on_begin_headers(
        nghttp2_session* nghttp2, const nghttp2_frame* frame, void* user_data
    );
    static int on_header(
        nghttp2_session* nghttp2,
        const nghttp2_frame* frame,
        const std::uint8_t* name,
        std::size_t name_bytes,
        const std::uint8_t* value,
        std::size_t value_bytes,
        std::uint8_t flags,
        void* user_data
    );
    static int on_frame(nghttp2_session* nghttp2, const nghttp2_frame* frame, void* user_data);
    static int on_data(
        nghttp2_session* nghttp2,
        std::uint8_t flags,
        std::int32_t id,
        const std::uint8_t* data,
        std::size_t bytes,
        void* user_data
    );
    static int on_invalid_frame(
        nghttp2_session*, const nghttp2_frame* frame, int code, void* user_data
    );
    static int on_close(
        nghttp2_session* nghttp2, std::int32_t id, std::uint32_t error, void* user_data
    );
    static int on_sent(nghttp2_session* nghttp2, const nghttp2_frame* frame, void* user_data);
    static int send_data(
        nghttp2_session* nghttp2,
        nghttp2_frame* frame,
        const std::uint8_t* head,
        std::size_t bytes,
        nghttp2_data_source* source,
        void* user_data
    );
};

}  // namespace datapunk::mesh::wire::http2
