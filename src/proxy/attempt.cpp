// One try at one endpoint, up to the head of its answer.

#include <fmt/format.h>

#include "core/strings.h"
#include "proxy/exchange.h"
#include "proxy/proxy.h"
#include "proxy/upstream_pool.h"
#include "proxy/websocket.h"
#include "resilience/retry_after.h"
#include "wire/grpc/health.h"
#include "wire/load_report.h"

namespace datapunk::mesh::proxy {

using http::HeadRead;
using resilience::Outcome;
using wire::http1::Framing;
using wire::http1::Header;

namespace {

// Interim answers (1xx) passed on for one request: more are a fault, not progress.
constexpr int kInterimMax = 16;

// A connection attempt as a task of its own, so that it can be given up.
io::Task<void> connect_into(
    io::Task<Result<UpstreamPtr>> connecting,
    std::optional<Result<UpstreamPtr>>* out,
    io::Event* done
) {
    auto connected = co_await std::move(connecting);
    out->emplace(std::move(connected));
    done->set();
}

// What the endpoint says of its own load is for who balances: our caller would take it for ours. A
// report that cannot be read is none.
void take_load_report(
    policy::ServicePolicies& service,
    const policy::HeldEndpoint& at,
    wire::http1::ResponseHead& answer,
    Instant now
) {
    std::erase_if(answer.fields, [&](const wire::http1::Field& field) {
        if (!core::equals_ignoring_case(field.name, wire::kLoadReportHeader)) return false;
        if (const auto report = wire::parse_load_report(field.value)) {
            service.report_load(at, *report, now);
        }
        return true;
    });
}

}  // namespace

// Behind TLS it is only offered: the endpoint chooses. What is to be upgraded has its way in
// HTTP/1.1 everywhere, and in HTTP/2 hardly anywhere.
bool Exchange::wants_http2(const ServiceEndpoint& endpoint) const {
    if (upstream_state_->use.tls != nullptr && !upgrade_.empty()) return false;
    return speaks_http2(*service_->policy(), endpoint, is_grpc_);
}

bool speaks_http2(const ServicePolicy& policy, const ServiceEndpoint& endpoint, bool is_grpc) {
    switch (policy.protocol) {
        case EndpointProtocol::http1:
            return false;
        case EndpointProtocol::http2:
            return true;
        case EndpointProtocol::automatic:
            break;
    }
    const std::string_view said = endpoint.meta("protocol");
    if (said.empty()) return is_grpc;
    return said == "http2" || said == "h2" || said == "h2c" || said == "grpc";
}

io::Task<Exchange::AttemptResult> Exchange::attempt(const policy::HeldEndpoint& at) {
    const Duration limit = retry_in_force()->attempt_timeout;
    attempt_deadline_ = limit > Duration::zero() ? std::min(deadline_, now() + limit) : deadline_;
    watch_client();
    speaks_http2_ = wants_http2(at.endpoint());
    upstream_ = speaks_http2_ ? proxy_.pool().take_stream(at.address(), upstream_state_->use)
                              : proxy_.pool().take_idle(at.address(), upstream_state_->use);
    const bool reused = upstream_ != nullptr;
    AttemptResult result = co_await send_and_await(at);
    // The endpoint may have closed the connection, or said goodbye on it, just as we wrote: that is
    // no failure of the endpoint, and if nothing can have happened twice the request goes out again
    // at once.
    const bool closed = reused && result.before_answer && is_idempotent(request_.method);
    const bool refused = result.outcome == Outcome::refused_stream && upstream_ != nullptr &&
                         upstream_->is_leaving();
    const bool raced = (closed || refused) && body_is_whole_ && !client_gone_;
    if (raced) {
        drop_upstream();
        result = co_await send_and_await(at);
    }
    co_return result;
}

io::Task<Exchange::AttemptResult> Exchange::send_and_await(const policy::HeldEndpoint& at) {
    if (upstream_ == nullptr) {
        auto connected = co_await connect(at);
        if (!connected) co_return connect_failure(connected.error());
        upstream_ = *std::move(connected);
    }
    auto sent = co_await send_request(at);
    if (sent && !body_is_whole_ && !client_gone_) {
        caller_.unwatch();
        pump_.spawn(pump_request_body());
    }
    // Also if not all could be written: the endpoint may have answered early and closed.
    const HeadRead read = co_await read_answer_head();
    AttemptResult judged = judge_answer(read, at);
    if (!is_grpc_) co_return judged;
    AttemptResult result = co_await peek_trailers(std::move(judged));
    co_return result;
}

// Gives up as soon as the caller leaves.
io::Task<Result<UpstreamPtr>> Exchange::connect(const policy::HeldEndpoint& at) {
    std::optional<Result<UpstreamPtr>> connected;
    if (!client_gone_) {
        wake_.clear();
        io::TaskGroup connecting;
        const ServiceEndpoint& to = at.endpoint();
        UpstreamUse& use = upstream_state_->use;
        UpstreamPool& pool = proxy_.pool();
        connecting.spawn(connect_into(
            speaks_http2_ ? pool.connect_stream(to.host, to.port, attempt_deadline_, use)
                          : pool.connect(to.host, to.port, attempt_deadline_, use),
            &connected,
            &wake_
        ));
        co_await wake_.wait(kNever);
    }
    if (client_gone_ || !connected)
        co_return Error{.code = Code::aborted, .what = "the caller has gone"};
    co_return *std::move(connected);
}

Exchange::AttemptResult Exchange::connect_failure(const Error& error) const {
    AttemptResult refused;
    refused.error = error.what;
    if (client_gone_) {
        refused.outcome = Outcome::cancelled;
    } else if (error.code == Code::exhausted) {  // our limit, not the endpoint's fault
        refused.outcome = Outcome::cancelled;
        refused.reason = ReplyReason::limit;
    } else if (now() >= deadline_) {
        refused.outcome = Outcome::timeout;
        refused.reason = ReplyReason::deadline;
    } else {
        // Reaching nobody within the connect timeout is a connect failure, not a slow answer.
        refused.outcome = Outcome::connect_failure;
        refused.reason = ReplyReason::connect_failure;
    }
    return refused;
}

io::Task<Result<>> Exchange::send_request(const policy::HeldEndpoint& at) {
    // The policy may be another one before this is sent.
    buffers_.deadline_header = service_->policy()->deadline_header;
    request_trailers_.clear();
    if (body_is_whole_ && request_.framing == Framing::chunked)
        request_trailers_ = caller_.trailers();
    const UpstreamRequest request{
        .head = request_,
        .how =
            {.peer_ip = buffers_.from->ip,
             .scheme = buffers_.from->is_secure ? "https" : "http",
             .fallback_host = at.address(),
             .client_certificate = buffers_.from->certificate,
             .traceparent = buffers_.traceparent,
             .starts_trace = starts_trace_,
             .path = target_.empty() ? request_.path : std::string_view(target_),
             .upgrade = upgrade_,
             .websocket_key = websocket_key_,
             .left_out = websocket_key_.empty() ? std::string_view() : kWebSocketKey,
             .time_left =
                 {.header = buffers_.deadline_header,
                  .left = attempt_deadline_ - now(),
                  // Who set none has none: a stream may last.
                  .is_grpc = wire::grpc::is_content_type(request_.value(Header::content_type)) &&
                             request_.find(kGrpcTimeout) != nullptr},
             .scratch = buffers_.scratch},
        .body = buffers_.request_body,
        .whole = body_is_whole_,
        .trailers = request_trailers_,
        .buffers = buffers_
    };
    return upstream_->send_request(request, attempt_deadline_);
}

// Passes interim answers on where the caller can understand them.
io::Task<HeadRead> Exchange::read_answer_head() {
    for (int interim = 0;; ++interim) {
        const HeadRead read =
            co_await upstream_->read_answer(answer_, request_.method, attempt_deadline_);
        if (read != HeadRead::done || !answer_.is_interim() || client_gone_) co_return read;
        if (interim == kInterimMax) co_return HeadRead::rejected;
        // 100 was answered here already; which of two attempts' is the caller's, nobody knows yet.
        if (answer_.status == 100 || is_hedge_ || may_be_hedged_) continue;
        auto written = co_await caller_.send_interim(answer_, piece_deadline());
        if (!written) client_gone_ = true;
        if (client_gone_) co_return HeadRead::failed;
    }
}

Exchange::AttemptResult Exchange::judge_answer(HeadRead read, const policy::HeldEndpoint& at) {
    if (client_gone_ || body_problem_) return failure({});
    if (read == HeadRead::failed && upstream_->was_refused()) {
        AttemptResult refused = failure(upstream_->error());
        refused.outcome = Outcome::refused_stream;
        return refused;
    }
    if (read == HeadRead::failed) {
        AttemptResult failed = failure(upstream_->error());
        failed.before_answer = failed.outcome == Outcome::reset && upstream_->is_silent();
        return failed;
    }
    if (read == HeadRead::closed) {
        AttemptResult failed = failure(
            {.code = Code::unavailable,
             .what = fmt::format("{} closed the connection without an answer", at.address())}
        );
        failed.before_answer = true;
        return failed;
    }
    if (read == HeadRead::rejected || (answer_.status < 200 && !has_switched())) {
        std::string_view why = "an interim answer that nobody asked for";
        if (read == HeadRead::rejected) {
            if (!answer_.is_interim()) why = upstream_->rejected();
        } else if (!upgrade_.empty()) {
            why = "101 without what was asked for";
        }
        AttemptResult failed = failure(
            {.code = Code::invalid,
             .what = fmt::format("{} did not answer in HTTP/1.1 ({})", at.address(), why)}
        );
        failed.outcome = Outcome::server_error;
        failed.reason = ReplyReason::upstream_protocol;
        return failed;
    }
    AttemptResult result;
    result.sent = true;
    result.has_answer = true;
    answered_at_ = now();
    const RetryInForce retry = retry_in_force();
    for (const std::string& name : retry->on_headers) {
        if (answer_.find(std::string_view(name)) != nullptr) result.has_named_header = true;
    }
    if (service_->wants_load_reports()) take_load_report(*service_, at, answer_, now());
    result.outcome = resilience::outcome_of_status(answer_.status);
    if (is_grpc_ && result.outcome == Outcome::success) {
        // Only an answer that is nothing but trailers has it in its head.
        if (const auto status = wire::grpc::status_of(answer_.fields)) judge_grpc(result, *status);
    }
    if (result.outcome != Outcome::success || resilience::may_retry_answers(*retry)) {
        const std::string_view after = answer_.value(Header::retry_after);
        if (!after.empty())
            result.retry_after = resilience::parse_retry_after(after, proxy_.loop().wall_now());
    }
    return result;
}

Exchange::AttemptResult Exchange::failure(const Error& error) const {
    AttemptResult result;
    result.sent = true;
    result.error = error.what;
    if (client_gone_ || body_problem_) {
        result.outcome = Outcome::cancelled;
    } else if (error.code == Code::timeout) {
        result.outcome = Outcome::timeout;
        result.reason = ReplyReason::deadline;
    } else {
        result.outcome = Outcome::reset;
    }
    return result;
}

// Until the pump begins to read the rest of the request, or the exchange is over.
void Exchange::watch_client() {
    if (client_gone_ || is_hedge_) return;  // a hedge is told
    caller_.watch([this] {
        note_gone();
        if (hedge_ != nullptr) hedge_->note_gone();
    });
}

void Exchange::note_gone() {
    client_gone_ = true;
    wake_.set();
    if (upstream_ != nullptr) upstream_->close();
}

void Exchange::drop_upstream() {
    pump_.cancel();
    peeked_.reset();
    upstream_.reset();
}

}  // namespace datapunk::mesh::proxy
