#pragma once

// RateLimit: how many calls may begin in a time, kept as RateLimitConfig says.
//
//   acquire(now, patience) ─┬─ begins, at once or after a wait (leaky bucket)
//                           └─ refused, with how long to stay away
//
// A shared one (token bucket only) is that of all processes together, of which this one has a
// LeasedSlice that somebody exchanges. Without answers it fills by itself, at this process' part
// of the rate; until the first exchange, or if nobody ever exchanges it, a token bucket of its own
// has the whole rate. Its burst is at least what two exchanges bring, or the bucket would run over
// between them.
//
// Thread rule: any thread; no lock, no allocation. Cost: that of the algorithm, 5 to 20 ns.

#include <datapunk/mesh/limits.h>
#include <datapunk/mesh/time.h>

#include <memory>
#include <variant>

#include "resilience/leaky_bucket.h"
#include "resilience/leased_slice.h"
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
    explicit RateLimit(const RateLimitConfig& config, bool is_shared = false);

    // `patience`: how long the call can wait for its turn; zero if it cannot.
    [[nodiscard]] RateDecision acquire(Instant now, Duration patience) noexcept;

    bool is_on() const noexcept { return !std::holds_alternative<std::monostate>(state_); }

    // To be exchanged; null if it is not shared.
    std::shared_ptr<LeasedSlice> slice() const noexcept;

    // Nothing of the past counts any more: a fresh one would decide alike.
    bool is_at_rest(Instant now) const noexcept;

  private:
    struct Shared {
        Shared(const SliceConfig& slice, const TokenBucketConfig& own);

        std::shared_ptr<LeasedSlice> slice;
        TokenBucket own;
    };

    using State = std::variant<std::monostate, TokenBucket, LeakyBucket, SlidingWindow, Shared>;

    static State state_of(const RateLimitConfig& config, bool is_shared);

    Duration period_;  // between two calls, if they come evenly
    State state_;
};

}  // namespace datapunk::mesh::resilience
