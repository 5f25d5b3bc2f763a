#include "proxy/http_connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string_view>

#include "http/date.h"
#include "proxy/exchange.h"
#include "proxy/http1_caller.h"
#include "proxy/http2_connection.h"
#include "proxy/proxy.h"

namespace datapunk::mesh::proxy {

using http::HeadRead;

namespace {

// After refusing a request its sender may still be writing: read that far before closing, or the
// reset would destroy the answer.
constexpr std::size_t kLingerBytesMax = 64UL * 1024;

// A head as it came: its views point into the bytes that were read.
std::string text_of(const wire::http1::RequestHead& request) {
    constexpr std::string_view kEnd = "\r\n\r\n";
    const char* const begin = request.method_text.data();
    const char* end = begin;
    while (std::string_view(end, kEnd.size()) != kEnd) ++end;
    return {begin, end + kEnd.size()};
}

}  // namespace

HttpConnection::HttpConnection(
    Proxy& proxy, ListenerState& listener, io::Stream& stream, const ConnectionInfo& info
)
    : proxy_(proxy),
      listener_(listener),
      stream_(stream),
      info_(info),
      reader_(stream, {.head_bytes_max = listener.config.head_bytes_max}) {}

void HttpConnection::close_if_idle() {
    if (http2_ != nullptr) {
        http2_->drain();
        return;
    }
    if (idle_ && !stream_.maybe_readable()) stream_.close();
}

io::Task<void> HttpConnection::run() {
    for (bool is_first = true;; is_first = false) {
        idle_ = true;
        if (!reader_.has_more()) {
            reader_.release();
            // Draining: this one came after the others had been closed, out of its handshake.
            const Duration wait =
                proxy_.is_draining(listener_) ? Proxy::kCutTime : listener_.config.idle_timeout;
            auto ready = co_await stream_.readable(proxy_.loop().now() + wait);
            if (!ready) break;
        }
        idle_ = fresh_ = false;
        if (is_first && info_.protocol != "http/1.1") {
            const bool is_http2 = co_await begins_http2();
            if (is_http2) {
                co_await serve_http2();
                break;
            }
        }
        BufferShelf::Lease buffers(proxy_.shelf());
        const bool more = co_await serve_one(*buffers);
        if (goes_elsewhere_) co_return;
        if (!more || proxy_.is_draining(listener_)) break;
    }
    stream_.close();
}

// By the preface, which no method of HTTP/1.1 begins like for longer than a few bytes.
io::Task<bool> HttpConnection::begins_http2() {
    const Instant deadline = proxy_.loop().now() + listener_.config.head_timeout;
    http::Input& input = reader_.input();
    for (;;) {
        const auto filled = input.fill_now(http::kBlockBytes);
        const std::string_view data = input.data();
        const std::size_t compared = std::min(data.size(), kHttp2Preface.size());
        if (data.substr(0, compared) != kHttp2Preface.substr(0, compared)) co_return false;
        if (compared == kHttp2Preface.size()) co_return true;
        if (filled == http::Input::Filled::ended) co_return false;
        auto ready = co_await stream_.readable(deadline);
        if (!ready) co_return false;
    }
}

io::Task<void> HttpConnection::serve_http2() {
    const auto connection = std::make_unique<Http2Connection>(proxy_, listener_, stream_, info_);
    http2_ = connection.get();
    if (proxy_.is_draining(listener_)) http2_->drain();
    const std::string first(reader_.input().data());
    reader_.input().consume(first.size());
    reader_.input().release();
    const bool may_be_sending = co_await connection->run(first);
    http2_ = nullptr;
    if (may_be_sending) co_await linger();
}

// Whether another request may follow.
io::Task<bool> HttpConnection::serve_one(ExchangeBuffers& buffers) {
    const Instant head_deadline = proxy_.loop().now() + listener_.config.head_timeout;
    const HeadRead read = co_await reader_.read_request(buffers.request, head_deadline);
    if (read == HeadRead::rejected) {
        const wire::http1::Reject why = reader_.why();
        proxy_.count_bad_request(listener_, to_string(why));
        const std::string text =
            fmt::format("the request is not acceptable HTTP/1.1: {}", to_string(why));
        co_await refuse(wire::http1::http_status(why), ReplyReason::malformed_request, text);
        co_return false;
    }
    if (read == HeadRead::failed && reader_.error().code == Code::timeout) {
        proxy_.count_bad_request(listener_, to_string(ReplyReason::request_timeout));
        co_await refuse(408, ReplyReason::request_timeout, "the request head took too long");
        co_return false;
    }
    if (read != HeadRead::done) co_return false;
    buffers.from = &info_;
    if (is_meant_for_others(buffers.request)) {
        early_ = text_of(buffers.request);
        early_ += reader_.take_rest();
        goes_elsewhere_ = true;
        co_return false;
    }
    bool more = false;
    {
        Http1Caller caller(reader_, buffers);
        Exchange exchange(proxy_, listener_, caller, buffers);
        more = co_await exchange.run();
    }
    if (!more && !reader_.body_done()) co_await linger();
    co_return more;
}

// A host that some route is for is ours, whatever else of the request fits.
bool HttpConnection::is_meant_for_others(const wire::http1::RequestHead& request) const {
    if (!info_.is_captured || !listener_.config.capture.pass_on) return false;
    if (!listener_.config.tls.allows(info_.identity)) return false;
    return !proxy_.knows_host(listener_, request);
}

// Says why and closes so that the answer arrives.
io::Task<void> HttpConnection::refuse(int status, ReplyReason reason, std::string_view text) {
    io::Loop& loop = proxy_.loop();
    std::string answer;
    append_reply(
        answer,
        {.status = status,
         .reason = reason,
         .explanation = text,
         .date = http::http_date(loop.wall_now()),
         .keep_alive = false}
    );
    const io::Slices slices(answer);
    auto written = co_await stream_.write(slices, loop.now() + listener_.config.head_timeout);
    if (written) co_await linger();
}

// Closing with unread bytes would reset the connection and could destroy the answer.
io::Task<void> HttpConnection::linger() {
    stream_.shutdown_write();
    const Instant deadline = proxy_.loop().now() + std::chrono::seconds(1);
    std::size_t drained = 0;
    while (drained < kLingerBytesMax) {
        reader_.input().consume(reader_.input().data().size());
        auto got = co_await reader_.input().fill(http::kBlockBytes, deadline);
        if (!got || *got == 0) co_return;
        drained += *got;
    }
}

}  // namespace datapunk::mesh::proxy
