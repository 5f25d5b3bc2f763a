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

    [[nodiscard]] bool try_acquire(Instant now) noexcept;
    // How long from `now` until try_acquire() passes if nobody else comes.
    Duration retry_in(Instant now) const noexcept;

    bool is_empty(Instant now) const noexcept { return sum(slice_at(now)) == 0; }

  private:
    // The number of the slice, and in the low bits how many began in it.
    static constexpr unsigned kCountBits = 24;
    static constexpr std::uint64_t kCountMask = (1U << kCountBits) - 1;

    std::uint64_t slice_at(Instant now) const noexcept;
    std::uint64_t sum(std::uint64_t slice) const noexcept;

    std::uint32_t calls_;
    std::uint64_t slice_ns_;
    std::array<std::atomic<std::uint64_t>, kSlices> counts_{};
};

}  // namespace datapunk::mesh::resilience
