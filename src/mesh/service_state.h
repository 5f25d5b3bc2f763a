#pragma once

// ServiceState: one service in use by this mesh: its policies, and whether discovery has answered.
//
//   pending ──learn()──► known      for good: later answers only update the policies
//      └─────fail()────► failed ──learn()──► known
//
// Callers wait while pending, and only then. Lives as long as its mesh.
// Threads: learn() and fail() are the control loop's, the rest is anybody's.

#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/policy.h>
#include <datapunk/mesh/result.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

#include "io/thread_clock.h"
#include "metrics/metric_registry.h"
#include "policy/collector.h"
#include "policy/service_policies.h"

namespace datapunk::mesh::internal {

class ServiceState {
  public:
    ServiceState(
        std::string name,
        const ServicePolicy& policy,
        std::uint64_t seed,
        metrics::MetricRegistry& metrics
    );

    policy::ServicePolicies policies;
    policy::ServiceCollector collector;  // under MeshCore's scrape mutex
    metrics::Histogram call_duration;

    bool is_known() const noexcept { return is_known_.load(std::memory_order_acquire); }

    void learn(const EndpointSetPtr& set, Instant now, const policy::SetStep& step = {});
    // Discovery could not say; callers learn why instead of waiting.
    void fail(Error why);

    // Until known. An error if discovery failed or `until` has come.
    Result<> wait_known(io::ThreadClock& clock, Instant until);

  private:
    std::atomic<bool> is_known_{false};
    std::mutex mutex_;
    std::condition_variable changed_;
    std::optional<Error> failed_;
};

}  // namespace datapunk::mesh::internal
