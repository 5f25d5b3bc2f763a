#pragma once

// HistogramCounts: durations counted in log-linear buckets, 32 per octave, so that any quantile is
// right to 3 %. Values of 128 ns; linear below 8 us, then each octave halves into 32:
//
//     0    128ns  256ns        8.2us   8.4us        16.4us   16.9us
//     |------|------|-- ... --|-------|--- ... ----|---------|-- ...      last edge 275 s
//
// Longer durations count in the last bucket; the sum stays exact. Merging is addition and a window
// is a subtraction of two readings. A value, 7 KiB. The scheme is HdrHistogram's.

#include <datapunk/mesh/time.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace datapunk::mesh::metrics {

class HistogramCounts {
  public:
    static constexpr unsigned kUnitBits = 7;  // the unit is 2^7 ns
    static constexpr unsigned kSubBits = 5;   // 2^5 buckets an octave
    static constexpr unsigned kTopBits = 38;  // 2^38 ns = 275 s: over four minutes nobody waits
    static constexpr std::size_t kBuckets = std::size_t{kTopBits - kUnitBits - kSubBits + 1}
                                            << kSubBits;

    static constexpr std::size_t index_of(Duration value) noexcept {
        if (value.count() <= 0) return 0;
        const auto ns = static_cast<std::uint64_t>(value.count());
        if (ns >> kTopBits != 0) return kBuckets - 1;
        const std::uint64_t units = ns >> kUnitBits;
        const auto octave = static_cast<unsigned>(std::bit_width(units | (1U << kSubBits))) - 1;
        const unsigned shift = octave - kSubBits;
        return (std::size_t{shift} << kSubBits) + static_cast<std::size_t>(units >> shift);
    }

    // The smallest duration of a bucket; of kBuckets, the end of the last one.
    static constexpr Duration lower_edge(std::size_t index) noexcept {
        constexpr std::size_t kLinear = std::size_t{2} << kSubBits;
        const std::size_t shift = index < kLinear ? 0 : (index >> kSubBits) - 1;
        const std::uint64_t units = (index - (shift << kSubBits)) << shift;
        return Duration(static_cast<std::int64_t>(units << kUnitBits));
    }

    HistogramCounts() : buckets_(kBuckets) {}

    void record(Duration value) noexcept { add(index_of(value), 1, value); }

    // Counts `times` values of a bucket that add up to `sum`.
    void add(std::size_t index, std::uint64_t times, Duration sum) noexcept {
        buckets_[index] += times;
        count_ += times;
        sum_ += sum;
    }

    HistogramCounts& operator+=(const HistogramCounts& other) noexcept;

    // What was recorded since `earlier`, a previous reading of the same histogram.
    HistogramCounts since(const HistogramCounts& earlier) const;

    std::uint64_t count() const noexcept { return count_; }

    Duration sum() const noexcept { return sum_; }

    // How many values are at most `bound`, to the bucket: one whose middle is above is left out.
    std::uint64_t at_most(Duration bound) const noexcept;

    // The q-quantile, 0 <= q <= 1, as the middle of its bucket; zero if nothing was recorded.
    Duration quantile(double q) const noexcept;

    friend bool operator==(const HistogramCounts&, const HistogramCounts&) = default;

  private:
    std::vector<std::uint64_t> buckets_;
    std::uint64_t count_ = 0;
    Duration sum_ = Duration::zero();
};

}  // namespace datapunk::mesh::metrics
