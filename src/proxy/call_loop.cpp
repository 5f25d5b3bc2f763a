#include "proxy/call_loop.h"

#include <utility>
#include <variant>

namespace datapunk::mesh::proxy {

io::Task<void> serve_call(
    policy::ServicePolicies& service, policy::CallState& call, CallSteps& steps
) {
    for (;;) {
        auto begun = service.begin_attempt(call, steps.now());
        if (const auto* none = std::get_if<policy::NoEndpoint>(&begun)) {
            policy::NoEndpoint why = *none;
            if (why.turn_at != kNever) {
                const bool still_there = co_await steps.wait_for_turn(why.turn_at);
                if (!still_there) co_return;
                continue;
            }
            if (why.may_wait) {
                const auto refused = co_await steps.wait_for_place(call);
                if (steps.has_left()) co_return;
                if (!refused) continue;
                why = *refused;
            }
            co_await steps.answer_without_endpoint(why);
            co_return;
        }
        auto& at = std::get<policy::HeldEndpoint>(begun);
        const resilience::AttemptEnd end = co_await steps.try_at(call, at);
        if (end.status != 0 && resilience::is_good_answer(service.policy()->retry, end)) {
            steps.note({.reason = resilience::RetryReason::succeeded});
            co_await steps.give_answer(std::move(at));
            co_return;
        }
        const resilience::RetryDecision again = service.after_attempt(call, end, steps.now());
        steps.note(again);
        if (!again && end.status != 0) {  // what nobody wants to try again is the answer
            co_await steps.give_answer(std::move(at));
            co_return;
        }
        const CallSteps::Dropped said = co_await steps.drop_answer(at);
        service.finish_attempt(
            std::move(at), end.outcome, steps.now(), said.is_failure, said.is_overload
        );
        if (steps.has_left()) co_return;
        if (!again) {
            co_await steps.answer_failure();
            co_return;
        }
        const bool still_there = co_await steps.wait_before_retry(again.wait);
        if (!still_there) co_return;
    }
}

}  // namespace datapunk::mesh::proxy
