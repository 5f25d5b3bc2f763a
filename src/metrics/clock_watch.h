#pragma once

// ClockWatch: notices that the wall clock was set, by looking at it beside the one that only goes
// on. Nothing here is measured by the wall clock but what calendars are for (certificates, tokens,
// the age of a snapshot on the disk), and those are what a jump explains. One owner; O(1).
//
//     every second: look(…) ── wall went on by about as much as now ──> zero
//                    └── by kNoticed more or less ──> counted, said; by how much

#include <datapunk/mesh/time.h>

#include <optional>

#include "core/log.h"
#include "metrics/metric_registry.h"

namespace datapunk::mesh::metrics {

class ClockWatch {
  public:
    // Less is what a busy machine does between reading the one clock and the other, and NTP's
    // slewing (0.5 ms a second).
    static constexpr Duration kNoticed = std::chrono::seconds(2);

    explicit ClockWatch(MetricRegistry& registry);

    // By how much the wall clock was set since the last look, forward or (negative) back, which is
    // counted and said; zero if it was not.
    Duration look(Instant now, WallTime wall, const core::Logger& log);

  private:
    Counter jumps_;
    std::optional<Duration> ahead_;  // wall clock less the other one, at the last look
};

}  // namespace datapunk::mesh::metrics
