#include "discovery/discovery_collector.h"

#include <gtest/gtest.h>

#include "metrics/names.h"

namespace datapunk::mesh::discovery {
namespace {

TEST(DiscoveryCollector, AddsWhatIsNewSinceTheLastTime) {
    metrics::MetricRegistry registry;
    DiscoveryCollector collector(registry, "consul");
    collector.update({.hits = 5, .misses = 2, .reconnects = 1});
    collector.update({.hits = 7, .misses = 2, .reconnects = 1});
    const metrics::MetricsSnapshot snapshot = registry.snapshot();
    EXPECT_EQ(snapshot.find(metrics::names::kDiscoveryCacheHits)->total(), 7);
    EXPECT_EQ(snapshot.find(metrics::names::kDiscoveryCacheMisses)->total(), 2);
    EXPECT_EQ(snapshot.find(metrics::names::kWatchReconnects)->total(), 1);
}

}  // namespace
}  // namespace datapunk::mesh::discovery
