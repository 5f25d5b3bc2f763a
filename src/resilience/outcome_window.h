#pragma once

// OutcomeWindow: how many of the last calls failed, and how many were slow. What a circuit breaker
// judges by. Two kinds, by CircuitBreakerConfig:
//
//   window_calls   the last so many calls: a ring of two bits a call
//   window_time    the calls of the last so long: kSlices sums of a slice of time each
//
//   │ slice │ slice │ … │ slice │ now: the newest slice, not over yet
//   └── kSlices, the newest included: 0.9 to 1.0 x window_time are covered
//
// Invariant: failures() and slow() never exceed calls(); by calls, calls() never exceeds
// window_calls. A result may come a little late (`at` before the newest slice): it goes where it
// belongs, or nowhere if that is over.
//
// Thread rule: one owner. Cost: O(1); by time, up to kSlices when time has passed. Memory: two bits
// a call, or 132 bytes.
// Source: Hystrix's rolling counters, resilience4j's two kinds of sliding window.

#include <datapunk/mesh/policy.h>
#include <datapunk/mesh/time.h>

#include <cstdint>
#include <vector>

namespace datapunk::mesh::resilience {

class OutcomeWindow {
  public:
    static constexpr std::int64_t kSlices = 10;

    // `config` has passed check(ServicePolicy). Disabled: remembers nothing.
    explicit OutcomeWindow(const CircuitBreakerConfig& config);

    // As if it had been made so; what it remembers stays as far as it fits in, if the kind of
    // window stays the same.
    void reconfigure(const CircuitBreakerConfig& config, Instant now);

    // Forgets what is too old for `now`. By calls nothing ever is.
    void advance(Instant now) noexcept;
    void add(bool failed, bool slow, Instant at) noexcept;
    // As add(false, false, at) so many times, at about the price of one.
    void add_successes(std::uint32_t calls, Instant at) noexcept;
    void clear() noexcept;

    std::uint32_t calls() const noexcept { return sum_.calls; }

    std::uint32_t failures() const noexcept { return sum_.failures; }

    std::uint32_t slow() const noexcept { return sum_.slow; }

  private:
    struct Sum {
        std::uint32_t calls = 0;
        std::uint32_t failures = 0;
        std::uint32_t slow = 0;
    };

    std::int64_t slice_of(Instant at) const noexcept;
    void add_to_ring(bool failed, bool slow) noexcept;
    void add_successes_to_ring(std::uint32_t calls) noexcept;
    void copy_ring(const OutcomeWindow& from) noexcept;
    void copy_slices(const OutcomeWindow& from) noexcept;
    void drop(Sum& slice) noexcept;

    std::uint32_t ring_calls_;  // 0 = by time, or disabled
    Duration slice_{};          // zero = by calls, or disabled
    std::vector<std::uint64_t> ring_;
    std::uint32_t ring_at_ = 0;
    std::vector<Sum> slices_;  // by number of the slice, modulo kSlices
    std::int64_t newest_ = 0;  // number of the newest slice
    Sum sum_;
};

}  // namespace datapunk::mesh::resilience
