#include "discovery/discovery_collector.h"

#include <gtest/gtest.h>

#include "metrics/names.h"

namespace datapunk::mesh::discovery {
namespace {

TEST(DiscoveryCollector, AddsWhatIsNewSinceTheLastTime) {
    metrics::MetricRegistry registry;
    DiscoveryCollector collector(registry, "consul");
    collector.count({.hits = 5, .misses = 2, .negative_hits = 1, .reconnects = 1});
    collector.count(
        {.hits = 7,
         .misses = 2,
         .negative_hits = 2,
         .reconnects = 1,
         .snapshot_load = "damaged",
         .watched = 3,
         .failing = 1}
    );
    const metrics::MetricsSnapshot snapshot = registry.snapshot();
    EXPECT_EQ(snapshot.find(metrics::names::kDiscoveryCacheHits)->total(), 7);
    EXPECT_EQ(snapshot.find(metrics::names::kDiscoveryCacheMisses)->total(), 2);
    EXPECT_EQ(snapshot.find(metrics::names::kWatchReconnects)->total(), 1);
    EXPECT_EQ(snapshot.find(metrics::names::kWatchesActive)->total(), 3);
    EXPECT_EQ(snapshot.find(metrics::names::kWatchesFailing)->total(), 1);
    const auto* hits = snapshot.find(metrics::names::kDiscoveryCacheHits);
    const std::vector<std::string> local = {"local"};
    for (const auto& series : hits->series) {
        if (series.labels == local) {
            EXPECT_EQ(std::get<std::uint64_t>(series.value), 5U);
        }
    }
    const auto* loads = snapshot.find(metrics::names::kSnapshotLoads);
    ASSERT_EQ(loads->series.size(), 1U);
    EXPECT_EQ(loads->series[0].labels, std::vector<std::string>{"damaged"});
}

TEST(DiscoveryCollector, SaysHowOldAndHowGoodWhatIsKnownIs) {
    metrics::MetricRegistry registry;
    DiscoveryCollector collector(registry, "consul");
    const Instant now{std::chrono::hours(2)};
    SetStatus set{.service = "api", .learned_at = now - std::chrono::minutes(1)};
    set.origin = Origin::cache;
    collector.describe(set, now);
    const auto value = [&](const metrics::MetricFamily& family) {
        return registry.snapshot().find(family)->total();
    };
    EXPECT_EQ(value(metrics::names::kDiscoverySetAge), 60);
    EXPECT_EQ(value(metrics::names::kDiscoverySetStale), 0);
    EXPECT_EQ(value(metrics::names::kDiscoverySetOrigin), 0);
    set.origin = Origin::snapshot;
    set.stale = true;
    collector.describe(set, now);
    EXPECT_EQ(value(metrics::names::kDiscoverySetStale), 1);
    EXPECT_EQ(value(metrics::names::kDiscoverySetOrigin), 3);
}

}  // namespace
}  // namespace datapunk::mesh::discovery
