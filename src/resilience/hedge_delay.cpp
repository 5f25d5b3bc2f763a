#include "resilience/hedge_delay.h"

#include <algorithm>
#include <bit>

namespace datapunk::mesh::resilience {

namespace {

constexpr double kSamplesBeyond = 5;

}  // namespace

HedgeDelay::HedgeDelay(const HedgeConfig& config) noexcept
    : share_(config.percentile / 100), fixed_ns_(config.delay.count()) {}

void HedgeDelay::reconfigure(const HedgeConfig& config) noexcept {
    share_.store(config.percentile / 100, std::memory_order_relaxed);
    fixed_ns_.store(config.delay.count(), std::memory_order_relaxed);
}

std::size_t HedgeDelay::bucket_of(Duration time) noexcept {
    const auto ns = static_cast<std::uint64_t>(std::max<std::int64_t>(0, time.count()));
    if (ns < std::uint64_t{1} << kFirstOctave) return 0;
    const auto octave = static_cast<unsigned>(std::bit_width(ns)) - 1;
    const std::uint64_t eighth = ns >> (octave - 3U) & 7U;
    return std::min<std::size_t>((octave - kFirstOctave) * 8UL + eighth, kBuckets - 1);
}

Duration HedgeDelay::upper_border(std::size_t bucket) noexcept {
    const std::size_t octave = kFirstOctave + bucket / 8;
    return Duration(static_cast<std::int64_t>((bucket % 8 + 9) << (octave - 3)));
}

void HedgeDelay::completed(Duration latency, unsigned stripe) noexcept {
    stripes_[stripe % kStripes].completed[bucket_of(latency)].fetch_add(
        1, std::memory_order_relaxed
    );
}

void HedgeDelay::censored(Duration after, unsigned stripe) noexcept {
    stripes_[stripe % kStripes].censored[bucket_of(after)].fetch_add(1, std::memory_order_relaxed);
}

std::optional<Duration> HedgeDelay::delay() const noexcept {
    const std::int64_t fixed_ns = fixed_ns_.load(std::memory_order_relaxed);
    if (fixed_ns > 0) return Duration(fixed_ns);
    const std::int64_t ns = delay_ns_.load(std::memory_order_relaxed);
    if (ns == 0) return std::nullopt;
    return Duration(ns);
}

void HedgeDelay::tick(Instant now) noexcept {
    if (!slice_ends_) slice_ends_ = now + kSlice;
    for (std::size_t turned = 0; now >= *slice_ends_ && turned < kSlices; ++turned) {
        current_ = (current_ + 1) % kSlices;
        slices_[current_] = {};
        *slice_ends_ += kSlice;
    }
    if (now >= *slice_ends_) slice_ends_ = now + kSlice;  // after a long pause
    Counts<std::uint32_t>& slice = slices_[current_];
    for (Stripe& stripe : stripes_) {
        for (std::size_t i = 0; i < kBuckets; ++i) {
            for (auto* counts : {&stripe.completed, &stripe.censored}) {
                auto& count = (*counts)[i];
                if (count.load(std::memory_order_relaxed) == 0) continue;
                auto& sum = counts == &stripe.completed ? slice.completed[i] : slice.censored[i];
                sum += count.exchange(0, std::memory_order_relaxed);
            }
        }
    }
    const auto found = estimate();
    delay_ns_.store(found ? found->count() : 0, std::memory_order_relaxed);
}

std::optional<Duration> HedgeDelay::estimate() const noexcept {
    const double share = share_.load(std::memory_order_relaxed);
    Counts<std::uint64_t> sums;
    double out = 0;  // samples that are still out when a bucket begins
    for (const auto& slice : slices_) {
        for (std::size_t i = 0; i < kBuckets; ++i) {
            sums.completed[i] += slice.completed[i];
            sums.censored[i] += slice.censored[i];
            out += slice.completed[i];
            out += slice.censored[i];
        }
    }
    if (out * (1 - share) < kSamplesBeyond) return std::nullopt;
    double survived = 1;
    std::size_t longest = 0;
    for (std::size_t i = 0; i < kBuckets && out > 0; ++i) {
        const auto answers = static_cast<double>(sums.completed[i]);
        const auto others = static_cast<double>(sums.censored[i]);
        if (answers + others > 0) longest = i;
        survived *= 1 - answers / out;
        if (1 - survived >= share) break;
        out -= answers + others;
    }
    return std::max(kDelayMin, upper_border(longest));
}

}  // namespace datapunk::mesh::resilience
