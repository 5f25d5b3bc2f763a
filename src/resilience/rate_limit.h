#pragma once

// RateLimit: a token bucket that holds `burst` tokens and gains per_second of them. Kept as one
// instant, the theoretical arrival time of the next call (GCRA): nothing to refill, no drift, any
// idle time costs nothing.
//
//   ──┬──────────────┬─────────► time      admitted iff tat + cost x period - now <= burst x period
//    now            tat                     tat = when the bucket will be full again
//
// Thread rule: one owner. Cost: ~2 ns. Source: ITU-T I.371 (GCRA).

#include <datapunk/mesh/time.h>

#include <cstdint>

namespace datapunk::mesh::resilience {

struct RateLimitConfig {
    double per_second = 100;   // (0, 1e9]
    std::uint32_t burst = 50;  // 1..1000000: admitted at once after idleness

    friend bool operator==(const RateLimitConfig&, const RateLimitConfig&) = default;
};

class RateLimit {
  public:
    // A rate outside its range is taken as the nearest end of it.
    explicit RateLimit(const RateLimitConfig& config) noexcept;

    // cost 0 always passes; cost > burst never does.
    [[nodiscard]] bool try_acquire(Instant now, std::uint32_t cost = 1) noexcept;
    // How long from `now` until try_acquire(cost) passes if nobody else takes a token: for
    // Retry-After. Duration::max() if never.
    Duration retry_in(Instant now, std::uint32_t cost = 1) const noexcept;

  private:
    Duration period_;  // of one token
    Duration depth_;   // of a full bucket
    Instant full_at_ = Instant::min();
};

}  // namespace datapunk::mesh::resilience
