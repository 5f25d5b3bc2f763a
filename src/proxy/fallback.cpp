// When the service of a route cannot answer, and nobody has been answered yet: the route's
// fallback. It is asked once; if it fails as well, the caller is told what went wrong first.

#include <fmt/format.h>

#include <utility>

#include "proxy/exchange.h"
#include "proxy/proxy.h"

namespace datapunk::mesh::proxy {

bool Exchange::can_fall_back() const noexcept {
    if (extras_ == nullptr || !route_->fallback || first_failure_ || client_gone_) return false;
    // What has gone of a streamed body cannot be sent again.
    return route_->fallback->respond.has_value() || body_is_whole_;
}

bool Exchange::falls_back_on(int status) const noexcept {
    return can_fall_back() && route_->fallback->on_statuses.contains(status);
}

// No endpoint has answered: the fallback, or an answer of ours. What a caller has had too much of
// is no failure of the service.
io::Task<void> Exchange::fail(ReplyReason reason, std::string text, Duration retry_after) {
    const bool is_callers =
        reason == ReplyReason::caller_rate || reason == ReplyReason::caller_limit;
    if (!is_callers && can_fall_back()) {
        proxy_.count_reply(listener_, service_, reason);
        first_failure_ = FirstFailure{status_of(reason), reason, std::move(text), retry_after};
        co_return;
    }
    if (first_failure_) {
        const FirstFailure& first = *first_failure_;
        co_await reply(first.status, first.reason, first.text, first.retry_after);
        co_return;
    }
    co_await reply(status_of(reason), reason, text, retry_after);
}

// An answer that the route does not want: it counts for the endpoint and is nobody's.
io::Task<void> Exchange::leave_answer(policy::HeldEndpoint at) {
    const int status = answer_.status;
    const Dropped said = co_await drop_answer(at);
    service_->finish_attempt(
        std::move(at), result_.outcome, now(), said.is_failure, said.is_overload
    );
    if (client_gone_) co_return;
    std::string text =
        fmt::format("{} answered {}, and the fallback did not", service_->name(), status);
    first_failure_ = FirstFailure{status, ReplyReason::fallback, std::move(text)};
}

io::Task<void> Exchange::fall_back() {
    const routing::Fallback& fallback = *route_->fallback;
    proxy_.count_route_action(*route_, "fallback");
    if (fallback.respond) {
        OwnAnswer answer{
            .status = fallback.respond->status,
            .reason = ReplyReason::fallback,
            .explanation = fallback.respond->body
        };
        answer.is_line = false;
        answer.content_type = fallback.respond->content_type;
        co_await send_own(answer);
        co_return;
    }
    policy::ServicePolicies* const other = proxy_.shared().services.find(extras_->fallback);
    if (other == nullptr) {
        const std::string why = "the fallback is not configured";
        co_await fail(ReplyReason::unknown_service, why, Duration::zero());
        co_return;
    }
    upstream_state_->metrics.in_flight.add(-1);
    service_ = other;
    upstream_state_ = &proxy_.state_of(*other);
    upstream_state_->metrics.in_flight.add(1);
    if (route_->retry) retry_ = route_->retry->over(other->policy()->retry);
    co_await call_service();
}

}  // namespace datapunk::mesh::proxy
