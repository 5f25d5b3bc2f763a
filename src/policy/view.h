#pragma once

// What people and collectors see of a service's policies: plain values.

#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/time.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "health/verdict.h"
#include "policy/worker.h"
#include "resilience/circuit_breaker.h"

namespace datapunk::mesh::policy {

struct BreakerView {
    resilience::BreakerState state = resilience::BreakerState::closed;
    BreakerForce forced = BreakerForce::none;
    double admitted_share = 1;  // of the calls asked for; less only while it ramps or is not closed
    std::optional<Instant> next_probe_at{};  // while open; kNever if forced
};

struct EndpointView {
    std::string id;
    std::string address;
    Health health = Health::passing;
    std::uint32_t weight = 1;
    std::uint32_t in_flight = 0;
    Duration latency{};  // expected now
    std::uint64_t successes = 0;
    std::uint64_t failures = 0;
    BreakerView breaker{};
    std::optional<Instant> ejected_until;
    std::string ejected_for;
    health::Wellness verdict = health::Wellness::healthy;  // of checks and calls together
    double suspicion = 0;                        // of its silence, if that is listened for
    std::optional<Duration> latency_forecast{};  // ForecastConfig::horizon ahead
    std::optional<double> in_flight_forecast{};
    double forecast_weight = 1;  // by how much to reduce its weight for what is coming
    bool is_leaving = false;     // no longer listed; its last calls are in flight
};

struct ServiceView {
    std::string service;
    std::vector<EndpointView> endpoints;  // sorted by id, leaving ones last
    double retry_tokens = 0;
    std::optional<Duration> hedge_delay{};  // nothing: off, or not measured yet
    std::uint32_t limit = 0;                // of attempts in flight, in force now
    std::uint32_t waiting = 0;              // for a place
    double throttled_share = 0;  // of the attempts, refused at present because of overload
    std::size_t callers = 0;     // that are remembered because of their limits
    BreakerView breaker{};       // of the service as a whole
    std::vector<std::string> dependencies{};
    std::string degraded_because{};  // empty = it is not
    health::Wellness verdict = health::Wellness::healthy;
    // The share of the endpoints that calls can go to: how fast it changes, and if that is more
    // than noise when none is left.
    std::optional<double> availability_slope_per_second{};
    std::optional<Duration> none_available_in{};
    std::uint32_t called = 0;      // endpoints that calls go to: of the own subset, zone, priority
    bool is_panic = false;         // checks are disregarded
    std::string_view algorithm{};  // that Adaptive has chosen; else empty
    std::string algorithm_why{};
};

// Since the start; monotonic but for in_flight.
struct ServiceTotals {
    std::uint64_t calls = 0;
    std::uint64_t attempts = 0;
    std::uint64_t in_flight = 0;
    std::uint64_t retries = 0;
    std::uint64_t retries_refused = 0;                // by the budget
    std::array<std::uint64_t, kReasons> refused{};    // attempts, by NoEndpoint::Reason
    std::uint64_t abandoned = 0;                      // attempts dropped without a report
    std::uint64_t other_zone = 0;                     // attempts outside of the own zone
    std::uint64_t later_priority = 0;                 // attempts at endpoints of a later priority
    std::array<std::uint64_t, kOutcomes> outcomes{};  // by Outcome
    std::array<std::uint64_t, kOutcomes> retries_after{};  // `retries` by what was retried
    std::array<std::uint64_t, kHedgeEnds> hedges{};        // by HedgeEnd
};

}  // namespace datapunk::mesh::policy
