#include "resilience/token_bucket.h"

#include <algorithm>
#include <cmath>

namespace datapunk::mesh::resilience {

namespace {

constexpr double kSlowest = 1.0 / (24 * 3600);
constexpr double kFastest = 1e9;  // a period of one nanosecond
constexpr std::uint32_t kBurstMax = 1'000'000;
constexpr Duration kDepthMax = std::chrono::hours(50 * 365 * 24);  // the clock holds 292 years

Duration period_of(double per_second) noexcept {
    const double rate = per_second > kSlowest ? std::min(per_second, kFastest) : kSlowest;
    return Duration(static_cast<std::int64_t>(std::llround(1e9 / rate)));
}

// count x period without overflow; beyond kDepthMax Duration::max().
Duration times(Duration period, std::uint32_t count) noexcept {
    if (count == 0) return Duration::zero();
    return period > kDepthMax / count ? Duration::max() : period * count;
}

}  // namespace

TokenBucket::TokenBucket(const TokenBucketConfig& config) noexcept
    : period_(period_of(config.per_second)),
      depth_(
          std::min(kDepthMax, times(period_, std::clamp<std::uint32_t>(config.burst, 1, kBurstMax)))
      ) {}

bool TokenBucket::try_acquire(Instant now, std::uint32_t cost) noexcept {
    Instant full_at = full_at_.load(std::memory_order_relaxed);
    do {
        if (wait_from(full_at, now, cost) > Duration::zero()) return false;
        if (cost == 0) return true;
    } while (!full_at_.compare_exchange_weak(
        full_at, std::max(full_at, now) + period_ * cost, std::memory_order_relaxed
    ));
    return true;
}

Duration TokenBucket::retry_in(Instant now, std::uint32_t cost) const noexcept {
    return wait_from(full_at_.load(std::memory_order_relaxed), now, cost);
}

double TokenBucket::used(Instant now) const noexcept {
    if (is_full(now)) return 0;
    const Duration debt = full_at_.load(std::memory_order_relaxed) - now;
    return std::min(1.0, static_cast<double>(debt.count()) / static_cast<double>(depth_.count()));
}

void TokenBucket::set_used(double part, Instant now) noexcept {
    const double debt = std::clamp(part, 0.0, 1.0) * static_cast<double>(depth_.count());
    full_at_.store(now + Duration(static_cast<std::int64_t>(debt)), std::memory_order_relaxed);
}

Duration TokenBucket::wait_from(Instant full_at, Instant now, std::uint32_t cost) const noexcept {
    const Duration price = times(period_, cost);
    if (price > depth_) return Duration::max();
    const Duration debt = full_at > now ? full_at - now : Duration::zero();
    return cost == 0 ? Duration::zero() : std::max(Duration::zero(), debt + price - depth_);
}

}  // namespace datapunk::mesh::resilience
