#include "wire/http2/client_exchange.h"

#include <fmt/format.h>
#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <utility>

#include "core/assert.h"
#include "wire/http2/memory.h"

namespace datapunk::mesh::wire::http2 {

namespace {

std::string_view text(const std::uint8_t* bytes, std::size_t size) {
    return {reinterpret_cast<const char*>(bytes), size};
}

// nghttp2 does not write through it.
std::uint8_t* bytes_of(const std::string& from) {
    return reinterpret_cast<std::uint8_t*>(const_cast<char*>(from.data()));
}

template <class T, void (*destroy)(T*)>
struct Deleter {
    void operator()(T* thing) const noexcept { destroy(thing); }
};

using CallbacksPtr = std::unique_ptr<
    nghttp2_session_callbacks,
    Deleter<nghttp2_session_callbacks, &nghttp2_session_callbacks_del>>;
using OptionPtr = std::unique_ptr<nghttp2_option, Deleter<nghttp2_option, &nghttp2_option_del>>;

}  // namespace

std::string_view find_field(const std::vector<H2Field>& fields, std::string_view name) noexcept {
    const auto found = std::find_if(fields.begin(), fields.end(), [name](const H2Field& field) {
        return field.name == name;
    });
    return found == fields.end() ? std::string_view() : std::string_view(found->value);
}

struct ClientExchange::Callbacks {
    static ClientExchange& self(void* user_data) {
        return *static_cast<ClientExchange*>(user_data);
    }

    static int fail(ClientExchange& exchange, std::string why) {
        if (exchange.problem_.empty()) exchange.problem_ = std::move(why);
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }

    static int on_begin_headers(nghttp2_session*, const nghttp2_frame*, void* user_data) {
        self(user_data).fields_bytes_ = 0;
        return 0;
    }

    static int on_header(
        nghttp2_session*,
        const nghttp2_frame* frame,
        const std::uint8_t* name,
        std::size_t name_bytes,
        const std::uint8_t* value,
        std::size_t value_bytes,
        std::uint8_t /*flags*/,
        void* user_data
    ) {
        ClientExchange& exchange = self(user_data);
        if (frame->hd.stream_id != exchange.stream_) return 0;
        exchange.fields_bytes_ += name_bytes + value_bytes;
        if (exchange.fields_bytes_ > exchange.limits_.fields_bytes_max) {
            return fail(
                exchange,
                fmt::format("header fields over {} bytes", exchange.limits_.fields_bytes_max)
            );
        }
        std::vector<H2Field>& fields =
            exchange.is_final_ ? exchange.answer_.trailers : exchange.answer_.headers;
        fields.push_back(
            {std::string(text(name, name_bytes)), std::string(text(value, value_bytes))}
        );
        return 0;
    }

    static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* user_data) {
        ClientExchange& exchange = self(user_data);
        const bool is_headers = frame->hd.type == NGHTTP2_HEADERS;
        if (!is_headers || frame->hd.stream_id != exchange.stream_ || exchange.is_final_) return 0;
        // nghttp2 lets nothing through but a well-formed status.
        if (find_field(exchange.answer_.headers, ":status").starts_with('1')) {
            exchange.answer_.headers.clear();
        } else {
            exchange.is_final_ = true;
        }
        return 0;
    }

    static int on_data(
        nghttp2_session*,
        std::uint8_t /*flags*/,
        std::int32_t stream,
        const std::uint8_t* data,
        std::size_t bytes,
        void* user_data
    ) {
        ClientExchange& exchange = self(user_data);
        if (stream != exchange.stream_) return 0;
        std::string& body = exchange.answer_.body;
        if (body.size() + bytes > exchange.limits_.body_bytes_max) {
            return fail(
                exchange, fmt::format("a body over {} bytes", exchange.limits_.body_bytes_max)
            );
        }
        body += text(data, bytes);
        return 0;
    }

    static int on_close(
        nghttp2_session*, std::int32_t stream, std::uint32_t error, void* user_data
    ) {
        ClientExchange& exchange = self(user_data);
        if (stream != exchange.stream_) return 0;
        // NO_ERROR before the end of the answer: the server wants no more of the request.
        if (error == NGHTTP2_NO_ERROR && exchange.is_final_) {
            exchange.is_done_ = true;
            return 0;
        }
        if (exchange.problem_.empty()) {
            exchange.problem_ =
                fmt::format("the stream was reset ({})", nghttp2_http2_strerror(error));
        }
        return 0;
    }

    static ssize_t read_body(
        nghttp2_session*,
        std::int32_t /*stream*/,
        std::uint8_t* into,
        std::size_t room,
        std::uint32_t* flags,
        nghttp2_data_source* source,
        void* /*user_data*/
    ) {
        ClientExchange& exchange = self(source->ptr);
        const std::size_t rest = exchange.request_body_.size() - exchange.body_sent_;
        const std::size_t bytes = std::min(room, rest);
        std::memcpy(into, exchange.request_body_.data() + exchange.body_sent_, bytes);
        exchange.body_sent_ += bytes;
        if (bytes == rest) *flags |= NGHTTP2_DATA_FLAG_EOF;
        return static_cast<ssize_t>(bytes);
    }

    static CallbacksPtr make() {
        nghttp2_session_callbacks* made = nullptr;
        MESH_ASSERT(nghttp2_session_callbacks_new(&made) == 0);
        nghttp2_session_callbacks_set_on_begin_headers_callback(made, &on_begin_headers);
        nghttp2_session_callbacks_set_on_header_callback(made, &on_header);
        nghttp2_session_callbacks_set_on_frame_recv_callback(made, &on_frame);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made, &on_data);
        nghttp2_session_callbacks_set_on_stream_close_callback(made, &on_close);
        return CallbacksPtr(made);
    }
};

ClientExchange::ClientExchange(ExchangeLimits limits) : limits_(limits) {
    nghttp2_option* made = nullptr;
    MESH_ASSERT(nghttp2_option_new(&made) == 0);
    const OptionPtr options(made);
    // Unanswered pings and settings; nghttp2's default is 1000.
    nghttp2_option_set_max_outbound_ack(options.get(), 100);
    const CallbacksPtr callbacks = Callbacks::make();
    MESH_ASSERT(
        nghttp2_session_client_new3(
            &session_, callbacks.get(), this, options.get(), session_memory()
        ) == 0
    );
}

ClientExchange::~ClientExchange() {
    nghttp2_session_del(session_);
}

Error ClientExchange::broken(std::string_view why) const {
    return {
        .code = Code::unavailable,
        .what = fmt::format("HTTP/2: {}", why),
        .source = Source::upstream
    };
}

Result<> ClientExchange::start(const std::vector<H2Field>& fields, std::string body) {
    MESH_ASSERT(stream_ < 0);
    request_body_ = std::move(body);
    std::vector<nghttp2_nv> pairs;
    for (const H2Field& field : fields) {
        const bool is_fit =
            nghttp2_check_header_value(bytes_of(field.value), field.value.size()) != 0 &&
            (field.name.starts_with(':') ||
             nghttp2_check_header_name(bytes_of(field.name), field.name.size()) != 0);
        if (!is_fit) {
            return Error{
                .code = Code::invalid,
                .what = fmt::format("\"{}\" is not fit for HTTP/2", field.name.substr(0, 80))
            };
        }
        pairs.push_back(
            {.name = bytes_of(field.name),
             .value = bytes_of(field.value),
             .namelen = field.name.size(),
             .valuelen = field.value.size(),
             .flags = NGHTTP2_NV_FLAG_NONE}
        );
    }
    const std::array<nghttp2_settings_entry, 3> settings = {{
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 0},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<std::uint32_t>(limits_.fields_bytes_max)
        },
    }};
    nghttp2_data_provider provider{.source = {.ptr = this}, .read_callback = &Callbacks::read_body};
    int problem =
        nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
    if (problem == 0) {
        stream_ = nghttp2_submit_request(
            session_,
            nullptr,
            pairs.data(),
            pairs.size(),
            request_body_.empty() ? nullptr : &provider,
            nullptr
        );
        problem = std::min(stream_, 0);
    }
    if (problem != 0) return broken(nghttp2_strerror(problem));
    return Ok{};
}

std::string ClientExchange::take_output() {
    collect_output();
    return std::exchange(output_, {});
}

void ClientExchange::collect_output() {
    for (;;) {
        const std::uint8_t* bytes = nullptr;
        const ssize_t size = nghttp2_session_mem_send(session_, &bytes);
        if (size <= 0) return;
        output_ += text(bytes, static_cast<std::size_t>(size));
    }
}

Result<> ClientExchange::feed(std::string_view bytes) {
    traffic_bytes_ += bytes.size();
    if (traffic_bytes_ > limits_.traffic_bytes_max) {
        return broken(fmt::format("over {} bytes were received", limits_.traffic_bytes_max));
    }
    const ssize_t used = nghttp2_session_mem_recv(
        session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()
    );
    if (!problem_.empty()) return broken(problem_);
    if (used < 0) return broken(nghttp2_strerror(static_cast<int>(used)));
    // A session that has said goodbye, or heard it, wants nothing more.
    collect_output();
    if (!is_done_ && nghttp2_session_want_read(session_) == 0) {
        return broken("the connection was given up before the answer");
    }
    return Ok{};
}

}  // namespace datapunk::mesh::wire::http2
