#pragma once

// ProcessMetrics: what is running and what it costs. The numbers are read elsewhere (io/) and
// passed in.

#include <cstdint>
#include <string_view>

#include "metrics/metric_registry.h"

namespace datapunk::mesh::metrics {

struct ProcessReading {
    std::uint64_t resident_bytes = 0;
    std::uint64_t open_fds = 0;
    std::uint64_t max_fds = 0;
    Duration cpu = Duration::zero();  // user and system, since the start
    WallTime started_at;
};

struct BuildInfo {
    std::string_view version;
    std::string_view revision;
    std::string_view compiler;
};

class ProcessMetrics {
  public:
    ProcessMetrics(MetricRegistry& registry, const BuildInfo& build);

    // Call before a snapshot, from one thread.
    void update(const ProcessReading& reading);

  private:
    Gauge build_;
    Gauge resident_bytes_;
    Gauge open_fds_;
    Gauge max_fds_;
    Gauge started_at_;
    Counter cpu_;
    std::int64_t cpu_us_counted_ = 0;
};

}  // namespace datapunk::mesh::metrics
