// The request path, top to bottom. Every layer asks a floor-1 object and does what it says.
//
//   metrics    first, so that every answer is counted, whoever gave it
//   trace      before anything that may fail, so that failures belong to a trace
//   deadline   starts when the request has arrived: queueing and retries count
//   route      which service; nothing below knows about hosts and paths
//   admit      the service's concurrency limit (inside begin_attempt: the policies own it)
//   body       small bodies are collected first, so that a retry can send them again
//   retry      per attempt: pick, guard, pool, stream; then ask whether once more
//   answer     bodies flow with back-pressure; an unfinished one is never shown as finished

#include <fmt/format.h>

#include "http/date.h"
#include "proxy/exchange.h"
#include "proxy/paths.h"
#include "proxy/proxy.h"

namespace datapunk::mesh::proxy {

using resilience::Outcome;
using wire::http1::Header;
using wire::http1::Method;

Exchange::Exchange(
    Proxy& proxy,
    ListenerState& listener,
    http::MessageReader& client,
    const wire::http1::RequestHead& request,
    std::string& scratch
)
    : proxy_(proxy), listener_(listener), client_(client), request_(request), out_(scratch) {}

Instant Exchange::now() const noexcept {
    return proxy_.loop().now();
}

io::Task<bool> Exchange::run() {
    started_ = now();
    keep_alive_ = request_.keep_alive;
    traceparent_ = proxy_.continue_trace(request_.value(Header::traceparent), starts_trace_);
    if (request_.method == Method::connect) {
        keep_alive_ = false;
        co_await reply(501, ReplyReason::method_not_proxied, "CONNECT is not proxied here");
    } else if (has_dot_segment(request_.path)) {
        co_await reply(400, ReplyReason::malformed_request, "the path has a dot segment");
    } else {
        Proxy::Routed routed = proxy_.route(listener_, request_);
        if (routed.route == nullptr) {
            const int status = routed.wrong_method ? 405 : 404;
            co_await reply(status, ReplyReason::no_route, routed.why_not);
        } else if (routed.service == nullptr) {
            const std::string why =
                fmt::format("route {} names a service that is not configured", routed.route->name);
            co_await reply(503, ReplyReason::unknown_service, why);
        } else {
            enter(routed);
            co_await serve();
        }
    }
    finish();
    // A body that was not read would be taken for the next request.
    co_return keep_alive_ && !client_gone_ && client_.body_done();
}

void Exchange::enter(Proxy::Routed& routed) {
    service_ = routed.service;
    target_ = std::move(routed.target);
    metrics_ = &proxy_.metrics_of(*service_);
    deadline_ = started_ + routed.route->timeout.value_or(service_->policy().deadline);
    metrics_->in_flight.add(1);
}

io::Task<void> Exchange::serve() {
    const bool has_body = co_await take_request_body();
    if (!has_body) co_return;
    policy::CallState call{resilience::Deadline(deadline_)};
    for (;;) {
        auto begun = service_->begin_attempt(call, now());
        if (const auto* none = std::get_if<policy::NoEndpoint>(&begun)) {
            const policy::NoEndpoint why = *none;
            co_await answer_without_endpoint(why);
            co_return;
        }
        auto& at = std::get<policy::Attempt>(begun);
        ++attempts_;
        last_address_ = at.address();
        const AttemptResult result = co_await attempt(at);
        if (result.has_answer && result.outcome == Outcome::success) {
            const Outcome ended = co_await forward_answer(at);
            service_->finish_attempt(std::move(at), ended, answered_at_);
            co_return;
        }
        const resilience::AttemptEnd end{
            .outcome = result.outcome,
            .idempotent = is_idempotent(request_.method),
            .replayable = body_is_whole_,
            .retry_after = result.retry_after
        };
        const resilience::RetryDecision again = service_->after_attempt(call, end, now());
        if (!again && result.has_answer) {  // a 5xx that nobody wants to try again is the answer
            const Outcome ended = co_await forward_answer(at);
            service_->finish_attempt(std::move(at), ended, answered_at_);
            co_return;
        }
        if (result.has_answer) co_await discard_answer(at);
        drop_upstream();
        service_->finish_attempt(std::move(at), result.outcome, now());
        if (client_gone_) co_return;
        if (!again) {
            co_await answer_failure(result);
            co_return;
        }
        const bool still_there = co_await wait_before_retry(again.wait);
        if (!still_there) co_return;
    }
}

io::Task<bool> Exchange::wait_before_retry(Duration wait) {
    if (wait > Duration::zero()) {
        io::Event gone(proxy_.loop());
        const ClientWatch watch(client_.input(), [&] {
            client_gone_ = true;
            gone.set();
        });
        co_await gone.wait(now() + wait);
    }
    co_return !client_gone_;
}

io::Task<void> Exchange::answer_without_endpoint(policy::NoEndpoint why) {
    using Reason = policy::NoEndpoint::Reason;
    const std::string text = policy::to_error(why, service_->name(), now()).what;
    switch (why.reason) {
        case Reason::deadline:
            co_await reply(504, ReplyReason::deadline, text);
            break;
        case Reason::limited:
            co_await reply(503, ReplyReason::limit, text);
            break;
        case Reason::unknown_service:
            co_await reply(503, ReplyReason::unknown_service, text);
            break;
        case Reason::none_available:
            co_await reply(503, ReplyReason::no_endpoint, text);
            break;
    }
}

io::Task<void> Exchange::answer_failure(const AttemptResult& failed) {
    ReplyReason reason = ReplyReason::upstream_reset;
    if (body_pump_failed_) {
        reason = ReplyReason::malformed_request;
    } else if (failed.outcome == Outcome::timeout) {
        reason = ReplyReason::deadline;
    } else if (failed.outcome == Outcome::connect_failure) {
        reason = ReplyReason::connect_failure;
    }
    const std::string text = fmt::format(
        "{}: {} ({} attempt{})",
        service_->name(),
        failed.error,
        attempts_,
        attempts_ == 1 ? "" : "s"
    );
    co_await reply(status_of(reason), reason, text);
}

io::Task<void> Exchange::reply(int status, ReplyReason reason, std::string_view explanation) {
    outcome_ = to_string(reason);
    if (!client_.body_done() || proxy_.is_draining()) keep_alive_ = false;
    const bool head_only = request_.method == Method::head;
    out_.clear();
    append_reply(
        out_,
        status,
        reason,
        explanation,
        http::http_date(proxy_.loop().wall_now()),
        keep_alive_,
        head_only
    );
    const io::Slices slices(out_);
    auto written = co_await client_.input().stream().write(slices, piece_deadline());
    if (written) {
        status_ = status;
    } else {
        client_gone_ = true;
    }
    if (metrics_ == nullptr || status < 500) co_return;
    proxy_.count_rejection(*service_, reason);
}

void Exchange::finish() {
    const Duration took = now() - started_;
    if (metrics_ != nullptr) {
        metrics_->in_flight.add(-1);
        metrics_->record(status_, took);
    }
    if (!listener_.config.access_log) return;
    proxy_.log().info(
        "request",
        {{"listener", listener_.config.name},
         {"peer", client_.input().stream().peer().ip_text()},
         {"method", request_.method_text},
         {"host", request_.host},
         {"path", request_.path},
         {"service",
          service_ == nullptr ? std::string_view("-") : std::string_view(service_->name())},
         {"endpoint", last_address_},
         {"status", status_},
         {"attempts", attempts_},
         {"ms", std::chrono::duration<double, std::milli>(took).count()},
         {"outcome", client_gone_ ? "client_gone" : outcome_},
         {"traceparent", traceparent_}}
    );
}

}  // namespace datapunk::mesh::proxy
