// ServicePolicies: hedges.

#include "policy/hedging.h"

#include <utility>

#include "policy/service_policies.h"

namespace datapunk::mesh::policy {

std::string_view to_string(HedgeReason reason) noexcept {
    switch (reason) {
        case HedgeReason::sent:
            return "sent";
        case HedgeReason::overloaded:
            return "not sent, the service is overloaded or not well";
        case HedgeReason::budget_low:
            return "not sent, half of the retry budget is used up";
        case HedgeReason::no_other:
            return "not sent, there is no other endpoint";
        case HedgeReason::share_used:
            return "not sent, hedge.max is used up";
        case HedgeReason::budget_exhausted:
            return "not sent, the retry budget is exhausted";
    }
    return "unknown";
}

std::string_view to_string(HedgeEnd end) noexcept {
    switch (end) {
        case HedgeEnd::won:
            return "won";
        case HedgeEnd::lost:
            return "lost";
        case HedgeEnd::failed:
            return "failed";
        case HedgeEnd::refused:
            return "refused";
    }
    return "unknown";
}

std::optional<Duration> ServicePolicies::hedge_after(
    const CallState& call, bool may_repeat, Duration left
) const noexcept {
    const Hedging* const hedging = hedging_.get();
    if (hedging == nullptr || !may_repeat || call.hedges > 0) return std::nullopt;
    const auto delay = hedging->delay.delay();
    if (!delay || *delay >= left) return std::nullopt;
    return delay;
}

std::variant<HeldEndpoint, HedgeReason> ServicePolicies::begin_hedge(
    CallState& call, const HeldEndpoint& first, Instant now
) {
    Hedging* const hedging = hedging_.get();
    HedgeReason reason = HedgeReason::sent;
    std::optional<HeldEndpoint> second;
    {
        const WorkerUse worker(workers_);
        deposit(worker.get(), now);
    }
    if (hedging == nullptr) {  // it was switched off meanwhile
        reason = HedgeReason::share_used;
    } else if (is_overloaded(now)) {
        reason = HedgeReason::overloaded;
    } else if (!budget_.has_half(now)) {
        reason = HedgeReason::budget_low;
    } else if (!hedging->share.try_withdraw(now)) {
        reason = HedgeReason::share_used;
    } else if (!budget_.try_withdraw(now)) {
        hedging->share.give_back(now);
        reason = HedgeReason::budget_exhausted;
    } else {
        auto begun = try_begin(call, now, true);
        if (auto* held = std::get_if<HeldEndpoint>(&begun)) {
            ++call.hedges;
            second = std::move(*held);
        } else {
            hedging->share.give_back(now);
            budget_.give_back(now);
            const auto why = std::get<NoEndpoint>(begun).reason;
            reason = why == NoEndpoint::Reason::none_available ? HedgeReason::no_other
                                                               : HedgeReason::overloaded;
        }
    }
    note_hedge(call, reason, now - first.begun(), now);
    if (!second) {
        count_hedge(HedgeEnd::refused);
        return reason;
    }
    return std::move(*second);
}

bool ServicePolicies::is_overloaded(Instant now) const noexcept {
    const core::EpochGuard guard;
    const Table* table = table_.load(std::memory_order_acquire);
    if (table == nullptr || table->is_panic) return true;
    if (admission_.waiting() > 0 || throttle_.share() > 0) return true;
    return policy()->service_breaker.enabled &&
           breaker_.view(now).state != resilience::BreakerState::closed;
}

void ServicePolicies::note_hedge(
    const CallState& call, HedgeReason reason, Duration waited, Instant now
) {
    const auto ns = static_cast<std::uint64_t>(waited.count());
    const WorkerUse worker(workers_);
    worker->decisions.push(
        {.when_ns = now.time_since_epoch().count(),
         .call = call.number,
         .kind = Decision::Kind::hedge,
         .attempt = static_cast<std::uint8_t>(call.attempts),
         .reason = static_cast<std::uint8_t>(reason),
         .cells = {static_cast<std::uint32_t>(ns), static_cast<std::uint32_t>(ns >> 32U)},
         .tokens = static_cast<float>(budget_.available(now))}
    );
}

void ServicePolicies::count_hedge(HedgeEnd end) noexcept {
    const WorkerUse worker(workers_);
    worker->hedges[static_cast<std::size_t>(end)].add();
}

void ServicePolicies::learn_delay(
    Hedging& hedging, resilience::Outcome outcome, Duration latency
) noexcept {
    using resilience::Outcome;
    const unsigned stripe = core::thread_index();
    if (outcome == Outcome::success) hedging.delay.completed(latency, stripe);
    if (outcome == Outcome::timeout || outcome == Outcome::cancelled) {
        hedging.delay.censored(latency, stripe);
    }
}

}  // namespace datapunk::mesh::policy
