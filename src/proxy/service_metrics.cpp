#include "proxy/service_metrics.h"

#include "core/hash.h"
#include "metrics/names.h"

namespace datapunk::mesh::proxy {

namespace names = metrics::names;

ServiceMetrics::ServiceMetrics(
    metrics::MetricRegistry& registry, metrics::Shard shard, std::string_view service
)
    : duration(registry.histogram(names::kRequestDuration, {service}, shard)),
      in_flight(registry.gauge(names::kRequestsInFlight, {service}, shard)) {
    constexpr std::array<std::string_view, 6> kClasses = {
        "error", "1xx", "2xx", "3xx", "4xx", "5xx"
    };
    for (std::size_t i = 0; i < kClasses.size(); ++i) {
        by_class[i] = registry.counter(names::kRequests, {service, kClasses[i]}, shard);
    }
}

void GrpcCounters::add(
    metrics::MetricRegistry& registry,
    metrics::Shard shard,
    std::string_view service,
    std::string_view method,
    std::string_view status
) {
    wanted_.clear();
    for (const std::string_view label : {service, method, status}) {
        wanted_ += label;
        wanted_ += '\0';
    }
    Used& used = used_[core::hash64(wanted_) % used_.size()];
    if (used.labels != wanted_) {
        used.counter = registry.counter(names::kGrpcRequests, {service, method, status}, shard);
        used.labels = wanted_;
    }
    used.counter.add();
}

UpstreamUse upstream_use(
    metrics::MetricRegistry& registry, metrics::Shard shard, std::string_view service
) {
    return {
        .open = registry.gauge(names::kUpstreamConnectionsOpen, {service}, shard),
        .created = registry.counter(names::kUpstreamConnections, {service}, shard),
        .failed = registry.counter(names::kUpstreamConnectFailures, {service, "connect"}, shard),
        .tls_failed = registry.counter(names::kUpstreamConnectFailures, {service, "tls"}, shard)
    };
}

ListenerMetrics::ListenerMetrics(
    metrics::MetricRegistry& registry, metrics::Shard shard, std::string_view listener
)
    : connections(registry.counter(names::kListenerConnections, {listener}, shard)),
      connections_open(registry.gauge(names::kListenerConnectionsOpen, {listener}, shard)) {}

}  // namespace datapunk::mesh::proxy
