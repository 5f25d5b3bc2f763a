#pragma once

// CheckSchedule: when a check runs next. Many checks with one interval must spread over it, stay
// spread, and not all run at once when a paused process wakes up.
//
//   start     phase                 phase + interval       phase + 2 x interval
//     ├─────────┼───────────────────────┼───────────────────────┼──────────►
//     phase is uniform in [0, interval)   each run ± jitter (10 %) of the interval off its grid
//     point
//
// Runs are counted from the grid, never from the last run: no drift. A run missed by a whole
// interval or more is not made up for: the check waits for its next grid point, which is as spread
// as the phases are. A failing check is not run less often: recovery must be seen as fast.
//
// Thread rule: one owner. Source: Consul agent/checks (first run at a random delay), for the rest
// the pile-ups that others report after VM pauses.

#include <datapunk/mesh/time.h>

#include "core/rng.h"

namespace datapunk::mesh::health {

class CheckSchedule {
  public:
    static constexpr double kJitter = 0.1;  // of the interval, either way, unless told otherwise

    // `interval` is positive; `jitter` is a share of it, 0 .. 0.5.
    CheckSchedule(Duration interval, Instant now, core::Rng& rng, double jitter = kJitter) noexcept;

    Instant next_at() const noexcept { return next_at_; }

    // Call at next_at(). True: run the check now. Either way next_at() moves on if it was due.
    [[nodiscard]] bool take_due(Instant now, core::Rng& rng) noexcept;

  private:
    void aim(core::Rng& rng) noexcept;

    Duration interval_;
    double jitter_;
    Instant grid_;  // the point that next_at_ is jittered around
    Instant next_at_;
};

}  // namespace datapunk::mesh::health
