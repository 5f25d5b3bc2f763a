#include "metrics/clock_watch.h"

#include "metrics/names.h"

namespace datapunk::mesh::metrics {

ClockWatch::ClockWatch(MetricRegistry& registry)
    : jumps_(registry.counter(names::kWallClockJumps, {})) {}

Duration ClockWatch::look(Instant now, WallTime wall, const core::Logger& log) {
    const Duration ahead = wall.time_since_epoch() - now.time_since_epoch();
    const Duration by = ahead - ahead_.value_or(ahead);
    ahead_ = ahead;
    if (by > -kNoticed && by < kNoticed) return Duration::zero();
    jumps_.add(1);
    log.warn(
        "the wall clock was set; times to live and deadlines go by another one",
        {{"seconds", std::chrono::duration<double>(by).count()}}
    );
    return by;
}

}  // namespace datapunk::mesh::metrics
