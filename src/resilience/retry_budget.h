#pragma once

// RetryBudget: bounds retries and hedges together. Every call deposits `ratio` tokens, every retry
// withdraws one; min_per_second x window tokens are always there. Deposits and withdrawals live for
// `window`, in ten slices:
//
//   time ──►  [ s0 ][ s1 ][ s2 ] … [ s9 ]     allowed: withdrawn + 1 <= reserve + ratio x deposited
//              oldest                now                                  (sums over the ten
//              slices)
//
// so retries <= ratio x calls + min_per_second x time (+ one window's reserve at the start). One
// budget per service, never per endpoint; the reserve is per process.
//
// Thread rule: any thread. Each slice is one word holding its slice number and its count, reused in
// place; relaxed atomics. A withdrawal is written before it is judged and taken back if refused, so
// threads that race may be refused one too many; they are given one too many at most once, at the
// border of two slices. Deposits are spread over
// kStripes cache lines: pass a number of the thread's own (a worker index) and no line is shared.
// Cost: deposit ~9 ns; withdraw ~50 ns, only before a retry. An idle hour costs nothing to catch
// up. Source: Finagle RetryBudget and TokenBucket.

#include <datapunk/mesh/policy.h>
#include <datapunk/mesh/time.h>

#include <array>
#include <atomic>
#include <cstdint>

namespace datapunk::mesh::resilience {

class RetryBudget {
  public:
    static constexpr unsigned kStripes = 8;
    static constexpr unsigned kSlices = 10;

    // `config` has passed check(ServicePolicy).
    explicit RetryBudget(const RetryBudgetConfig& config) noexcept;

    // Other rules from now on; what was deposited and withdrawn stays. Over another window it
    // counts as done just now, and what threads do in the same moment may be forgotten. One thread
    // at a time.
    void reconfigure(const RetryBudgetConfig& config, Instant now) noexcept;

    // Once per call (its first attempt), or once for several. Any `stripe` will do.
    void deposit(Instant now, unsigned stripe = 0, std::uint32_t calls = 1) noexcept;
    // Once per retry or hedge; false = there is no token, do not send it.
    [[nodiscard]] bool try_withdraw(Instant now) noexcept;
    // Whole tokens at `now`, for display; at least 0.
    double available(Instant now) const noexcept;

  private:
    // Slice number in the high bits, count in the low ones. 2^36 calls per slice; slice numbers go
    // round every 2^28 slices, 310 days at the shortest window, and are compared on that circle.
    using Word = std::atomic<std::uint64_t>;
    static constexpr unsigned kCountBits = 36;

    struct alignas(64) Slices {
        std::array<Word, kSlices> words{};

        Word& add(std::uint64_t tick, std::uint32_t count) noexcept;
        std::uint64_t sum(std::uint64_t tick) const noexcept;
    };

    std::uint64_t tick(Instant now) const noexcept;
    double balance(std::uint64_t tick) const noexcept;

    std::atomic<double> ratio_;
    std::atomic<double> reserve_;         // tokens
    std::atomic<std::int64_t> slice_ns_;  // positive
    Slices withdrawals_;
    std::array<Slices, kStripes> deposits_;
};

}  // namespace datapunk::mesh::resilience
