#include "policy/throttle.h"

#include <algorithm>

namespace datapunk::mesh::policy {

void Throttle::reconfigure(const ThrottleConfig& config) noexcept {
    const std::lock_guard lock(mutex_);
    rule_ = resilience::AdaptiveThrottle(config);
    share_.store(0, std::memory_order_relaxed);
    next_.store(Instant::min(), std::memory_order_relaxed);
    is_on_.store(config.enabled, std::memory_order_relaxed);
}

void Throttle::update(Instant now) noexcept {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock.owns_lock() || now < next_.load(std::memory_order_relaxed)) return;
    resilience::AdaptiveThrottle::Totals totals;
    workers_.for_each([&](const Worker& worker) {
        totals.cancelled +=
            worker.outcomes[static_cast<std::size_t>(resilience::Outcome::cancelled)].load();
        totals.cancelled += worker.unused.load();
        totals.overloaded += worker.overloaded.load();
        totals.refused +=
            worker.refused[static_cast<std::size_t>(NoEndpoint::Reason::throttled)].load();
        totals.begun += worker.begun.load();
        totals.ended += worker.finished.load();
    });
    share_.store(rule_.update(totals, now), std::memory_order_relaxed);
    next_.store(now + rule_.slice(), std::memory_order_relaxed);
}

}  // namespace datapunk::mesh::policy
