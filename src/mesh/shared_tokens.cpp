#include "mesh/shared_tokens.h"

#include <utility>

#include "metrics/names.h"

namespace datapunk::mesh::internal {

namespace names = metrics::names;

Result<std::unique_ptr<SharedTokens>> SharedTokens::create(
    io::Network& network,
    const SharedCacheConfig& config,
    metrics::MetricRegistry& metrics,
    core::Logger log
) {
    auto exchange = redis::SliceExchange::create(network, config, std::move(log));
    if (!exchange) return std::move(exchange).error();
    return std::unique_ptr<SharedTokens>(new SharedTokens(*std::move(exchange), metrics));
}

SharedTokens::SharedTokens(
    std::unique_ptr<redis::SliceExchange> exchange, metrics::MetricRegistry& metrics
)
    : exchange_(std::move(exchange)),
      up_(metrics.gauge(names::kSharedTokensUp, {})),
      answered_(metrics.counter(names::kSharedTokensExchanges, {"ok"})),
      failed_(metrics.counter(names::kSharedTokensExchanges, {"failed"})),
      granted_(metrics.counter(names::kSharedTokensGranted, {})) {}

void SharedTokens::tick(std::span<policy::ServicePolicies* const> services) {
    for (policy::ServicePolicies* service : services) {
        for (auto& [kind, slice] : service->shared_slices()) {
            exchange_->add(std::string(kind) + ":" + service->name(), std::move(slice));
        }
    }
    const redis::SliceExchange::Stats& stats = exchange_->stats();
    answered_.add(stats.answered - counted_.answered);
    failed_.add(stats.failed - counted_.failed);
    granted_.add(stats.granted - counted_.granted);
    counted_ = stats;
    up_.set(counted_.answered > 0 && !exchange_->has_problem() ? 1 : 0);
}

}  // namespace datapunk::mesh::internal
