#pragma once

// SlidingWindow: in no interval of length `per` do more than `calls` begin, wherever it starts. A
// fixed window lets twice as many through around its end, a token bucket its burst and the rate.
//
//   |··|··|··|··|··|··|··|··|··|··|··|··|··|··|··|··|▒▒|──► time    17 slices of per / 16: whatever
//    └───────── what began here still counts ────────┘  now         began within `per` is in them
//
// Invariants: the promise above, whatever threads do at the same time: a call first counts itself
// and then looks whether all are too many. The price is a slice: what began between 1 and 17/16 of
// `per` ago still counts, so that under a load that never lets up at least 16/17 of the calls
// begin. Two that count themselves at once when one is left may both be refused.
//
// Thread rule: any thread; each slice is one atomic word, and all agree on their order. Threads
// whose `now` differ by less than a slice are fine. Cost: ~20 ns; a refusal writes nothing.
// Source: the sliding window log, in slices; Cloudflare's two windows and a weight promise less.

#include <datapunk/mesh/time.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace datapunk::mesh::resilience {

class SlidingWindow {
  public:
    static constexpr std::size_t kSlices = 17;

    // `calls` up to 1000000; `per` at least 10 ms.
    SlidingWindow(std::uint32_t calls, Duration per) noexcept;
    SlidingWindow(const SlidingWindow&) = delete;
    SlidingWindow& operator=(const SlidingWindow&) = delete;

    [[nodiscard]] bool try_acquire(Instant now) noexcept {
        return try_acquire(now, calls_.load(std::memory_order_relaxed));
    }

    // For less than `calls`, or more.
    [[nodiscard]] bool try_acquire(Instant now, std::uint64_t calls) noexcept;
    // One that has begun whether or not it should.
    void count(Instant now, std::uint32_t calls = 1) noexcept;
    // How long from `now` until try_acquire() passes if nobody else comes.
    Duration retry_in(Instant now) const noexcept {
        return retry_in(now, calls_.load(std::memory_order_relaxed));
    }

    Duration retry_in(Instant now, std::uint64_t calls) const noexcept;

    // That have begun and still count.
    std::uint64_t begun(Instant now) const noexcept { return sum(slice_at(now)); }

    std::uint32_t calls() const noexcept { return calls_.load(std::memory_order_relaxed); }

    // The part of `calls` that is used up at `now`; and to begin with such a part.
    double used(Instant now) const noexcept;
    void set_used(double part, Instant now) noexcept;
    // To begin with what has begun under another: call by call if `per` is the same.
    void go_on_from(const SlidingWindow& before, Instant now) noexcept;
    // Others from now on, likewise. One thread at a time; what others do in the same moment may be
    // forgotten.
    void reconfigure(std::uint32_t calls, Duration per, Instant now) noexcept;

    bool is_empty(Instant now) const noexcept { return sum(slice_at(now)) == 0; }

  private:
    // The number of the slice, and in the low bits how many began in it.
    static constexpr unsigned kCountBits = 24;
    static constexpr std::uint64_t kCountMask = (1U << kCountBits) - 1;

    std::uint64_t slice_at(Instant now) const noexcept;
    std::uint64_t sum(std::uint64_t slice) const noexcept;
    // What the word is then.
    static std::uint64_t add(
        std::atomic<std::uint64_t>& entry, std::uint64_t slice, std::uint32_t calls
    ) noexcept;

    std::atomic<std::uint32_t> calls_;
    std::atomic<std::uint64_t> slice_ns_;
    std::array<std::atomic<std::uint64_t>, kSlices> counts_{};
};

}  // namespace datapunk::mesh::resilience
