#pragma once

// HedgeDelay: how long to wait for an attempt before a second one is sent: a percentile of how long
// answers take, measured over the last minute.
//
//   attempts' ends, any thread:  completed(latency), censored(after)  → counts by bucket
//   tick(now), about once a second: counts of the last six slices of 10 s → delay()
//
// What is learned from: first attempts only, for hedges go where it is fast. An attempt that was
// cancelled (its hedge won, the caller left) or timed out after t has not taken t: it would have
// taken longer, nobody knows how long. Left out, or counted as t, it would make the percentile
// shrink with every hedge until everything is hedged; so such samples are *censored*, and the
// percentile is that of the Kaplan-Meier estimate of the distribution:
//
//   S(t) = Π (1 - d_i / n_i)      over the buckets up to t; d_i answers in it, n_i samples that
//                                 were still out when it began
//
// Where censoring leaves it undefined, the longest time seen is the answer: late rather than often.
//
// Buckets are eighths of an octave, 16 µs to an hour; the delay is the upper border of one, so at
// most an eighth too long. No delay until five samples can be expected beyond the percentile.
// Threads: as above; tick() by one. 30 ns a sample, 20 KiB. Source: Dean, Barroso, "The Tail at
// Scale", 2013; Kaplan, Meier 1958; Finagle BackupRequestFilter (for the choice of samples).

#include <datapunk/mesh/policy.h>
#include <datapunk/mesh/time.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace datapunk::mesh::resilience {

class HedgeDelay {
  public:
    // `config` has passed check(ServicePolicy).
    explicit HedgeDelay(const HedgeConfig& config) noexcept;

    // What was measured stays.
    void reconfigure(const HedgeConfig& config) noexcept;

    // Any `stripe` will do; a number of the thread's own shares no written line.
    void completed(Duration latency, unsigned stripe = 0) noexcept;
    void censored(Duration after, unsigned stripe = 0) noexcept;

    void tick(Instant now) noexcept;

    // Nothing: not known yet. Any thread.
    std::optional<Duration> delay() const noexcept;

    // Below that a hedge costs more than it can win.
    static constexpr Duration kDelayMin = std::chrono::milliseconds(1);
    static constexpr Duration kSlice = std::chrono::seconds(10);

  private:
    static constexpr std::size_t kSlices = 6;
    static constexpr unsigned kStripes = 4;
    static constexpr unsigned kFirstOctave = 14;  // 2^14 ns = 16 µs
    static constexpr unsigned kOctaves = 28;      // to 2^42 ns = 73 min
    static constexpr std::size_t kBuckets = kOctaves * 8UL;

    template <class Count>
    struct Counts {
        std::array<Count, kBuckets> completed{};
        std::array<Count, kBuckets> censored{};
    };

    struct alignas(64) Stripe : Counts<std::atomic<std::uint32_t>> {};

    static std::size_t bucket_of(Duration time) noexcept;
    static Duration upper_border(std::size_t bucket) noexcept;
    std::optional<Duration> estimate() const noexcept;

    std::atomic<double> share_;  // of the answers that have come
    std::atomic<std::int64_t> fixed_ns_;
    std::array<Stripe, kStripes> stripes_{};
    std::atomic<std::int64_t> delay_ns_{0};  // 0: not known

    // tick()'s.
    std::array<Counts<std::uint32_t>, kSlices> slices_{};
    std::size_t current_ = 0;
    std::optional<Instant> slice_ends_;
};

}  // namespace datapunk::mesh::resilience
