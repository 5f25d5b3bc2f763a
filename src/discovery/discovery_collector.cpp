#include "discovery/discovery_collector.h"

#include "metrics/names.h"

namespace datapunk::mesh::discovery {

namespace names = metrics::names;

DiscoveryCollector::DiscoveryCollector(
    metrics::MetricRegistry& registry, std::string_view registry_kind
)
    : hits_(registry.counter(names::kDiscoveryCacheHits, {"local"})),
      misses_(registry.counter(names::kDiscoveryCacheMisses, {"local"})),
      reconnects_(registry.counter(names::kWatchReconnects, {registry_kind})) {}

void DiscoveryCollector::update(const DiscoveryStats& stats) {
    hits_.add(stats.hits - counted_.hits);
    misses_.add(stats.misses - counted_.misses);
    reconnects_.add(stats.reconnects - counted_.reconnects);
    counted_ = stats;
}

}  // namespace datapunk::mesh::discovery
