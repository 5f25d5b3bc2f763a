#pragma once

// ServiceBreaker: the circuit breaker of a service as a whole, over the attempts at all its
// endpoints. It opens when the service fails although other endpoints were tried, and then calls
// are refused at once instead of one by one.
//
// As a Cell does: while it is closed and its record is clean, a call reads one word that nobody
// writes, and its success is noted by the calling thread; else the lock is taken.
//
// Threads: any. Cost: a relaxed load a call while closed and clean.

#include <datapunk/mesh/failure.h>
#include <datapunk/mesh/time.h>

#include <atomic>
#include <cstdint>

#include "balance/candidate.h"
#include "policy/spin_lock.h"
#include "policy/worker.h"
#include "resilience/circuit_breaker.h"
#include "resilience/retry_policy.h"

namespace datapunk::mesh::policy {

class ServiceBreaker {
  public:
    // `config` has passed check(ServicePolicy).
    explicit ServiceBreaker(const CircuitBreakerConfig& config);

    // As CircuitBreaker::reconfigure().
    void reconfigure(
        const CircuitBreakerConfig& config, Instant now, resilience::BreakerTransition& changed
    );

    // The era of the permit that every attempt gets while it is closed; 0 = admit() says.
    std::uint32_t open_door() const noexcept {
        return word_.load(std::memory_order_relaxed) & ~kClean;
    }

    // The era to hand back with the result; 0 = refused.
    std::uint32_t admit(Instant now, resilience::BreakerTransition& changed) noexcept {
        const std::uint32_t era = open_door();
        return era != 0 ? era : ask(now, changed);
    }

    bool is_enabled() const noexcept { return is_enabled_.load(std::memory_order_relaxed); }

    // `noted`: the calling thread's.
    void record(
        std::uint32_t era,
        resilience::Verdict verdict,
        Duration latency,
        Instant now,
        NotedSuccesses& noted,
        resilience::BreakerTransition& changed
    ) noexcept {
        if (!is_enabled()) return;
        const Duration slow_call = slow_call_.load(std::memory_order_relaxed);
        if (verdict == resilience::Verdict::success && latency < slow_call &&
            word_.load(std::memory_order_relaxed) == (era | kClean) &&
            noted.has_room(kNumber, era)) {
            noted.add(kNumber, era, now);
            return;
        }
        record_locked(era, verdict, latency >= slow_call, now, noted, changed);
    }

    // The attempt that was admitted found no endpoint.
    void give_back(std::uint32_t era) noexcept;
    void force(BreakerForce how, Instant now, resilience::BreakerTransition& changed) noexcept;

    struct View {
        resilience::BreakerState state = resilience::BreakerState::closed;
        BreakerForce forced = BreakerForce::none;
        double admitted_share = 1;
        Instant next_probe_at = Instant::min();
    };

    View view(Instant now) const noexcept;

    // Not closed at all, by the word alone: false may be a moment old.
    bool may_refuse() const noexcept { return word_.load(std::memory_order_relaxed) == 0; }

  private:
    static constexpr std::uint32_t kClean = 1U << 31U;
    static constexpr std::uint32_t kNumber = 1;  // the only one that notes in its NotedSuccesses

    std::uint32_t ask(Instant now, resilience::BreakerTransition& changed) noexcept;
    void record_locked(
        std::uint32_t era,
        resilience::Verdict verdict,
        bool slow,
        Instant now,
        NotedSuccesses& noted,
        resilience::BreakerTransition& changed
    ) noexcept;
    void publish(Instant now) noexcept;

    std::atomic<bool> is_enabled_;
    std::atomic<Duration> slow_call_;
    // The era while closed, with kClean if the record is; 0 = ask.
    std::atomic<std::uint32_t> word_{0};
    alignas(balance::kCacheLineBytes) mutable SpinLock lock_;
    resilience::CircuitBreaker breaker_;
};

}  // namespace datapunk::mesh::policy
