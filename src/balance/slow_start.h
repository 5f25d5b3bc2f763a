#pragma once

// Slow start: what part of its weight an endpoint has that appeared in a running service so long
// ago. Weights are what every algorithm goes by, so that one formula serves all:
//
//   share = max(min_share, (max(age, 1 s) / window)^(1 / aggression))          (Envoy)
//
// The trap when most are new (a deployment that replaces nine of ten): the few old ones would get
// nearly everything. slow_start_floor() keeps them to twice their fair share. When all are new, the
// shares cancel.
//
// Pure; O(1) and O(n).

#include <datapunk/mesh/balancing.h>
#include <datapunk/mesh/time.h>

#include <algorithm>
#include <cmath>

namespace datapunk::mesh::balance {

inline double slow_start_share(const SlowStartConfig& config, Duration age) noexcept {
    if (age >= config.window) return 1;
    constexpr Duration kFirstStep = std::chrono::seconds(1);
    const double part = static_cast<double>(std::max(age, kFirstStep).count()) /
                        static_cast<double>(config.window.count());
    return std::clamp(std::pow(part, 1 / config.aggression), config.min_share, 1.0);
}

// No share may be below it: `old` and `fresh` are the sums of weights without and in slow start.
inline double slow_start_floor(double old, double fresh) noexcept {
    if (old <= 0) return 1;  // all are new
    if (fresh <= 0) return 0;
    return std::clamp(((old + fresh) / 2 - old) / fresh, 0.0, 1.0);
}

}  // namespace datapunk::mesh::balance
