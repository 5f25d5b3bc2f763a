#include "metrics/histogram_counts.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/rng.h"

namespace datapunk::mesh::metrics {
namespace {

using namespace std::chrono_literals;

TEST(HistogramCounts, EveryBucketBeginsWhereTheLastEnds) {
    for (std::size_t i = 0; i < HistogramCounts::kBuckets; ++i) {
        const Duration low = HistogramCounts::lower_edge(i);
        const Duration end = HistogramCounts::lower_edge(i + 1);
        ASSERT_LT(low, end) << i;
        ASSERT_EQ(HistogramCounts::index_of(low), i);
        ASSERT_EQ(HistogramCounts::index_of(end - 1ns), i);
    }
    EXPECT_EQ(HistogramCounts::lower_edge(HistogramCounts::kBuckets), Duration(1LL << 38));
}

TEST(HistogramCounts, BucketsAreAtMostThreePercentWideAboveEightMicroseconds) {
    for (std::size_t i = 64; i < HistogramCounts::kBuckets; ++i) {
        const auto low = static_cast<double>(HistogramCounts::lower_edge(i).count());
        const auto end = static_cast<double>(HistogramCounts::lower_edge(i + 1).count());
        ASSERT_LE((end - low) / low, 1.0 / 32) << i;
    }
}

TEST(HistogramCounts, TakesWhatIsOutOfRangeAtTheEnds) {
    EXPECT_EQ(HistogramCounts::index_of(-5s), 0U);
    EXPECT_EQ(HistogramCounts::index_of(Duration::max()), HistogramCounts::kBuckets - 1);
    EXPECT_EQ(HistogramCounts::index_of(Duration::min()), 0U);
    HistogramCounts counts;
    counts.record(1h);
    EXPECT_EQ(counts.count(), 1U);
    EXPECT_EQ(counts.sum(), Duration(1h)) << "the sum stays exact";
    EXPECT_EQ(counts.at_most(10min), 1U);
    EXPECT_EQ(counts.at_most(10s), 0U);
}

TEST(HistogramCounts, QuantilesAreWithinThreePercentOfTheSortedValues) {
    constexpr std::uint64_t kSeed = 20261121;
    SCOPED_TRACE(kSeed);
    core::Rng rng(kSeed);
    HistogramCounts counts;
    std::vector<Duration> values;
    for (int i = 0; i < 20'000; ++i) {
        const Duration value(static_cast<std::int64_t>(10'000 + rng.below(1U << rng.below(31))));
        values.push_back(value);
        counts.record(value);
    }
    std::sort(values.begin(), values.end());
    for (const double q : {0.01, 0.5, 0.9, 0.99, 0.999, 1.0}) {
        const auto rank = static_cast<std::size_t>(q * 20'000) - 1;
        const auto exact = static_cast<double>(values[rank].count());
        EXPECT_NEAR(static_cast<double>(counts.quantile(q).count()), exact, exact * 0.032) << q;
    }
}

TEST(HistogramCounts, QuantileOfNothingIsZero) {
    EXPECT_EQ(HistogramCounts().quantile(0.5), Duration::zero());
}

TEST(HistogramCounts, QuantileOfOneValueIsThatValueForEveryQ) {
    HistogramCounts counts;
    counts.record(1ms);
    for (const double q : {-1.0, 0.0, 0.5, 1.0, 2.0}) {
        EXPECT_GT(counts.quantile(q), 980us);
        EXPECT_LT(counts.quantile(q), 1020us);
    }
}

TEST(HistogramCounts, MergingIsTheSameAsRecordingTogether) {
    HistogramCounts one;
    HistogramCounts two;
    HistogramCounts both;
    for (int i = 1; i < 500; ++i) {
        (i % 3 == 0 ? one : two).record(i * 37us);
        both.record(i * 37us);
    }
    one += two;
    EXPECT_EQ(one, both);
}

TEST(HistogramCounts, WindowHoldsOnlyWhatCameSince) {
    HistogramCounts counts;
    for (int i = 0; i < 1000; ++i) counts.record(1ms);
    const HistogramCounts before = counts;
    for (int i = 0; i < 10; ++i) counts.record(1s);
    const HistogramCounts window = counts.since(before);
    EXPECT_EQ(window.count(), 10U);
    EXPECT_EQ(window.sum(), Duration(10s));
    EXPECT_GT(window.quantile(0.5), 980ms);
    EXPECT_EQ(counts.since(counts).count(), 0U);
    EXPECT_EQ(before.since(counts).count(), 0U) << "a series begun again is not negative";
}

}  // namespace
}  // namespace datapunk::mesh::metrics
