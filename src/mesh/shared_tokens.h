#pragma once

// SharedTokens: what the services' policies share with other processes in tokens
// (ServicePolicies::shared_slices: the reserve of retry budgets, for one), leased through Redis:
// redis::SliceExchange. Redis down or slow stops and slows no call: see resilience::LeasedSlice.
//
// One loop's object.

#include <datapunk/mesh/discovery.h>
#include <datapunk/mesh/result.h>

#include <memory>
#include <span>
#include <string>

#include "core/log.h"
#include "io/network.h"
#include "metrics/metric_registry.h"
#include "policy/service_policies.h"
#include "redis/slice_exchange.h"

namespace datapunk::mesh::internal {

class SharedTokens {
  public:
    // `config` is checked and has a host. An error only if its CA cannot be read. Connects when a
    // service first shares.
    static Result<std::unique_ptr<SharedTokens>> create(
        io::Network& network,
        const SharedCacheConfig& config,
        metrics::MetricRegistry& metrics,
        core::Logger log
    );

    // About once a second, with every service.
    void tick(std::span<policy::ServicePolicies* const> services);

  private:
    SharedTokens(std::unique_ptr<redis::SliceExchange> exchange, metrics::MetricRegistry& metrics);

    std::unique_ptr<redis::SliceExchange> exchange_;
    redis::SliceExchange::Stats counted_;
    metrics::Gauge up_;
    metrics::Counter answered_;
    metrics::Counter failed_;
    metrics::Counter granted_;
};

}  // namespace datapunk::mesh::internal
