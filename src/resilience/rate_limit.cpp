#include "resilience/rate_limit.h"

#include <algorithm>
#include <cmath>

namespace datapunk::mesh::resilience {

namespace {

constexpr double kSlowest = 1.0 / 3600;  // one an hour: a million of them still fit the clock
constexpr double kFastest = 1e9;         // a period of one nanosecond
constexpr std::uint32_t kBurstMax = 1'000'000;

Duration period_of(double per_second) noexcept {
    const double rate = per_second > kSlowest ? std::min(per_second, kFastest) : kSlowest;
    return Duration(static_cast<std::int64_t>(std::llround(1e9 / rate)));
}

}  // namespace

RateLimit::RateLimit(const RateLimitConfig& config) noexcept
    : period_(period_of(config.per_second)),
      depth_(period_ * std::clamp<std::uint32_t>(config.burst, 1, kBurstMax)) {}

bool RateLimit::try_acquire(Instant now, std::uint32_t cost) noexcept {
    if (retry_in(now, cost) > Duration::zero()) return false;
    if (cost > 0) full_at_ = std::max(full_at_, now) + period_ * cost;
    return true;
}

Duration RateLimit::retry_in(Instant now, std::uint32_t cost) const noexcept {
    if (cost > kBurstMax || period_ * cost > depth_) return Duration::max();
    const Duration debt = full_at_ > now ? full_at_ - now : Duration::zero();
    return std::max(
        Duration::zero(), cost == 0 ? Duration::zero() : debt + period_ * cost - depth_
    );
}

}  // namespace datapunk::mesh::resilience
