#pragma once

// TokenBucket: holds `burst` tokens and gains per_second of them. Kept as one instant, the
// theoretical arrival time of the next call (GCRA): nothing to refill, no drift, any idle time
// costs nothing.
//
//   ──┬──────────────┬─────────► time      admitted iff tat + cost x period - now <= burst x period
//    now            tat                     tat = when the bucket will be full again
//
// Invariant: no interval of length t gets more than burst + per_second x t. A refusal takes
// nothing, so that who is refused and comes again at once does not put off its turn.
//
// Thread rule: any thread; one atomic word. Threads whose `now` differ by a little see a bucket
// that is as much younger or older. Cost: ~5 ns. Source: ITU-T I.371 (GCRA).

#include <datapunk/mesh/time.h>

#include <atomic>
#include <cstdint>

namespace datapunk::mesh::resilience {

struct TokenBucketConfig {
    double per_second = 100;   // [1 a day, 1e9]
    std::uint32_t burst = 50;  // 1..1000000: admitted at once after idleness

    friend bool operator==(const TokenBucketConfig&, const TokenBucketConfig&) = default;
};

class TokenBucket {
  public:
    // A rate outside its range is taken as the nearest end of it; a bucket that takes more than 50
    // years to fill as one of 50 years.
    explicit TokenBucket(const TokenBucketConfig& config) noexcept;
    TokenBucket(const TokenBucket&) = delete;
    TokenBucket& operator=(const TokenBucket&) = delete;

    // cost 0 always passes; cost > burst never does.
    [[nodiscard]] bool try_acquire(Instant now, std::uint32_t cost = 1) noexcept;
    // How long from `now` until try_acquire(cost) passes if nobody else takes a token: for
    // Retry-After. Duration::max() if never.
    Duration retry_in(Instant now, std::uint32_t cost = 1) const noexcept;

    // The part of the burst that is used up at `now`; and to begin with such a part.
    double used(Instant now) const noexcept;
    void set_used(double part, Instant now) noexcept;

    bool is_full(Instant now) const noexcept {
        return full_at_.load(std::memory_order_relaxed) <= now;
    }

  private:
    Duration wait_from(Instant full_at, Instant now, std::uint32_t cost) const noexcept;

    Duration period_;  // of one token
    Duration depth_;   // of a full bucket
    std::atomic<Instant> full_at_{Instant::min()};
};

}  // namespace datapunk::mesh::resilience
