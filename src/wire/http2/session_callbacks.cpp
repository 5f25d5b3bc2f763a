#include "wire/http2/session_callbacks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "core/assert.h"

namespace datapunk::mesh::wire::http2 {

namespace {

// A head beyond the limit is answered 431; beyond that many times the limit it is an attack.
constexpr std::size_t kHeadFactor = 4;
constexpr std::size_t kFrameHeadBytes = 9;

std::string_view text(const std::uint8_t* bytes, std::size_t size) {
    return {reinterpret_cast<const char*>(bytes), size};
}

Session& session_of(void* user_data) {
    return *static_cast<Session*>(user_data);
}

// nghttp2 would leave the field out and go on.
int on_invalid_header(nghttp2_session*, const nghttp2_frame*, const std::uint8_t*, std::size_t, const std::uint8_t*, std::size_t, std::uint8_t, void*) {
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

}  // namespace

int SessionCallbacks::on_begin_headers(
    nghttp2_session* nghttp2, const nghttp2_frame* frame, void* user_data
) {
    Session& session = session_of(user_data);
    session.midway_ = true;
    const bool is_new =
        session.role_ == Session::Role::server && frame->headers.cat == NGHTTP2_HCAT_REQUEST;
    if (is_new) {
        H2Stream& stream = session.make_stream(frame->hd.stream_id);
        nghttp2_session_set_stream_user_data(nghttp2, stream.id_, &stream);
        return 0;
    }
    if (H2Stream* const stream = stream_of(nghttp2, frame->hd.stream_id); stream != nullptr)
        (stream->has_head_ ? stream->trailers_ : stream->head_).clear();
    return 0;
}

int SessionCallbacks::on_header(
    nghttp2_session* nghttp2,
    const nghttp2_frame* frame,
    const std::uint8_t* name,
    std::size_t name_bytes,
    const std::uint8_t* value,
    std::size_t value_bytes,
    std::uint8_t /*flags*/,
    void* user_data
) {
    Session& session = session_of(user_data);
    H2Stream* const stream = stream_of(nghttp2, frame->hd.stream_id);
    if (stream == nullptr) return 0;
    HeadBlock& block = stream->has_head_ ? stream->trailers_ : stream->head_;
    const BlockLimits& limits = stream->has_head_ ? session.limits_.trailers : session.limits_.head;
    block.add(text(name, name_bytes), text(value, value_bytes), limits);
    if (block.bytes() <= kHeadFactor * limits.bytes_max) return 0;
    session.stop(
        Abuse::head_too_large,
        H2Error::enhance_your_calm,
        fmt::format("a header block over {} bytes", kHeadFactor * limits.bytes_max)
    );
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

int SessionCallbacks::on_frame(
    nghttp2_session* nghttp2, const nghttp2_frame* frame, void* user_data
) {
    Session& session = session_of(user_data);
    switch (frame->hd.type) {
        case NGHTTP2_PING:
            if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) return 0;
            ++session.pongs_;
            if (std::memcmp(frame->ping.opaque_data, kEndPing, 8) == 0)
                session.end_was_seen_ = true;
            return 0;
        case NGHTTP2_GOAWAY:
            session.is_going_ = true;
            return 0;
        case NGHTTP2_SETTINGS:
            if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) session.has_settings_ = true;
            return 0;
        case NGHTTP2_HEADERS:
            session.midway_ = false;
            break;
        case NGHTTP2_DATA:
            break;
        default:
            return 0;
    }
    H2Stream* const stream = stream_of(nghttp2, frame->hd.stream_id);
    if (stream == nullptr) return 0;
    const bool ended = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (frame->hd.type == NGHTTP2_HEADERS && !stream->has_head_) {
        const bool is_interim =
            session.role_ == Session::Role::client && stream->head_.status() / 100 == 1;
        if (!is_interim) {
            stream->has_head_ = true;
            stream->ended_with_head_ = ended;
        } else if (stream->interim_.size() < session.limits_.interim_max) {
            stream->interim_.push_back(std::move(stream->head_));
            stream->head_ = {};
        }
    }
    stream->has_ended_ |= ended;
    session.note(*stream);
    return 0;
}

int SessionCallbacks::on_data(
    nghttp2_session* nghttp2,
    std::uint8_t /*flags*/,
    std::int32_t id,
    const std::uint8_t* data,
    std::size_t bytes,
    void* user_data
) {
    Session& session = session_of(user_data);
    H2Stream* const stream = stream_of(nghttp2, id);
    if (stream == nullptr || stream->is_released_) {
        nghttp2_session_consume(nghttp2, id, bytes);
        return 0;
    }
    stream->arriving_ += text(data, bytes);
    stream->unacknowledged_ += bytes;
    session.note(*stream);
    return 0;
}

int SessionCallbacks::on_invalid_frame(
    nghttp2_session*, const nghttp2_frame* frame, int code, void* user_data
) {
    Session& session = session_of(user_data);
    session.midway_ = false;
    if (session.problem_.empty())
        session.problem_ = fmt::format(
            "{} (frame type {}, stream {})",
            nghttp2_strerror(code),
            frame->hd.type,
            frame->hd.stream_id
        );
    return 0;
}

int SessionCallbacks::on_close(
    nghttp2_session* nghttp2, std::int32_t id, std::uint32_t error, void* user_data
) {
    Session& session = session_of(user_data);
    session.midway_ = false;
    H2Stream* const stream = stream_of(nghttp2, id);
    if (stream == nullptr) return 0;
    stream->is_closed_ = true;
    stream->error_ = error;
    stream->outgoing_ = {};
    if (stream->is_released_) {
        session.recycle(*stream);
    } else {
        session.note(*stream);
    }
    return 0;
}

// Streams that end without an answer have cost us something for nothing, whoever ended them:
// the peer by RST_STREAM, or we for an error that it made on purpose (CVE-2025-8671).
int SessionCallbacks::on_sent(
    nghttp2_session* nghttp2, const nghttp2_frame* frame, void* user_data
) {
    Session& session = session_of(user_data);
    const bool is_message = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    if (is_message && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        H2Stream* const stream = stream_of(nghttp2, frame->hd.stream_id);
        if (stream == nullptr) return 0;
        stream->is_all_sent_ = true;
        if (stream->is_released_ && !stream->has_ended_)
            nghttp2_submit_rst_stream(nghttp2, NGHTTP2_FLAG_NONE, stream->id_, NGHTTP2_NO_ERROR);
        return 0;
    }
    if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR &&
        session.abuse_ == Abuse::none)
        session.abuse_ = Abuse::protocol_error;
    if (frame->hd.type == NGHTTP2_RST_STREAM) {
        session.reset_here_[session.next_reset_++ % Session::kResetKept] = frame->hd.stream_id;
        const std::uint32_t code = frame->rst_stream.error_code;
        if (code == NGHTTP2_PROTOCOL_ERROR) ++session.malformed_;
        const bool is_theirs = code == NGHTTP2_PROTOCOL_ERROR ||
                               code == NGHTTP2_FLOW_CONTROL_ERROR ||
                               code == NGHTTP2_STREAM_CLOSED || code == NGHTTP2_FRAME_SIZE_ERROR ||
                               code == NGHTTP2_REFUSED_STREAM;
        if (session.role_ == Session::Role::server && is_theirs && !session.resets_.spend())
            session.stop(Abuse::reset_flood, H2Error::enhance_your_calm, "too many failed streams");
    }
    return 0;
}

ssize_t SessionCallbacks::read_body(
    nghttp2_session* nghttp2,
    std::int32_t id,
    std::uint8_t* /*into*/,
    std::size_t room,
    std::uint32_t* flags,
    nghttp2_data_source* /*source*/,
    void* user_data
) {
    Session& session = session_of(user_data);
    H2Stream* const found = stream_of(nghttp2, id);
    if (found == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    H2Stream& stream = *found;
    const std::size_t bytes = std::min(room, stream.outgoing_.size());
    const bool is_end = stream.outgoing_last_ && bytes == stream.outgoing_.size();
    if (bytes == 0 && !is_end) return NGHTTP2_ERR_DEFERRED;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (is_end) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        stream.sent_end_ = true;
        if (stream.sent_trailers_ != nullptr && !stream.sent_trailers_->empty()) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            session.fill_pairs(*stream.sent_trailers_);
            nghttp2_submit_trailer(
                nghttp2, id, session.pairs_->list.data(), session.pairs_->list.size()
            );
        }
        if (bytes == 0) session.note(stream);
    }
    return static_cast<ssize_t>(bytes);
}

int SessionCallbacks::send_data(
    nghttp2_session* nghttp2,
    nghttp2_frame* frame,
    const std::uint8_t* head,
    std::size_t bytes,
    nghttp2_data_source* /*source*/,
    void* user_data
) {
    Session& session = session_of(user_data);
    if (session.output_.size() >= session.limits_.output_bytes_max) return NGHTTP2_ERR_WOULDBLOCK;
    // Released while its frame waited for room.
    H2Stream* const found = stream_of(nghttp2, frame->hd.stream_id);
    if (found == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    H2Stream& stream = *found;
    session.output_ += text(head, kFrameHeadBytes);
    session.output_ += stream.outgoing_.substr(0, bytes);
    stream.outgoing_.remove_prefix(bytes);
    session.frames_.earn(kFramesEarned);
    if (stream.outgoing_.empty()) session.note(stream);
    return 0;
}

CallbacksPtr SessionCallbacks::make() {
    nghttp2_session_callbacks* made = nullptr;
    MESH_ASSERT(nghttp2_session_callbacks_new(&made) == 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(made, &on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(made, &on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(made, &on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(made, &on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made, &on_data);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(made, &on_invalid_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(made, &on_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(made, &on_sent);
    nghttp2_session_callbacks_set_send_data_callback(made, &send_data);
    return CallbacksPtr(made);
}

}  // namespace datapunk::mesh::wire::http2
