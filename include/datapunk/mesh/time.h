#pragma once

// The one vocabulary for time. Algorithms take `Instant now` as an argument; only io/ and sim/ own
// clocks, so a test moves time by passing a later instant.

#include <chrono>

namespace datapunk::mesh {

using Duration = std::chrono::nanoseconds;
// Monotonic; comparable only with instants of the same clock.
using Instant = std::chrono::time_point<std::chrono::steady_clock, Duration>;
// Calendar time, for what people read (logs, certificates, `last_check`). Never for measuring.
using WallTime = std::chrono::time_point<std::chrono::system_clock, Duration>;

// "No deadline" for the few waits that really end by an event (accept, a signal).
inline constexpr Instant kNever = Instant::max();

}  // namespace datapunk::mesh
