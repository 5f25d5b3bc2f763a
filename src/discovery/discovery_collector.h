#pragma once

// DiscoveryCollector: brings what discovery counts, and what it knows of every service, into a
// MetricRegistry, about once a second. The loop that owns the discovery owns this.

#include <datapunk/mesh/endpoint.h>

#include <map>
#include <string>
#include <string_view>

#include "discovery/discovery_stats.h"
#include "discovery/followed_service.h"
#include "metrics/metric_registry.h"

namespace datapunk::mesh::discovery {

class ServiceDiscovery;

class DiscoveryCollector {
  public:
    // `registry_kind`: "embedded", "consul", …
    DiscoveryCollector(metrics::MetricRegistry& registry, std::string_view registry_kind);

    void update(const ServiceDiscovery& discovery);

    // The two halves of that.
    void count(const DiscoveryStats& stats);
    void describe(const SetStatus& set, Instant now);

  private:
    struct Described {
        metrics::Gauge age;
        metrics::Gauge stale;
        metrics::Gauge origin;
        bool is_known = true;  // still
    };

    metrics::MetricRegistry& registry_;
    metrics::Counter hits_;
    metrics::Counter negative_hits_;
    metrics::Counter shared_hits_;
    metrics::Counter snapshot_hits_;
    metrics::Counter misses_;
    metrics::Counter shared_misses_;
    metrics::Counter stale_served_;
    metrics::Counter changes_;
    metrics::Counter held_back_;
    metrics::Counter index_resets_;
    metrics::Counter reconnects_;
    metrics::Counter callback_errors_;
    metrics::Counter snapshots_written_;
    metrics::Counter snapshots_failed_;
    metrics::Gauge watches_;
    metrics::Gauge failing_;
    DiscoveryStats counted_;
    std::map<std::string, Described, std::less<>> services_;
};

}  // namespace datapunk::mesh::discovery
