#include "metrics/metric_registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <set>
#include <thread>

#include "metrics/names.h"
#include "metrics/process_metrics.h"

namespace datapunk::mesh::metrics {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

constexpr MetricFamily kSmall{
    "test_small_total", MetricKind::counter, "", "A family of two series.", {"who"}, 2
};
constexpr MetricFamily kLevel{"test_level", MetricKind::gauge, "", "A gauge.", {"who"}, 2};

std::optional<std::uint64_t> count_of(
    MetricRegistry& registry, const MetricFamily& family, const std::vector<std::string>& labels
) {
    const MetricsSnapshot snapshot = registry.snapshot();
    const FamilySnapshot* found = snapshot.find(family);
    if (found == nullptr) return std::nullopt;
    for (const auto& series : found->series) {
        if (series.labels == labels) return std::get<std::uint64_t>(series.value);
    }
    return std::nullopt;
}

TEST(MetricRegistry, GivesTheSameSeriesForTheSameLabels) {
    MetricRegistry registry;
    registry.counter(names::kRequests, {"api", "2xx"}).add();
    registry.counter(names::kRequests, {"api", "2xx"}).add(2);
    registry.counter(names::kRequests, {"api", "5xx"}).add();
    EXPECT_EQ(count_of(registry, names::kRequests, {"api", "2xx"}), 3U);
    EXPECT_EQ(count_of(registry, names::kRequests, {"api", "5xx"}), 1U);
}

TEST(MetricRegistry, SumsOverShards) {
    MetricRegistry registry;
    const Shard one = registry.claim_shard();
    const Shard two = registry.claim_shard();
    EXPECT_NE(one.index, two.index);
    const Counter a = registry.counter(names::kRequests, {"api", "2xx"}, one);
    const Counter b = registry.counter(names::kRequests, {"api", "2xx"}, two);
    const Counter any = registry.counter(names::kRequests, {"api", "2xx"});
    a.add(1);
    b.add(10);
    any.add(100);
    EXPECT_EQ(count_of(registry, names::kRequests, {"api", "2xx"}), 111U);

    const Histogram h1 = registry.histogram(names::kRequestDuration, {"api"}, one);
    const Histogram h2 = registry.histogram(names::kRequestDuration, {"api"}, two);
    h1.record(1ms);
    h2.record(3ms);
    const MetricsSnapshot snapshot = registry.snapshot();
    const HistogramCounts counts = snapshot.find(names::kRequestDuration)->merged();
    EXPECT_EQ(counts.count(), 2U);
    EXPECT_EQ(counts.sum(), Duration(4ms));
}

TEST(MetricRegistry, SharesAShardWhenAllAreClaimed) {
    MetricRegistry registry;
    std::set<std::uint16_t> seen;
    for (std::size_t i = 0; i < MetricRegistry::kShardsMax; ++i) {
        const Shard shard = registry.claim_shard();
        EXPECT_TRUE(shard.exclusive);
        seen.insert(shard.index);
    }
    EXPECT_EQ(seen.size(), MetricRegistry::kShardsMax);
    const Shard over = registry.claim_shard();
    EXPECT_FALSE(over.exclusive);
    EXPECT_EQ(over.index, 0U);
}

TEST(MetricRegistry, SendsWhatIsBeyondTheLimitToTheOverflowSeriesAndCountsIt) {
    MetricRegistry registry;
    const Counter a = registry.counter(kSmall, {"a"});
    const Counter b = registry.counter(kSmall, {"b"});
    EXPECT_EQ(count_of(registry, names::kMetricsOverflow, {"test_small_total"}), std::nullopt);
    const Counter c = registry.counter(kSmall, {"c"});
    const Counter d = registry.counter(kSmall, {"d"});
    a.add(1);
    c.add(5);
    d.add(7);
    EXPECT_EQ(count_of(registry, kSmall, {"a"}), 1U);
    EXPECT_EQ(count_of(registry, kSmall, {"c"}), std::nullopt);
    EXPECT_EQ(count_of(registry, kSmall, {"overflow"}), 12U);
    EXPECT_EQ(count_of(registry, names::kMetricsOverflow, {"test_small_total"}), 2U);
}

TEST(MetricRegistry, DropsTheOldestSeriesThatNobodyHoldsBeforeItOverflows) {
    MetricRegistry registry;
    registry.counter(kSmall, {"gone"}).add(1);
    const Counter held = registry.counter(kSmall, {"held"});
    held.add(2);
    EXPECT_EQ(count_of(registry, kSmall, {"gone"}), 1U) << "kept while there is room";
    const Counter fresh = registry.counter(kSmall, {"fresh"});
    fresh.add(3);
    EXPECT_EQ(count_of(registry, kSmall, {"gone"}), std::nullopt);
    EXPECT_EQ(count_of(registry, kSmall, {"held"}), 2U);
    EXPECT_EQ(count_of(registry, kSmall, {"fresh"}), 3U);
    EXPECT_EQ(count_of(registry, kSmall, {"overflow"}), std::nullopt);
}

TEST(MetricRegistry, APlaceThatBecomesFreeIsFoundWithinSixtyFourRequests) {
    MetricRegistry registry;
    std::optional<Counter> first = registry.counter(kSmall, {"first"});
    const Counter second = registry.counter(kSmall, {"second"});
    registry.counter(kSmall, {"third"}).add(1);
    EXPECT_EQ(count_of(registry, kSmall, {"third"}), std::nullopt);
    first.reset();
    int requests = 0;
    while (!count_of(registry, kSmall, {"third"}) && requests < 100) {
        registry.counter(kSmall, {"third"}).add(1);
        ++requests;
    }
    EXPECT_LE(requests, 64);
    EXPECT_EQ(count_of(registry, kSmall, {"first"}), std::nullopt);
}

TEST(MetricRegistry, ShowsAGaugeOnlyWhileItIsHeld) {
    MetricRegistry registry;
    std::optional<Gauge> gauge = registry.gauge(kLevel, {"a"});
    gauge->set(4);
    gauge->add(-1.5);
    std::optional<Gauge> copy = gauge;
    EXPECT_EQ(registry.snapshot().find(kLevel)->total(), 2.5);
    gauge.reset();
    EXPECT_NE(registry.snapshot().find(kLevel), nullptr) << "the copy still holds it";
    copy.reset();
    EXPECT_EQ(registry.snapshot().find(kLevel), nullptr);
}

TEST(MetricRegistry, CutsAndRepairsLabelValues) {
    MetricRegistry registry;
    registry.counter(kSmall, {std::string(500, 'x')}).add();
    registry.counter(kSmall, {"caf\xc3\xa9 \xff\xc3"}).add();
    EXPECT_EQ(count_of(registry, kSmall, {std::string(kLabelBytesMax, 'x')}), 1U);
    EXPECT_EQ(count_of(registry, kSmall, {"caf\xc3\xa9 ??"}), 1U);
}

TEST(MetricRegistry, NeverCutsACharacterInTwo) {
    MetricRegistry registry;
    registry.counter(kSmall, {std::string(kLabelBytesMax - 1, 'x') + "\xc3\xa9"}).add();
    EXPECT_EQ(count_of(registry, kSmall, {std::string(kLabelBytesMax - 1, 'x')}), 1U);
}

TEST(MetricRegistry, RecordsNothingThroughADefaultHandle) {
    Counter().add();
    Gauge().set(1);
    Histogram().record(1ms);
}

TEST(MetricRegistry, LosesNothingWhenThreadsRecordLookUpAndRead) {
    MetricRegistry registry;
    constexpr int kTimes = 20'000;
    const auto work = [&registry](bool exclusive) {
        const Shard shard = exclusive ? registry.claim_shard() : Shard{};
        for (int i = 0; i < kTimes / 100; ++i) {
            const Counter counter = registry.counter(kSmall, {"a"}, shard);
            const Histogram histogram = registry.histogram(names::kRequestDuration, {"api"}, shard);
            for (int k = 0; k < 100; ++k) {
                counter.add();
                histogram.record(1ms);
            }
        }
    };
    std::vector<std::thread> threads;
    for (const bool exclusive : {true, true, false, false}) threads.emplace_back(work, exclusive);
    for (int i = 0; i < 20; ++i) registry.snapshot();
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(count_of(registry, kSmall, {"a"}), 4U * kTimes);
    const MetricsSnapshot last = registry.snapshot();
    const HistogramCounts counts = last.find(names::kRequestDuration)->merged();
    EXPECT_EQ(counts.count(), 4U * kTimes);
    EXPECT_EQ(counts.sum(), Duration(1ms) * 4 * kTimes);
}

TEST(Names, EveryNameFollowsTheConventions) {
    std::set<std::string_view> seen;
    for (const MetricFamily* family : names::kAll) {
        SCOPED_TRACE(family->name);
        EXPECT_TRUE(seen.insert(family->name).second) << "twice";
        EXPECT_TRUE(family->name.starts_with("mesh_") || family->name.starts_with("process_"));
        EXPECT_EQ(family->name.ends_with("_total"), family->kind == MetricKind::counter);
        EXPECT_TRUE(family->help.ends_with("."));
        EXPECT_EQ(
            family->unit.empty(),
            family->name.find("_seconds") == std::string_view::npos &&
                family->name.find("_bytes") == std::string_view::npos
        );
        for (const std::string_view label : family->labels) {
            EXPECT_EQ(label.find_first_not_of("abcdefghijklmnopqrstuvwxyz_"), label.npos);
            EXPECT_NE(label, "le");
        }
    }
}

TEST(ProcessMetrics, ShowsTheReadingAndOnlyTheCpuThatIsNew) {
    MetricRegistry registry;
    ProcessMetrics process(registry, {.version = "0.1.0", .revision = "abc", .compiler = "clang"});
    ProcessReading reading{
        .resident_bytes = 4096,
        .open_fds = 7,
        .max_fds = 1024,
        .cpu = 1500ms,
        .started_at = WallTime(1'700'000'000s)
    };
    process.update(reading);
    reading.cpu = 2s;
    process.update(reading);
    process.update(reading);
    const MetricsSnapshot snapshot = registry.snapshot();
    EXPECT_EQ(snapshot.find(names::kProcessCpu)->total(), 2'000'000) << "in microseconds";
    EXPECT_EQ(snapshot.find(names::kProcessResidentMemory)->total(), 4096);
    EXPECT_EQ(snapshot.find(names::kProcessStartTime)->total(), 1.7e9);
    EXPECT_THAT(
        snapshot.find(names::kBuildInfo)->series.at(0).labels, ElementsAre("0.1.0", "abc", "clang")
    );
}

}  // namespace
}  // namespace datapunk::mesh::metrics
