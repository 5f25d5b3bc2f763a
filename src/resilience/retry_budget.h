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
// budget per service, never per endpoint. The reserve is per process, or
// (RetryBudgetConfig::shared) that of all processes together, of which this one has a LeasedSlice:
// taken from when the deposits are used up. A shared reserve begins with one token and grows by
// what is leased, or, while nobody answers, at this process' part of the rate: a whole reserve for
// each process that starts is what sharing is there to prevent.
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
#include <memory>

#include "resilience/leased_slice.h"

namespace datapunk::mesh::resilience {

class RetryBudget {
  public:
    static constexpr unsigned kStripes = 8;
    static constexpr unsigned kSlices = 10;

    // `config` has passed check(ServicePolicy).
    explicit RetryBudget(const RetryBudgetConfig& config);

    // Other rules from now on; what was deposited and withdrawn stays. Over another window it
    // counts as done just now, and what threads do in the same moment may be forgotten. One thread
    // at a time.
    void reconfigure(const RetryBudgetConfig& config, Instant now);

    // Once per call (its first attempt), or once for several. Any `stripe` will do.
    void deposit(Instant now, unsigned stripe = 0, std::uint32_t calls = 1) noexcept;
    // Once per retry or hedge; false = there is no token, do not send it.
    [[nodiscard]] bool try_withdraw(Instant now) noexcept;
    // What was withdrawn at `now` for an attempt that could not begin.
    void give_back(Instant now) noexcept;
    // Whether less than half of it is used up: the rest is for retries, which somebody waits for.
    bool has_half(Instant now) const noexcept;
    // Whole tokens at `now`, for display; at least 0.
    double available(Instant now) const noexcept;

    // Of the reserve that all processes share; null: it is not shared.
    // Not while it is reconfigured.
    std::shared_ptr<LeasedSlice> shared_reserve() const;

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

    void share(const RetryBudgetConfig& config);
    bool withdraw_own(Instant now) noexcept;
    std::uint64_t tick(Instant now) const noexcept;
    double capacity(std::uint64_t tick) const noexcept;
    double balance(std::uint64_t tick) const noexcept;
    static bool take_back(Word& word, std::uint64_t tick) noexcept;

    std::atomic<double> ratio_;
    std::atomic<double> reserve_;                // tokens; 0 if they are shared
    std::atomic<std::int64_t> slice_ns_;         // positive
    std::atomic<LeasedSlice*> shared_{nullptr};  // leased_, while it is shared
    std::shared_ptr<LeasedSlice> leased_;        // once it was; stays, for threads may hold it
    Slices withdrawals_;
    std::array<Slices, kStripes> deposits_;
};

}  // namespace datapunk::mesh::resilience
