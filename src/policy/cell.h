#pragma once

// Cell: all that is remembered about one endpoint while it is registered, shared by every thread.
//
//   line 1   balance::EndpointLoad: what picking reads. owner_word holds the breaker's era while it
//            is closed (the permit of every call, without asking), 0 when the breaker must be asked
//   then     breaker, ejection, counts: under `lock`, taken once per attempt, when it is recorded
//   last     the endpoint itself, immutable
//
// unavailable_until = max(breaker's next probe, end of the ejection), written under `lock`.

#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/policy.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "balance/candidate.h"
#include "policy/spin_lock.h"
#include "resilience/circuit_breaker.h"
#include "resilience/outlier_ejection.h"
#include "resilience/retry_policy.h"

namespace datapunk::mesh::policy {

using Permit = resilience::CircuitBreaker::Permit;

// What recording one outcome changed; both are rare.
struct CellChange {
    resilience::BreakerTransition breaker;
    bool suspect = false;  // enough failures in a row to be ejected
};

// What recording an outcome goes by.
struct CallPolicy {
    OutlierConfig outlier;
    PeakEwma averaging;  // the balancer's, or the default: latencies are always kept
};

struct Cell {
    Cell(ServiceEndpoint the_endpoint, const CircuitBreakerConfig& config, Instant now);

    // May an attempt go there? Without a lock while the breaker is closed.
    Permit admit(Instant now, CellChange& change) noexcept {
        const std::uint32_t era = load.owner_word.load(std::memory_order_relaxed);
        if (era != 0) return {.admitted = true, .era = era};
        return ask_breaker(now, change);
    }

    CellChange record(
        Permit permit,
        resilience::Outcome outcome,
        Duration latency,
        const CallPolicy& policy,
        Instant now
    ) noexcept;
    // Takes over what outlier ejection decided on a copy of `results`.
    void eject(const resilience::OutlierStats& judged, Instant now) noexcept;

    balance::EndpointLoad load;

    alignas(balance::kCacheLineBytes) mutable SpinLock lock;
    resilience::CircuitBreaker breaker;
    resilience::OutlierStats results;
    std::uint64_t successes = 0;
    std::uint64_t failures = 0;

    const ServiceEndpoint endpoint;  // health and last_check as when first seen
    const std::string address;
    const std::uint64_t key;  // core::hash64 of the endpoint's id

    // The writer's (ServicePolicies::update).
    Health health = Health::passing;
    std::uint32_t retirements = 0;  // tables that listed it and may still be read
    bool is_listed = true;
    std::string ejected_for;  // of the last ejection; empty = its end has been told

  private:
    Permit ask_breaker(Instant now, CellChange& change) noexcept;
    void publish(Instant now) noexcept;
};

}  // namespace datapunk::mesh::policy
