#pragma once

// Hedging: a second attempt of a call at another endpoint while the first is still out. What
// ServicePolicies keeps for it, and its words.
//
//   begin_attempt ── hedge_after: so long ──► begin_hedge ──► HedgeReason, or another HeldEndpoint
//        │                                        │
//        └──────── who answers first ─────────────┴──► finish_attempt: the loser as `cancelled`
//                                                      count_hedge: won, lost, failed, refused
//
// Asked in this order, the tokens last: is the service well (no panic, its breaker closed, nobody
// waits for a place, a place is free, less than half of the retry budget used up)? Is there an
// endpoint that the call has not asked? Is there a token of the hedges' own share, and one of the
// retry budget? So hedges stop by themselves when a service is overloaded, which is when everything
// is slow and everything would be hedged.
//
// Source: Dean, Barroso, "The Tail at Scale", 2013; brpc issues 2668 and 2695 for the traps.

#include <datapunk/mesh/policy.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "resilience/hedge_delay.h"
#include "resilience/retry_budget.h"

namespace datapunk::mesh::policy {

enum class HedgeReason : std::uint8_t {
    sent,
    overloaded,        // panic, the service's breaker, or its limit of calls in flight
    budget_low,        // half of the retry budget is used up
    no_other,          // endpoint that the call has not asked
    share_used,        // HedgeConfig::max
    budget_exhausted,  // the retry budget
};

std::string_view to_string(HedgeReason reason) noexcept;

// What came of it; as in metrics.
enum class HedgeEnd : std::uint8_t {
    won,      // its answer was the call's
    lost,     // the first attempt was faster
    failed,   // neither answered, or it failed before the first attempt answered
    refused,  // not sent: see HedgeReason
};

inline constexpr std::size_t kHedgeEnds = 4;

std::string_view to_string(HedgeEnd end) noexcept;

struct Hedging {
    explicit Hedging(const ServicePolicy& policy) : delay(policy.hedge), share(share_of(policy)) {}

    void reconfigure(const ServicePolicy& policy, Instant now) {
        delay.reconfigure(policy.hedge);
        share.reconfigure(share_of(policy), now);
    }

    resilience::HedgeDelay delay;
    resilience::RetryBudget share;

  private:
    static RetryBudgetConfig share_of(const ServicePolicy& policy) {
        return {
            .ratio = policy.hedge.max, .min_per_second = 0, .window = policy.retry.budget.window
        };
    }
};

// On or off, while calls run: what was measured stays.
class HedgingSwitch {
  public:
    // By one thread at a time.
    void set(const ServicePolicy& policy, Instant now) {
        const bool is_on = policy.hedge.max > 0;
        if (is_on && kept_ == nullptr) kept_ = std::make_unique<Hedging>(policy);
        if (is_on) kept_->reconfigure(policy, now);
        on_.store(is_on ? kept_.get() : nullptr, std::memory_order_release);
    }

    // Null: off.
    Hedging* get() const noexcept { return on_.load(std::memory_order_acquire); }

  private:
    std::unique_ptr<Hedging> kept_;
    std::atomic<Hedging*> on_{nullptr};
};

}  // namespace datapunk::mesh::policy
