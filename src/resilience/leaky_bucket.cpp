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

std::optional<Duration> LeakyBucket::try_acquire(Instant now, Duration patience) noexcept {
    Instant next = next_.load(std::memory_order_relaxed);
    for (;;) {
        const Duration wait = wait_from(next, now);
        if (wait > std::min(depth_, patience)) return std::nullopt;
        if (next_.compare_exchange_weak(next, now + wait + period_, std::memory_order_relaxed)) {
            return wait;
        }
    }
}

Duration LeakyBucket::retry_in(Instant now, Duration patience) const noexcept {
    const Duration wait = wait_from(next_.load(std::memory_order_relaxed), now);
    return std::max(Duration::zero(), wait - std::min(depth_, patience));
}

}  // namespace datapunk::mesh::resilience
