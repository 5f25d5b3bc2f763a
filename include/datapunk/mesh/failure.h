#pragma once

// When to stop calling an endpoint or a service that fails, as plain values. Part of ServicePolicy
// (policy.h).

#include <datapunk/mesh/time.h>

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace datapunk::mesh {

// A set of HTTP statuses, 100..599.
class StatusSet {
  public:
    StatusSet() = default;  // empty

    // 500..599.
    static StatusSet server_errors() {
        StatusSet set;
        set.add(500, 599);
        return set;
    }

    // `first` to `last`; what is outside of 100..599 is left out.
    void add(int first, int last) noexcept {
        for (int status = first < kFirst ? kFirst : first; status <= last && status <= kLast;
             ++status) {
            bits_.set(index(status));
        }
    }

    bool contains(int status) const noexcept {
        return status >= kFirst && status <= kLast && bits_.test(index(status));
    }

    friend bool operator==(const StatusSet&, const StatusSet&) = default;

  private:
    static constexpr int kFirst = 100;
    static constexpr int kLast = 599;

    static constexpr std::size_t index(int status) noexcept {
        return static_cast<std::size_t>(status - kFirst);
    }

    std::bitset<kLast - kFirst + 1> bits_{};
};

// What an operator says, whatever was measured.
enum class BreakerForce : std::uint8_t { none, open, closed };

// closed -> open when one of its rules says so: too many failures in a row, too many or too large a
// share of them in the window, too large a share of slow calls; open -> half-open after open_for,
// which doubles each time up to open_max; half-open admits a few probes, and then, if there is a
// ramp, a growing share of the calls. A rule that is 0 is off.
struct CircuitBreakerConfig {
    bool enabled = true;
    BreakerForce force = BreakerForce::none;  // from the start, until told otherwise
    std::uint32_t window_calls = 100;         // 1..10000: the last outcomes, unless window_time
    Duration window_time = Duration::zero();  // 1 s .. 1 h: the outcomes of so long; 0 = by calls
    std::uint32_t min_calls = 20;     // 1..window_calls: in the window before shares are judged
    double failure_rate = 0.5;        // [0, 1]: opens at or above
    std::uint32_t failure_count = 0;  // failures in the window that open, whatever their share
    std::uint32_t consecutive = 5;    // failures in a row that open at once
    Duration slow_call = Duration::zero();         // an answer that takes so long is slow
    double slow_rate = 0.8;                        // (0, 1]: share of slow calls that opens
    Duration open_for = std::chrono::seconds(30);  // first time; positive
    Duration open_max = std::chrono::minutes(5);   // >= open_for
    std::uint32_t half_open_probes = 5;  // 1..1000: at a time, and successes needed to close
    Duration ramp = Duration::zero();    // after the probes the share of admitted calls grows so
                                         // long from ramp_from to all; 0 = all at once
    double ramp_from = 0.1;              // (0, 1]
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
    // Suspicion at which an endpoint that has calls and stopped answering is ejected: 8 is wrong
    // once in 10^8 silences if it goes on answering as it did. 0 = off, else 1..100
    double phi = 0;
    Duration phi_pause = std::chrono::seconds(3);       // silence that is nothing to it
    Duration base_ejection = std::chrono::seconds(30);  // x number of ejections so far
    Duration max_ejection = std::chrono::minutes(5);
    double max_ejected_percent = 50;  // [0, 100]; one is always allowed, the last one never
    std::uint32_t max_ejected = 0;    // at a time; 0 = only the percentage counts
    friend bool operator==(const OutlierConfig&, const OutlierConfig&) = default;
};

// What follows when a service that this one declares as a dependency (ServiceConfig::dependencies)
// fails. Callers are told in any case (Service::degraded_because).
struct DependencyConfig {
    bool fail_fast = false;               // refuse calls meanwhile, but for those of `optional`
    std::vector<std::string> optional{};  // services that it can do without
    friend bool operator==(const DependencyConfig&, const DependencyConfig&) = default;
};

// Where each endpoint's latency and calls in flight are heading: Holt's linear trend.
struct ForecastConfig {
    bool enabled = true;
    bool balance = false;  // weights are reduced by what is coming, whatever the algorithm
    Duration horizon = std::chrono::seconds(10);  // how far ahead; 1 s .. 10 min
    Duration memory = std::chrono::seconds(30);   // time constant of the trend; 1 s .. 1 h
    friend bool operator==(const ForecastConfig&, const ForecastConfig&) = default;
};

}  // namespace datapunk::mesh
