// The request path, top to bottom. Every layer asks a floor-1 object and does what it says.
//
//   metrics    first, so that every answer is counted, whoever gave it
//   trace      before anything that may fail, so that failures belong to a trace
//   deadline   starts when the request has arrived: queueing and retries count; a caller may
//              have less time than the route allows (deadline_header.h)
//   route      which service; nothing below knows about hosts and paths
//   admit      rates and limits, of the service and of its caller (inside begin_attempt: the
//              policies own them); may wait
//   body       small bodies are collected first, so that a retry can send them again
//   retry      call_loop.cpp, per attempt: pick, guard, pool, stream (hedge.cpp: perhaps a second
//              one beside it); then ask whether once more
//   answer     bodies flow with back-pressure; an unfinished one is never shown as finished

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "http/date.h"
#include "proxy/affinity.h"
#include "proxy/call_class.h"
#include "proxy/caller_key.h"
#include "proxy/deadline_header.h"
#include "proxy/exchange.h"
#include "proxy/paths.h"
#include "proxy/place_wait.h"
#include "proxy/proxy.h"

namespace datapunk::mesh::proxy {

using resilience::Outcome;
using wire::http1::Header;
using wire::http1::Method;

namespace {

std::uint32_t in_us(Duration duration) {
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
    return static_cast<std::uint32_t>(std::clamp<std::int64_t>(us, 0, 0xffffffff));
}

// `route`: whose limit it was; null: the listener's.
std::string unread_body(
    ReplyReason problem, const ListenerConfig& listener, const routing::Route* route
) {
    if (problem == ReplyReason::body_too_large && route != nullptr) {
        return fmt::format(
            "the request's body has more than the {} bytes that route {} takes (body_bytes_max)",
            route->body_bytes_max.value_or(0),
            route->name
        );
    }
    if (problem == ReplyReason::body_too_large) {
        return fmt::format(
            "the request's body has more than the {} bytes that listener {} takes "
            "(limits.body_bytes_max)",
            listener.body_bytes_max,
            listener.name
        );
    }
    if (problem == ReplyReason::request_timeout) return "the request's body came too slowly";
    return "the request's body is malformed";
}

// Longer than a day nobody remembers it.
constexpr std::chrono::seconds kRetryAfterMax = std::chrono::hours(24);

// As Envoy's stream_idle_timeout.
constexpr Duration kGrpcSilenceMax = std::chrono::minutes(5);

// Streams of gRPC may be silent for longer between two messages, and as slow as they like.
CallerPace pace_of(const ListenerConfig& listener, const wire::http1::RequestHead& request) {
    const bool is_grpc = wire::grpc::is_content_type(request.value(Header::content_type));
    if (is_grpc) return {std::max(listener.body_timeout, kGrpcSilenceMax), 0};
    return {listener.body_timeout, listener.body_rate_min};
}

}  // namespace

Exchange::Exchange(Proxy& proxy, ListenerState& listener, Caller& caller, ExchangeBuffers& buffers)
    : proxy_(proxy),
      listener_(listener),
      web_(listener.config.grpc_web ? GrpcWebCaller::around(caller, buffers) : nullptr),
      caller_(web_ != nullptr ? static_cast<Caller&>(*web_) : caller),
      buffers_(buffers),
      request_(buffers.request),
      answer_(buffers.answer),
      body_bytes_max_(listener.config.body_bytes_max),
      upstream_state_(&proxy.unrouted()),
      request_pace_(pace_of(listener.config, request_)),
      answer_pace_(request_pace_),
      wake_(proxy.loop()) {
    buffers_.request_body.clear();
    buffers_.endpoint.clear();
}

Instant Exchange::now() const noexcept {
    return proxy_.loop().now();
}

io::Task<bool> Exchange::run() {
    started_ = now();
    keep_alive_ = request_.keep_alive;
    buffers_.traceparent.clear();
    starts_trace_ =
        proxy_.continue_trace(request_.value(Header::traceparent), buffers_.traceparent);
    read_grpc_request();
    if (proxy_.requests() != nullptr) record_.emplace();
    co_await dispatch();
    finish();
    // A body that was not read would be taken for the next request.
    co_return keep_alive_ && !client_gone_ && caller_.body_done();
}

io::Task<void> Exchange::dispatch() {
    const ConnectionInfo& from = *buffers_.from;
    if (!listener_.config.tls.allows(from.identity)) {
        const std::string why = from.identity.empty()
                                    ? "the caller has not proved an identity that may call here"
                                    : fmt::format("{} may not call here", from.identity);
        co_await reply(403, ReplyReason::not_allowed, why);
        co_return;
    }
    read_upgrade();
    const bool wants_tunnel = is_extended_connect() && upgrade_.empty();
    if (request_.method == Method::connect || wants_tunnel) {
        keep_alive_ = false;
        co_await reply(501, ReplyReason::method_not_proxied, "CONNECT is not proxied here");
        co_return;
    }
    if (has_dot_segment(request_.path)) {
        co_await reply(400, ReplyReason::malformed_request, "the path has a dot segment");
        co_return;
    }
    routes_ = proxy_.routes();
    const Proxy::Routed routed = proxy_.route(listener_, request_, buffers_.from->ip);
    if (record_ && routed.route != nullptr) {
        const std::string_view name = routed.route->name;
        name.copy(record_->route.data(), RequestRecord::kRouteBytes);
    }
    if (routed.route == nullptr) {
        const int status = routed.wrong_method ? 405 : 404;
        co_await reply(status, ReplyReason::no_route, routed.why_not);
        co_return;
    }
    route_ = routed.route;
    if (routed.service != nullptr) enter(routed);
    bool goes_on = true;
    if (routed.extras != nullptr) {
        extras_ = routed.extras;
        goes_on = co_await act_on_route();
    }
    if (goes_on && service_ == nullptr) {
        const std::string why =
            fmt::format("route {} names a service that is not configured", routed.route->name);
        co_await reply(503, ReplyReason::unknown_service, why);
    } else if (goes_on) {
        const auto patience = callers_patience(request_, service_->policy()->deadline_header);
        bool in_time = true;
        const bool says_one = !patience || patience->has_value();
        if (says_one) in_time = co_await heed_callers_deadline(patience);
        if (in_time) co_await serve();
    }
    if (service_ != nullptr) upstream_state_->metrics.in_flight.add(-1);
}

void Exchange::enter(const Proxy::Routed& routed) {
    service_ = routed.service;
    upstream_state_ = &proxy_.state_of(*service_);
    deadline_ = started_ + routed.route->timeout.value_or(service_->policy()->deadline);
    upstream_state_->metrics.in_flight.add(1);
}

// False if it has been answered: nobody waits for the answer any more, or nobody knows how long.
io::Task<bool> Exchange::heed_callers_deadline(Result<std::optional<Duration>> patience) {
    if (!patience) {
        co_await reply(400, ReplyReason::malformed_request, patience.error().what);
        co_return false;
    }
    deadline_ = std::min(deadline_, started_ + **patience);
    if (deadline_ > now()) co_return true;
    co_await reply(
        504, ReplyReason::deadline, "the caller's deadline had passed when the request arrived"
    );
    co_return false;
}

io::Task<void> Exchange::serve() {
    if (!caller_.body_done()) {
        const bool has_body = co_await take_request_body();
        if (!has_body) co_return;
    }
    if (extras_ != nullptr && route_->mirror) mirror();
    co_await call_service();
    if (first_failure_ && !client_gone_) co_await fall_back();
}

io::Task<void> Exchange::call_service() {
    policy::CallState call{resilience::Deadline(deadline_)};
    call.can_wait = true;
    if (retry_) call.retry = &*retry_;
    call.priority = priority_of(service_->policy()->limits.priority, request_);
    call.hash = affinity_hash(service_->policy()->affinity, request_, buffers_.from->ip);
    call.caller = caller_of(
        *service_->call_limits(), service_->policy()->limits.callers, request_, *buffers_.from
    );
    co_await serve_call(*service_, call, *this);
}

io::Task<std::optional<policy::NoEndpoint>> Exchange::wait_for_place(policy::CallState& call) {
    watch_client();
    co_return co_await proxy::wait_for_place(
        service_->admission(), call, proxy_.loop(), wake_, client_gone_
    );
}

io::Task<resilience::AttemptEnd> Exchange::try_at(
    policy::CallState& call, policy::HeldEndpoint& at
) {
    ++attempts_;
    begin_record(at);
    const auto delay = hedge_after(call);
    may_be_hedged_ = delay.has_value();
    if (delay) {
        result_ = co_await hedged_attempt(call, at, *delay);
    } else {
        result_ = co_await attempt(at);
    }
    if (at.is_hedge()) note_hedge(at);
    if (listener_.config.access_log) buffers_.endpoint = at.address();
    co_return end_of(result_);
}

io::Task<CallSteps::Dropped> Exchange::drop_answer(const policy::HeldEndpoint& at) {
    if (result_.has_answer) co_await discard_answer(at);
    drop_upstream();
    co_return Dropped{
        .is_failure = result_.has_answer ? judged(result_.outcome, answer_.status) : std::nullopt,
        .is_overload = tells_overload(result_.outcome, result_.has_answer)
    };
}

// Does an answer speak against its endpoint? If it came whole, its status says so; but that of gRPC
// is another one, and the outcome has it.
std::optional<bool> Exchange::judged(Outcome ended, int status) const {
    if (is_grpc_ && status == 200) return std::nullopt;
    return service_->judged(ended, status);
}

bool Exchange::tells_overload(Outcome ended, bool has_answer) const noexcept {
    std::optional<std::uint32_t> grpc_status;
    if (grpc_status_) grpc_status = static_cast<std::uint32_t>(*grpc_status_);
    return resilience::tells_overload(ended, has_answer ? answer_.status : 0, grpc_status);
}

io::Task<void> Exchange::give_answer(policy::HeldEndpoint at) {
    if (falls_back_on(answer_.status)) {
        co_await leave_answer(std::move(at));
        co_return;
    }
    if (answer_.status == 101) {
        co_await relay_switched(std::move(at));
        co_return;
    }
    if (is_extended_connect() && answer_.status < 300) {
        // To the caller 2xx would mean that its tunnel stands.
        drop_upstream();
        service_->finish_attempt(std::move(at), Outcome::success, answered_at_);
        const std::string text = fmt::format("the endpoint did not switch to {}", upgrade_);
        co_await reply(502, ReplyReason::upstream_protocol, text);
        co_return;
    }
    const Outcome ended = co_await forward_answer(at);
    const std::optional<bool> is_failure = judged(ended, answer_.status);
    const bool is_overload = tells_overload(ended, true);
    service_->finish_attempt(std::move(at), ended, answered_at_, is_failure, is_overload);
    // Nothing of it has left yet if its first bytes were malformed: then there is a better answer.
    if (ended == Outcome::success || head_sent_ || client_gone_) co_return;
    result_ = {};
    result_.reason = ReplyReason::upstream_protocol;
    result_.error = "the endpoint's answer has a malformed body";
    co_await answer_failure();
}

// A rate that lets calls through evenly. False: the caller has gone.
io::Task<bool> Exchange::wait_for_turn(Instant turn) {
    watch_client();
    co_return co_await wait_before_retry(turn - now());
}

io::Task<bool> Exchange::wait_before_retry(Duration wait) {
    if (wait > Duration::zero() && !client_gone_) {
        wake_.clear();
        co_await wake_.wait(now() + wait);
    }
    co_return !client_gone_;
}

io::Task<void> Exchange::answer_without_endpoint(policy::NoEndpoint why) {
    const Error error = service_->to_error(why, now());
    co_await fail(reason_of(why.reason), error.what, error.retry_after);
}

io::Task<void> Exchange::answer_failure() {
    const AttemptResult& failed = result_;
    if (body_problem_) {
        const bool is_routes = route_ != nullptr && route_->body_bytes_max.has_value();
        const std::string text =
            unread_body(*body_problem_, listener_.config, is_routes ? route_ : nullptr);
        co_await reply(status_of(*body_problem_), *body_problem_, text);
        co_return;
    }
    const std::string text = fmt::format(
        "{}: {} ({} attempt{})",
        service_->name(),
        failed.error,
        attempts_,
        attempts_ == 1 ? "" : "s"
    );
    co_await fail(failed.reason, text, Duration::zero());
}

io::Task<void> Exchange::reply(
    int status, ReplyReason reason, std::string_view explanation, Duration retry_after
) {
    OwnAnswer answer{.status = status, .reason = reason, .explanation = explanation};
    // Rounded up: who comes a little too early is refused once more.
    answer.retry_after_seconds = static_cast<std::uint32_t>(
        std::min(std::chrono::ceil<std::chrono::seconds>(retry_after), kRetryAfterMax).count()
    );
    co_await send_own(answer);
}

io::Task<void> Exchange::send_own(OwnAnswer answer) {
    outcome_ = to_string(answer.reason);
    if (record_)
        record_->own_reason = static_cast<std::uint8_t>(1 + static_cast<int>(answer.reason));
    if (!caller_.body_done() || proxy_.is_draining(listener_)) keep_alive_ = false;
    answer.date = http::http_date(proxy_.loop().wall_now());
    answer.keep_alive = keep_alive_;
    answer.head_only = request_.method == Method::head;
    answer.to_grpc = is_grpc_;
    if (extras_ != nullptr) add_own_fields(answer.reason);
    answer.fields = own_fields_;
    proxy_.count_reply(listener_, service_, answer.reason);
    auto written = co_await caller_.reply(answer, piece_deadline());
    if (written) {
        status_ = answer.status;
    } else {
        client_gone_ = true;
    }
}

void Exchange::finish() {
    const Duration took = now() - started_;
    // What follows a switch of protocols is no part of the answer.
    upstream_state_->metrics.record(status_, status_ == 101 ? answered_at_ - started_ : took);
    count_grpc();
    // Its body has not come to its end.
    if (mirror_ != nullptr) proxy_.count_route_action(*route_, "mirror_skipped");
    keep_record(took);
    if (!listener_.config.access_log) return;
    const bool failed = status_ == 0 || status_ >= 500;
    proxy_.log_access(failed, took, [&](AccessLog::Worker& log, double share) {
        write_access(log, share, took);
    });
}

void Exchange::write_access(AccessLog::Worker& log, double share, Duration took) const {
    const std::array<core::LogField, 15> fields = {{
        {"listener", listener_.config.name},
        {"peer", buffers_.from->ip},
        {"identity", buffers_.from->identity},
        {"method", request_.method_text},
        {"host", request_.host},
        {"path", request_.path},
        {"service", service_ == nullptr ? std::string_view("-") : std::string_view(service_->name())
        },
        {"endpoint", buffers_.endpoint},
        {"status", status_},
        {"attempts", attempts_},
        {"ms", std::chrono::duration<double, std::milli>(took).count()},
        {"outcome", outcome_.empty() && client_gone_ ? "client_gone" : outcome_},
        {"traceparent", buffers_.traceparent},
        {"request_id", request_.value(Header::x_request_id)},
        {"sample", share},
    }};
    log.write(
        proxy_.loop().wall_now(),
        {.event = "request", .fields = fields.data(), .field_count = fields.size()}
    );
}

void Exchange::begin_record(const policy::HeldEndpoint& at) {
    if (!record_ || attempts_ > RequestRecord::kAttemptsKept) return;
    AttemptRecord& tried = record_->tried[attempts_ - 1];
    tried.pick = service_->decision_of(at);
    tried.began_us = in_us(now() - started_);
}

// Its answer is the attempt's.
void Exchange::note_hedge(const policy::HeldEndpoint& at) {
    if (!record_ || attempts_ > RequestRecord::kAttemptsKept) return;
    record_->tried[attempts_ - 1].pick = service_->decision_of(at);
}

void Exchange::note(const resilience::RetryDecision& again) {
    const AttemptResult& result = result_;
    if (!record_ || attempts_ > RequestRecord::kAttemptsKept) return;
    AttemptRecord& tried = record_->tried[attempts_ - 1];
    tried.took_us = in_us(now() - started_) - tried.began_us;
    tried.status =
        result.has_answer ? static_cast<std::uint16_t>(answer_.status) : std::uint16_t{0};
    tried.outcome = static_cast<std::uint8_t>(result.outcome);
    tried.decision = static_cast<std::uint8_t>(again.reason);
    tried.wait_us = in_us(again.wait);
}

void Exchange::keep_record(Duration took) {
    if (!record_) return;
    const std::string_view id = request_.value(Header::x_request_id);
    if (!id.empty()) record_->request_id = id_hash(id);
    // 00-<32 digits>-…
    const std::string_view trace = buffers_.traceparent;
    if (trace.size() >= 35) record_->trace_id = id_hash(trace.substr(3, 32));
    record_->arrived_ns = started_.time_since_epoch().count();
    record_->took_us = in_us(took);
    record_->status = static_cast<std::uint16_t>(status_);
    record_->attempts = static_cast<std::uint8_t>(std::min(attempts_, 255U));
    record_->service = static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(service_));
    proxy_.requests()->push(*record_);
}

}  // namespace datapunk::mesh::proxy
