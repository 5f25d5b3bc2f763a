#pragma once

// DiscoveryCollector: brings what discovery counts into a MetricRegistry, about once a second. The
// loop that owns the discovery owns this.

#include <string_view>

#include "discovery/discovery_stats.h"
#include "metrics/metric_registry.h"

namespace datapunk::mesh::discovery {

class DiscoveryCollector {
  public:
    // `registry_kind`: "embedded", "consul", …
    DiscoveryCollector(metrics::MetricRegistry& registry, std::string_view registry_kind);

    void update(const DiscoveryStats& stats);

  private:
    metrics::Counter hits_;
    metrics::Counter misses_;
    metrics::Counter reconnects_;
    DiscoveryStats counted_;
};

}  // namespace datapunk::mesh::discovery
