#pragma once

// LeakyBucket: calls leave evenly, one every period. Who comes too early waits its turn, unless the
// bucket is full: so bursts are made even instead of let through (TokenBucket) or refused. Kept as
// one instant, when the next one may leave.
//
//   ──┬──────┬──────┬──────┬────► time     turn = max(now, next); next' = turn + period
//    now   turn   turn    next             refused iff turn - now > depth x period, or > patience
//
// Invariants: turns are at least a period apart, in the order of the calls; an idle bucket lets one
// go at once and saves nothing up; a refusal takes no turn. A turn that its caller gives up is
// lost: the others keep theirs.
//
// Thread rule: any thread; one atomic word. Cost: ~5 ns. Source: Turner 1986, as a queue; the
// leaky bucket as a meter is the token bucket.

#include <datapunk/mesh/time.h>

#include <atomic>
#include <cstdint>
#include <optional>

namespace datapunk::mesh::resilience {

class LeakyBucket {
  public:
    // `period` at least 1 ns; at most `depth` wait.
    LeakyBucket(Duration period, std::uint32_t depth) noexcept;
    LeakyBucket(const LeakyBucket&) = delete;
    LeakyBucket& operator=(const LeakyBucket&) = delete;

    // How long to wait for one's turn, which is then taken; zero = go. Nothing if that is longer
    // than `patience` or too many wait.
    std::optional<Duration> try_acquire(Instant now, Duration patience) noexcept {
        return try_acquire(now, patience, period_);
    }

    // The next one leaves `period` later: this time it is longer than usual.
    std::optional<Duration> try_acquire(Instant now, Duration patience, Duration period) noexcept;
    // When somebody as patient would get a turn, from now: for Retry-After.
    Duration retry_in(Instant now, Duration patience) const noexcept;

    // The part of the depth that is waited for at `now`; and to begin with such a part.
    double used(Instant now) const noexcept;
    void set_used(double part, Instant now) noexcept;

    bool is_empty(Instant now) const noexcept {
        return next_.load(std::memory_order_relaxed) <= now;
    }

  private:
    Duration wait_from(Instant next, Instant now) const noexcept {
        return next > now ? next - now : Duration::zero();
    }

    Duration period_;
    Duration depth_;  // of a full bucket
    std::atomic<Instant> next_{Instant::min()};
};

}  // namespace datapunk::mesh::resilience
