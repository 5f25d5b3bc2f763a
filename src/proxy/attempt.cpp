// One try at one endpoint, up to the head of its answer.

#include <fmt/format.h>

#include "proxy/exchange.h"
#include "proxy/proxy.h"
#include "resilience/retry_after.h"
#include "wire/http1/encode.h"

namespace datapunk::mesh::proxy {

using http::HeadRead;
using resilience::Outcome;
using wire::http1::Framing;
using wire::http1::Header;

io::Task<Exchange::AttemptResult> Exchange::attempt(const policy::Attempt& at) {
    upstream_ = proxy_.pool().take_idle(at.address());
    const bool reused = upstream_ != nullptr;
    AttemptResult result = co_await send_and_await(at);
    // The endpoint may have closed the idle connection just as we wrote: that is no failure of the
    // endpoint, and if nothing can have happened twice the request goes out again at once.
    const bool raced = reused && result.outcome == Outcome::reset && !result.has_answer &&
                       body_is_whole_ && is_idempotent(request_.method) && !client_gone_;
    if (raced) {
        drop_upstream();
        result = co_await send_and_await(at);
    }
    co_return result;
}

io::Task<Exchange::AttemptResult> Exchange::send_and_await(const policy::Attempt& at) {
    if (upstream_ == nullptr) {
        auto connected =
            co_await proxy_.pool().connect(at.endpoint().host, at.endpoint().port, deadline_);
        if (!connected) {
            AttemptResult refused = failure(connected.error(), false);
            // Reaching nobody within the connect timeout is a connect failure, not a slow answer.
            refused.outcome = now() >= deadline_ ? Outcome::timeout : Outcome::connect_failure;
            co_return refused;
        }
        upstream_ = *std::move(connected);
    }
    auto sent = co_await send_request(at);
    if (!sent) co_return failure(sent.error(), true);
    if (!body_is_whole_) {
        pump_.spawn(pump_request_body());
    } else {
        watch_.emplace(client_.input(), [this] {
            client_gone_ = true;
            if (upstream_ != nullptr) upstream_->stream().close();
        });
    }
    const HeadRead read = co_await read_answer_head();
    watch_.reset();
    AttemptResult result;
    result.sent = true;
    if (client_gone_) {
        result.outcome = Outcome::cancelled;
        co_return result;
    }
    if (read == HeadRead::failed) co_return failure(upstream_->reader().error(), true);
    if (read == HeadRead::closed) {
        const Error closed{
            .code = Code::unavailable,
            .what = fmt::format("{} closed the connection without an answer", at.address())
        };
        co_return failure(closed, true);
    }
    if (read == HeadRead::rejected) {
        const Error bad{
            .code = Code::invalid,
            .what = fmt::format(
                "{} did not answer in HTTP/1.1 ({})",
                at.address(),
                to_string(upstream_->reader().why())
            )
        };
        co_return failure(bad, true);
    }
    result.has_answer = true;
    answered_at_ = now();
    if (answer_.status >= 500) {
        result.outcome = Outcome::server_error;
        const std::string_view after = answer_.value(Header::retry_after);
        if (!after.empty())
            result.retry_after = resilience::parse_retry_after(after, proxy_.loop().wall_now());
    }
    co_return result;
}

io::Task<Result<>> Exchange::send_request(const policy::Attempt& at) {
    out_.clear();
    const std::string peer_ip = client_.input().stream().peer().ip_text();
    append_upstream_head(
        out_,
        request_,
        {.peer_ip = peer_ip,
         .fallback_host = at.address(),
         .traceparent = traceparent_,
         .starts_trace = starts_trace_,
         .path = target_.empty() ? request_.path : std::string_view(target_)}
    );
    std::string_view tail;
    if (request_.framing == Framing::chunked && body_is_whole_) {
        if (!request_body_.empty()) {
            wire::http1::append_chunk_head(out_, request_body_.size());
            tail = "\r\n0\r\n\r\n";
        } else {
            tail = wire::http1::kLastChunk;
        }
    } else if (request_.framing == Framing::chunked && !request_body_.empty()) {
        wire::http1::append_chunk_head(out_, request_body_.size());
        tail = wire::http1::kChunkEnd;
    }
    io::Slices slices(out_);
    slices.add(request_body_);
    slices.add(tail);
    auto written = co_await upstream_->stream().write(slices, deadline_);
    co_return std::move(written);
}

// Skips interim answers but passes them on where the caller can understand them.
io::Task<HeadRead> Exchange::read_answer_head() {
    for (;;) {
        const HeadRead read =
            co_await upstream_->reader().read_response(answer_, request_.method, deadline_);
        if (read != HeadRead::done || !answer_.is_interim()) co_return read;
        // 100 was answered here already.
        if (answer_.status == 100 || request_.minor_version == 0) continue;
        out_.clear();
        append_downstream_head(out_, answer_, DownstreamFraming::none, true, request_);
        const io::Slices slices(out_);
        auto written = co_await client_.input().stream().write(slices, piece_deadline());
        if (!written) client_gone_ = true;
    }
}

Exchange::AttemptResult Exchange::failure(const Error& error, bool sent) const {
    AttemptResult result;
    result.sent = sent;
    result.error = error.what;
    if (client_gone_ || body_pump_failed_) {
        result.outcome = Outcome::cancelled;
    } else if (error.code == Code::timeout) {
        result.outcome = Outcome::timeout;
    } else {
        result.outcome = Outcome::reset;
    }
    return result;
}

void Exchange::drop_upstream() {
    pump_.cancel();
    watch_.reset();
    if (upstream_ != nullptr) proxy_.pool().drop(std::move(upstream_));
}

}  // namespace datapunk::mesh::proxy
