#include "resilience/leaky_bucket.h"

#include <algorithm>

namespace datapunk::mesh::resilience {

namespace {

constexpr Duration kDepthMax = std::chrono::hours(50 * 365 * 24);  // the clock holds 292 years

}  // namespace

LeakyBucket::LeakyBucket(Duration period, std::uint32_t depth) noexcept
    : period_(std::clamp(period, Duration(1), kDepthMax)),
      depth_(
          depth != 0 && period_ > kDepthMax / depth ? kDepthMax
                                                    : period_ * static_cast<std::int64_t>(depth)
      ) {}

std::optional<Duration> LeakyBucket::try_acquire(
    Instant now, Duration patience, Duration period
) noexcept {
    Instant next = next_.load(std::memory_order_relaxed);
    for (;;) {
        const Duration wait = wait_from(next, now);
        if (wait > std::min(depth_, patience)) return std::nullopt;
        if (next_.compare_exchange_weak(next, now + wait + period, std::memory_order_relaxed)) {
            return wait;
        }
    }
}

double LeakyBucket::used(Instant now) const noexcept {
    const Duration wait = wait_from(next_.load(std::memory_order_relaxed), now);
    if (wait == Duration::zero() || depth_ == Duration::zero()) return 0;
    return std::min(1.0, static_cast<double>(wait.count()) / static_cast<double>(depth_.count()));
}

void LeakyBucket::set_used(double part, Instant now) noexcept {
    const double wait = std::clamp(part, 0.0, 1.0) * static_cast<double>(depth_.count());
    next_.store(now + Duration(static_cast<std::int64_t>(wait)), std::memory_order_relaxed);
}

Duration LeakyBucket::retry_in(Instant now, Duration patience) const noexcept {
    const Duration wait = wait_from(next_.load(std::memory_order_relaxed), now);
    return std::max(Duration::zero(), wait - std::min(depth_, patience));
}

}  // namespace datapunk::mesh::resilience
