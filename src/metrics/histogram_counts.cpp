#include "metrics/histogram_counts.h"

#include <algorithm>
#include <cmath>

namespace datapunk::mesh::metrics {

namespace {

Duration middle_of(std::size_t index) {
    const Duration low = HistogramCounts::lower_edge(index);
    return low + (HistogramCounts::lower_edge(index + 1) - low) / 2;
}

}  // namespace

HistogramCounts& HistogramCounts::operator+=(const HistogramCounts& other) noexcept {
    for (std::size_t i = 0; i < kBuckets; ++i) buckets_[i] += other.buckets_[i];
    count_ += other.count_;
    sum_ += other.sum_;
    return *this;
}

HistogramCounts HistogramCounts::since(const HistogramCounts& earlier) const {
    HistogramCounts window;
    for (std::size_t i = 0; i < kBuckets; ++i) {
        // A series may have been dropped and begun again between the readings: never below zero.
        const std::uint64_t fresh = buckets_[i] - std::min(buckets_[i], earlier.buckets_[i]);
        window.add(i, fresh, Duration::zero());
    }
    window.sum_ = std::max(sum_ - earlier.sum_, Duration::zero());
    return window;
}

std::uint64_t HistogramCounts::at_most(Duration bound) const noexcept {
    const std::size_t last = index_of(bound);
    const std::size_t end = middle_of(last) <= bound ? last + 1 : last;
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < end; ++i) total += buckets_[i];
    return total;
}

Duration HistogramCounts::quantile(double q) const noexcept {
    if (count_ == 0) return Duration::zero();
    const double rank = std::ceil(std::clamp(q, 0.0, 1.0) * static_cast<double>(count_));
    std::uint64_t left = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(rank));
    left = std::min(left, count_);
    for (std::size_t i = 0; i < kBuckets; ++i) {
        if (left <= buckets_[i]) return middle_of(i);
        left -= buckets_[i];
    }
    return lower_edge(kBuckets);
}

}  // namespace datapunk::mesh::metrics
