#pragma once

// RateLimit: how many calls may begin in a time, kept as RateLimitConfig says.
//
//   acquire(now, patience) ─┬─ begins, at once or after a wait (leaky bucket)
//                           └─ refused, with how long to stay away
//
// Thread rule: any thread; no lock, no allocation. Cost: that of the algorithm, 5 to 20 ns.

#include <datapunk/mesh/limits.h>
#include <datapunk/mesh/time.h>

#include <variant>

#include "resilience/leaky_bucket.h"
#include "resilience/sliding_window.h"
#include "resilience/token_bucket.h"

namespace datapunk::mesh::resilience {

struct RateDecision {
    bool is_admitted = true;
    Duration wait{};  // until its turn; of a refused call, until it is worth asking again

    friend bool operator==(const RateDecision&, const RateDecision&) = default;
};

class RateLimit {
  public:
    // In its ranges; calls 0 = everything is admitted.
    explicit RateLimit(const RateLimitConfig& config) noexcept;

    // `patience`: how long the call can wait for its turn; zero if it cannot.
    [[nodiscard]] RateDecision acquire(Instant now, Duration patience) noexcept;

    bool is_on() const noexcept { return !std::holds_alternative<std::monostate>(state_); }

    // Nothing of the past counts any more: a fresh one would decide alike.
    bool is_at_rest(Instant now) const noexcept;

  private:
    using State = std::variant<std::monostate, TokenBucket, LeakyBucket, SlidingWindow>;

    static State state_of(const RateLimitConfig& config) noexcept;

    State state_;
};

}  // namespace datapunk::mesh::resilience
