#pragma once

// ServiceCollector: brings one service's totals and states into a MetricRegistry. Calls are counted
// by ServicePolicies itself; this copies the numbers, about once a second and before a scrape, so
// that recording a call touches no metric.
//
// Written: attempts by outcome, retries by reason, refusals, breaker states and changes, ejections,
// endpoints known, healthy and ejected, the limit of calls in flight and who waits for it. One
// thread at a time. Cost: O(endpoints).

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>

#include "metrics/metric_registry.h"
#include "policy/service_policies.h"

namespace datapunk::mesh::policy {

// Who counts the calls that get no endpoint. A proxy answers each of them and so counts it itself,
// with more reasons; twice would be once too often.
enum class Refusals : std::uint8_t { here, by_the_proxy };

class ServiceCollector {
  public:
    ServiceCollector(
        metrics::MetricRegistry& registry,
        const std::string& service,
        Refusals refusals = Refusals::here
    );

    // What was counted before this collector was made is not for it to count.
    void begin_at(const ServiceTotals& totals) { counted_ = totals; }

    void update(const ServicePolicies& policies, Instant now);
    // What drain_events() gave: the only word of changes that came and went between two updates.
    void count(std::span<const PolicyEvent> events);

  private:
    void update_endpoints(const ServiceView& view);
    void update_hedges(const ServiceTotals& totals, const ServiceView& view);

    metrics::MetricRegistry& registry_;
    const std::string service_;
    ServiceTotals counted_;
    std::array<metrics::Counter, kOutcomes> attempts_;
    std::array<metrics::Counter, kOutcomes> retries_;
    metrics::Counter retries_refused_;
    std::optional<std::array<metrics::Counter, kHedgeEnds>> hedges_;  // once there is a delay
    std::optional<metrics::Gauge> hedge_delay_;
    std::array<metrics::Counter, kReasons> refused_;
    metrics::Gauge degraded_;
    metrics::Gauge breaker_;
    metrics::Gauge breakers_forced_;
    metrics::Gauge known_;
    metrics::Gauge healthy_;
    metrics::Gauge ejected_;
    metrics::Gauge limit_;
    metrics::Gauge waiting_;
    metrics::Gauge callers_;
    metrics::Gauge throttled_;
    metrics::Gauge called_;
    metrics::Gauge panic_;
    metrics::Counter other_zone_;
    metrics::Counter later_priority_;
    struct EndpointGauges {
        metrics::Gauge breaker;
        std::optional<metrics::Gauge> latency_forecast{};
        std::optional<metrics::Gauge> in_flight_forecast{};
    };

    std::map<std::string, EndpointGauges, std::less<>> endpoints_;  // by id
};

}  // namespace datapunk::mesh::policy
