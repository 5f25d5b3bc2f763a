#include "mesh/service_state.h"

#include <fmt/format.h>

#include "metrics/names.h"

namespace datapunk::mesh::internal {

ServiceState::ServiceState(
    std::string name,
    const ServicePolicy& policy,
    std::uint64_t seed,
    metrics::MetricRegistry& metrics
)
    : policies(std::move(name), policy, seed),
      collector(metrics, policies.name()),
      call_duration(metrics.histogram(metrics::names::kRequestDuration, {policies.name()})) {}

void ServiceState::learn(const EndpointSetPtr& set, Instant now, const policy::SetStep& step) {
    policies.update(set, now, step);
    if (is_known_.load(std::memory_order_relaxed)) return;
    {
        const std::lock_guard lock(mutex_);
        is_known_.store(true, std::memory_order_release);
    }
    changed_.notify_all();
}

void ServiceState::fail(Error why) {
    {
        const std::lock_guard lock(mutex_);
        failed_ = std::move(why);
    }
    changed_.notify_all();
}

Result<> ServiceState::wait_known(io::ThreadClock& clock, Instant until) {
    std::unique_lock lock(mutex_);
    while (!is_known_.load(std::memory_order_relaxed)) {
        if (failed_) {
            Error error = *failed_;
            error.what = fmt::format("{}: not discovered yet: {}", policies.name(), error.what);
            return error;
        }
        if (clock.now() >= until) {
            return Error{
                .code = Code::timeout,
                .what = fmt::format(
                    "{}: not discovered in time, the registry has not answered", policies.name()
                ),
                .source = Source::registry,
                .retryable = true
            };
        }
        clock.wait(lock, changed_, until);
    }
    return Ok{};
}

}  // namespace datapunk::mesh::internal
