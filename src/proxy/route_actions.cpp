// What a route does beyond leading to a service, in this order: a browser's question is answered, a
// fault injected, the caller sent elsewhere or answered, the request changed; and, when an answer
// has come, the answer. Only for routes that have any of it (RouteMatch::extras).

#include <fmt/format.h>

#include "proxy/exchange.h"
#include "proxy/mirrors.h"
#include "proxy/paths.h"
#include "proxy/proxy.h"
#include "routing/header_edits.h"
#include "routing/location.h"

namespace datapunk::mesh::proxy {

using wire::http1::Field;
using wire::http1::Header;

namespace {

bool is_chosen(double percentage, core::Rng& rng) noexcept {
    return percentage >= 100 || rng.chance(percentage / 100);
}

}  // namespace

// True: on to the service.
io::Task<bool> Exchange::act_on_route() {
    if (extras_->cors) {
        cors_origin_ = extras_->cors->allowed_origin(request_.fields);
        const bool answered = co_await answer_preflight();
        if (answered) co_return false;
    }
    if (extras_->rate_limit != nullptr) {
        const bool goes_on = co_await heed_rate();
        if (!goes_on) co_return false;
    }
    if (route_->fault) {
        const bool goes_on = co_await inject_fault();
        if (!goes_on) co_return false;
    }
    if (route_->redirect) {
        co_await redirect();
        co_return false;
    }
    if (route_->respond) {
        co_await respond();
        co_return false;
    }
    const bool is_sendable = co_await edit_request();
    co_return is_sendable;
}

// Whether it was one.
io::Task<bool> Exchange::answer_preflight() {
    if (routing::preflight_method(request_).empty()) co_return false;
    if (cors_origin_.empty()) {
        proxy_.count_route_action(*route_, "cors_refused");
        co_await reply(403, ReplyReason::cors_refused, "this origin is not allowed here");
        co_return true;
    }
    proxy_.count_route_action(*route_, "cors_preflight");
    extras_->cors->add_to_preflight(request_, cors_origin_, own_fields_);
    co_await reply(204, ReplyReason::cors_preflight, "");
    co_return true;
}

// False if the caller has gone.
io::Task<bool> Exchange::pause(Duration wait) {
    watch_client();
    wake_.clear();
    if (!client_gone_) co_await wake_.wait(std::min(now() + wait, deadline_));
    caller_.unwatch();
    co_return !client_gone_;
}

io::Task<bool> Exchange::heed_rate() {
    constexpr Duration kPatienceMax = std::chrono::seconds(15);  // of a route without a service
    const Duration patience = std::min<Duration>(deadline_ - now(), kPatienceMax);
    const resilience::RateDecision turn = extras_->rate_limit->acquire(now(), patience);
    if (turn.is_admitted) {
        if (turn.wait <= Duration::zero()) co_return true;
        const bool still_there = co_await pause(turn.wait);
        co_return still_there;
    }
    const bool is_heard = co_await hear_request();
    if (!is_heard) co_return false;
    const std::string why = fmt::format(
        "route {} takes {} requests in a time", route_->name, route_->rate_limit->calls
    );
    co_await reply(429, ReplyReason::route_rate, why, turn.wait);
    co_return false;
}

io::Task<bool> Exchange::inject_fault() {
    core::Rng& rng = proxy_.loop().rng();
    const auto& [delay, abort] = *route_->fault;
    if (delay && is_chosen(delay->percentage, rng)) {
        proxy_.count_route_action(*route_, "fault_delay");
        const bool still_there = co_await pause(delay->duration);
        if (!still_there) co_return false;
    }
    if (!abort || !is_chosen(abort->percentage, rng)) co_return true;
    const bool is_heard = co_await hear_request();
    if (!is_heard) co_return false;
    proxy_.count_route_action(*route_, "fault_abort");
    const std::string why = fmt::format("route {} injects faults", route_->name);
    OwnAnswer answer{.status = abort->status, .reason = ReplyReason::fault, .explanation = why};
    answer.grpc_status = abort->grpc_status;
    co_await send_own(answer);
    co_return false;
}

// A short request is taken to its end before it is answered from here: not every client bears an
// answer while it still sends (curl 7.88 calls it an error in HTTP/2), and its connection can be
// kept. False: it could not be taken (answered).
io::Task<bool> Exchange::hear_request() {
    if (caller_.body_done() || request_.expects_continue) co_return true;
    const bool is_heard = co_await take_request_body();
    co_return is_heard;
}

io::Task<void> Exchange::redirect() {
    const bool is_heard = co_await hear_request();
    if (!is_heard) co_return;
    const routing::AskedUrl asked{
        .scheme = buffers_.from->is_secure ? "https" : "http",
        .host = request_.host,
        .target = request_.path
    };
    auto location = routing::location_of(*route_, asked);
    if (!location) {
        co_await reply(400, ReplyReason::malformed_request, location.error().what);
        co_return;
    }
    proxy_.count_route_action(*route_, "redirect");
    target_ = *std::move(location);
    own_fields_.push_back({.name = "location", .value = target_, .id = Header::location});
    co_await reply(route_->redirect->status, ReplyReason::redirect, target_);
}

io::Task<void> Exchange::respond() {
    const bool is_heard = co_await hear_request();
    if (!is_heard) co_return;
    proxy_.count_route_action(*route_, "direct_response");
    const routing::DirectResponse& wanted = *route_->respond;
    OwnAnswer answer{
        .status = wanted.status, .reason = ReplyReason::direct_response, .explanation = wanted.body
    };
    answer.is_line = false;
    answer.content_type = wanted.content_type;
    co_await send_own(answer);
}

// False: nobody could be asked for that (answered).
io::Task<bool> Exchange::edit_request() {
    if (route_->body_bytes_max) body_bytes_max_ = *route_->body_bytes_max;
    if (route_->retry && service_ != nullptr)
        retry_ = route_->retry->over(service_->policy()->retry);
    if (route_->rewrite) {
        auto target = routing::rewritten(*route_, extras_->rewrite, request_.path);
        if (target && has_dot_segment(*target))
            target = Error{.code = Code::invalid, .what = "its rewritten path has a dot segment"};
        if (!target) {
            co_await reply(400, ReplyReason::malformed_request, target.error().what);
            co_return false;
        }
        target_ = *std::move(target);
        if (!route_->rewrite->host.empty()) buffers_.request.host = route_->rewrite->host;
    }
    routing::apply(route_->request_headers, buffers_.request.fields);
    co_return true;
}

// Of an answer of ours. That to a preflight has its own.
void Exchange::add_own_fields(ReplyReason reason) {
    if (reason == ReplyReason::cors_preflight) return;
    if (extras_->cors) extras_->cors->add_to_answer(cors_origin_, own_fields_);
    routing::apply(route_->response_headers, own_fields_);
}

void Exchange::edit_answer() {
    if (extras_->cors) {
        routing::CorsRules::remove_from_answer(answer_.fields);
        extras_->cors->add_to_answer(cors_origin_, answer_.fields);
    }
    routing::apply(route_->response_headers, answer_.fields);
}

// What is to be upgraded is a conversation, and has no copy.
void Exchange::mirror() {
    const routing::Mirror& mirror = *route_->mirror;
    if (!is_chosen(mirror.percentage, proxy_.loop().rng())) return;
    policy::ServicePolicies* const service = proxy_.shared().services.find(extras_->mirror);
    if (service == nullptr || !upgrade_.empty()) {
        proxy_.count_route_action(*route_, "mirror_skipped");
        return;
    }
    const UpstreamHead how{
        .peer_ip = buffers_.from->ip,
        .scheme = buffers_.from->is_secure ? "https" : "http",
        .fallback_host = {},
        .client_certificate = buffers_.from->certificate,
        .traceparent = buffers_.traceparent,
        .starts_trace = starts_trace_,
        .path = target_.empty() ? request_.path : std::string_view(target_),
        .time_left = {},
        .scratch = buffers_.scratch
    };
    const std::string_view body = buffers_.request_body;
    if (!body_is_whole_) {
        mirror_ = proxy_.mirrors().begin(*service, request_, how, body);
        if (mirror_ == nullptr) proxy_.count_route_action(*route_, "mirror_dropped");
        return;
    }
    const bool is_sent = proxy_.mirrors().send(*service, request_, how, body);
    proxy_.count_route_action(*route_, is_sent ? "mirror" : "mirror_dropped");
}

// On its way to the service: a piece of a body that was not whole when the request was mirrored.
void Exchange::copy_to_mirror(const http::Piece& piece) {
    auto draft = std::move(mirror_);
    const bool is_kept = draft->add(piece.bytes);
    if (!is_kept) {
        proxy_.count_route_action(*route_, "mirror_skipped");
    } else if (!piece.last) {
        mirror_ = std::move(draft);
    } else {
        const bool is_sent = proxy_.mirrors().finish(std::move(draft));
        proxy_.count_route_action(*route_, is_sent ? "mirror" : "mirror_dropped");
    }
}

}  // namespace datapunk::mesh::proxy
