#pragma once

// SharedRate: a RateLimit of all processes together, of which this one spends what it has leased,
// in the manner of the algorithm:
//
//   token_bucket     a LeasedSlice, and nothing else
//   leaky_bucket     a LeasedSlice that may be owed, and turns: no two calls of this process are
//                    closer than per / calls, and who waits does so at the pace at which this
//                    process gets tokens. At most `burst` wait in all processes together, one in
//                    each at least.
//   sliding_window   a LeasedWindow
//
// Together, of n processes: no interval of length t has more than
//   token_bucket     burst + rate x (t + 1 s), and what n slices keep in hand: half of the burst,
//                    one in each at least
//   leaky_bucket     the same with what two exchanges bring for burst, and as many as may wait
//   sliding_window   calls (t = per), while there are answers: leased_window.h
//
// Without answers each goes on at its part: the rate (of a window: the calls) divided by the
// processes that there were. Until the first exchange a limit of its own has the whole rate, with
// what one exchange brings for burst: nothing is known of others yet.
//
// The burst in the bucket that all share is at least what two exchanges bring, or it would run over
// between them.
//
// Thread rule: any thread; no lock, no allocation; one at a time goes on from another.

#include <datapunk/mesh/limits.h>
#include <datapunk/mesh/time.h>

#include <memory>

#include "resilience/leaky_bucket.h"
#include "resilience/leased.h"
#include "resilience/rate_decision.h"
#include "resilience/token_bucket.h"

namespace datapunk::mesh::resilience {

class SharedRate {
  public:
    // As RateLimit. Goes on with what `before` has leased, if it is of the same kind: neither loses
    // it, nor does this one begin with more.
    SharedRate(const RateLimitConfig& config, const SharedRate* before, Instant now);

    [[nodiscard]] RateDecision acquire(Instant now, Duration patience) noexcept;

    Leased leased() const;

    // The part of what there could be in hand that is used up; and to begin, before anything is
    // leased, with such a part.
    double used(Instant now) const noexcept;
    void set_used(double part, Instant now) noexcept;

  private:
    RateDecision take_token(Instant now) noexcept;
    RateDecision take_turn(Instant now, Duration patience) noexcept;

    RateAlgorithm algorithm_;
    Duration period_;  // between two calls, if they come evenly
    double depth_;     // of the leaky bucket: may wait
    std::shared_ptr<LeasedSlice> slice_;
    std::shared_ptr<LeasedWindow> window_;
    TokenBucket own_;    // until there is an exchange
    LeakyBucket turns_;  // of this process
};

}  // namespace datapunk::mesh::resilience
