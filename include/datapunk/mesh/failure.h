#pragma once

// When to stop calling an endpoint that fails, as plain values. Part of ServicePolicy (policy.h).

#include <datapunk/mesh/time.h>

#include <cstdint>

namespace datapunk::mesh {

// closed -> open when the window fails or too many calls fail in a row; open -> half-open after
// open_for, which doubles each time up to open_max; half-open admits a few probes.
struct CircuitBreakerConfig {
    bool enabled = true;
    std::uint32_t window_calls = 100;  // 1..10000: outcomes remembered
    double failure_rate = 0.5;      // (0, 1]: opens at or above, once min_calls are in the window
    std::uint32_t min_calls = 20;   // 1..window_calls
    std::uint32_t consecutive = 5;  // failures in a row that open at once; 0 = off
    Duration open_for = std::chrono::seconds(30);  // first time; positive
    Duration open_max = std::chrono::minutes(5);   // >= open_for
    std::uint32_t half_open_probes = 5;  // 1..1000: at a time, and successes needed to close
    friend bool operator==(const CircuitBreakerConfig&, const CircuitBreakerConfig&) = default;
};

// Passive health: endpoints whose real calls fail are left out for a while.
struct OutlierConfig {
    bool enabled = true;
    std::uint32_t consecutive_failures = 5;        // in a row; 0 = off
    Duration interval = std::chrono::seconds(10);  // between success-rate sweeps
    std::uint32_t request_volume = 20;  // calls in the interval before an endpoint is judged
    double failure_percentage = 85;     // (0, 100]: ejected at or above
    double stdev_factor = 1.9;          // below mean - factor x stdev of the others; 0 = off
    Duration base_ejection = std::chrono::seconds(30);  // x number of ejections so far
    Duration max_ejection = std::chrono::minutes(5);
    double max_ejected_percent = 50;  // [0, 100]; one is always allowed, the last one never
    friend bool operator==(const OutlierConfig&, const OutlierConfig&) = default;
};

}  // namespace datapunk::mesh
