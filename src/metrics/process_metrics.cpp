#include "metrics/process_metrics.h"

#include <chrono>

#include "metrics/names.h"

namespace datapunk::mesh::metrics {

ProcessMetrics::ProcessMetrics(MetricRegistry& registry, const BuildInfo& build)
    : build_(registry.gauge(names::kBuildInfo, {build.version, build.revision, build.compiler})),
      resident_bytes_(registry.gauge(names::kProcessResidentMemory, {})),
      open_fds_(registry.gauge(names::kProcessOpenFds, {})),
      max_fds_(registry.gauge(names::kProcessMaxFds, {})),
      started_at_(registry.gauge(names::kProcessStartTime, {})),
      cpu_(registry.counter(names::kProcessCpu, {})) {
    build_.set(1);
}

void ProcessMetrics::update(const ProcessReading& reading) {
    resident_bytes_.set(static_cast<double>(reading.resident_bytes));
    open_fds_.set(static_cast<double>(reading.open_fds));
    max_fds_.set(static_cast<double>(reading.max_fds));
    started_at_.set(std::chrono::duration<double>(reading.started_at.time_since_epoch()).count());
    const auto cpu_us = std::chrono::duration_cast<std::chrono::microseconds>(reading.cpu).count();
    if (cpu_us <= cpu_us_counted_) return;
    cpu_.add(static_cast<std::uint64_t>(cpu_us - cpu_us_counted_));
    cpu_us_counted_ = cpu_us;
}

}  // namespace datapunk::mesh::metrics
