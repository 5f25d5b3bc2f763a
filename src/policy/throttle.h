#pragma once

// Throttle: adaptive throttling for one service's calls, from its threads' counters
// (resilience/adaptive_throttle.h has the rule). Whoever comes first in a slice of the window sums
// them up; everybody else reads the share that came of it, one line that is hardly ever written.
//
// Threads: any. Off: one load of a constant.

#include <datapunk/mesh/limits.h>
#include <datapunk/mesh/time.h>

#include <atomic>
#include <mutex>

#include "balance/candidate.h"
#include "policy/worker.h"
#include "resilience/adaptive_throttle.h"

namespace datapunk::mesh::policy {

class Throttle {
  public:
    Throttle(const ThrottleConfig& config, const WorkerTable& workers) noexcept
        : is_on_(config.enabled), workers_(workers), rule_(config) {}

    // Other rules from now on: it learns afresh.
    void reconfigure(const ThrottleConfig& config) noexcept;

    Throttle(const Throttle&) = delete;
    Throttle& operator=(const Throttle&) = delete;

    bool is_on() const noexcept { return is_on_.load(std::memory_order_relaxed); }

    // May the attempt be made? `worker` is the calling thread's.
    bool admits(Worker& worker, Instant now) noexcept {
        if (!is_on()) [[likely]]
            return true;
        if (now >= next_.load(std::memory_order_relaxed)) update(now);
        const double share = share_.load(std::memory_order_relaxed);
        return share == 0 || !worker.pick.rng.chance(share);
    }

    // That is refused at present.
    double share() const noexcept { return share_.load(std::memory_order_relaxed); }

  private:
    void update(Instant now) noexcept;

    std::atomic<bool> is_on_;
    const WorkerTable& workers_;
    alignas(balance::kCacheLineBytes) std::atomic<double> share_{0};
    std::atomic<Instant> next_{Instant::min()};
    std::mutex mutex_;  // of the rest
    resilience::AdaptiveThrottle rule_;
};

}  // namespace datapunk::mesh::policy
