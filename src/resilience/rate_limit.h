#pragma once

// RateLimit: how many calls may begin in a time, kept as RateLimitConfig says.
//
//   acquire(now, patience) ─┬─ begins, at once or after a wait (leaky bucket)
//                           └─ refused, with how long to stay away
//
// A shared one is that of all processes together: SharedRate. One that takes the place of another
// (a policy has changed) goes on from what that has left, in proportion; a sliding window of the
// same length call by call. So a change is no way to a fresh burst.
//
// Thread rule: any thread; no lock, no allocation. Cost: that of the algorithm, 5 to 20 ns.

#include <datapunk/mesh/limits.h>
#include <datapunk/mesh/time.h>

#include <memory>
#include <optional>
#include <variant>

#include "resilience/leaky_bucket.h"
#include "resilience/leased.h"
#include "resilience/rate_decision.h"
#include "resilience/shared_rate.h"
#include "resilience/sliding_window.h"
#include "resilience/token_bucket.h"

namespace datapunk::mesh::resilience {

class RateLimit {
  public:
    // In its ranges; calls 0 = everything is admitted.
    explicit RateLimit(const RateLimitConfig& config, bool is_shared = false)
        : RateLimit(config, is_shared, nullptr, Instant{}) {}

    // In the place of `before`.
    RateLimit(const RateLimitConfig& config, bool is_shared, const RateLimit* before, Instant now);

    // `patience`: how long the call can wait for its turn; zero if it cannot.
    [[nodiscard]] RateDecision acquire(Instant now, Duration patience) noexcept;

    bool is_on() const noexcept { return !std::holds_alternative<std::monostate>(state_); }

    // To be exchanged; nothing if it is not shared.
    std::optional<Leased> leased() const;

    // Nothing of the past counts any more: a fresh one would decide alike.
    bool is_at_rest(Instant now) const noexcept;

  private:
    using Shared = std::unique_ptr<SharedRate>;  // the others are small: callers have one each
    using State = std::variant<std::monostate, TokenBucket, LeakyBucket, SlidingWindow, Shared>;

    static State state_of(
        const RateLimitConfig& config, bool is_shared, const RateLimit* before, Instant now
    );
    void go_on_from(const RateLimit& before, Instant now) noexcept;
    double used(Instant now) const noexcept;

    State state_;
};

}  // namespace datapunk::mesh::resilience
