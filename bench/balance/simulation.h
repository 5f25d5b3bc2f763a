#pragma once

// simulate(): runs a Scenario in virtual time, with calls balanced by a ServicePolicy, and measures
// what the callers see. The same seed gives the same run.
//
//     arrivals (Poisson) ─> client ─ policy::ServicePolicies ─> endpoint: queue, `concurrency`
//     workers
//                             ▲                                          │ done or failed
//                             └──────────── finish_attempt ◄─────────────┘
//
// The oracle knows every queue of the moment and how fast everybody is, and sends each call where
// it will be done first (join the shortest queue); no real client can know as much.

#include <datapunk/mesh/policy.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "balance/scenario.h"

namespace datapunk::mesh::bench {

struct Measured {
    double p50_ms = 0;
    double p99_ms = 0;
    double p999_ms = 0;
    double imbalance = 0;  // most calls by weight / mean, among endpoints that were well throughout
    double bad_share = 0;  // of the calls a second after an endpoint went bad, those sent to it
    double failed = 0;     // share of all calls
    std::uint64_t calls = 0;
};

// Without a policy: the oracle.
Measured simulate(
    const Scenario& scenario, const std::optional<ServicePolicy>& policy, std::uint64_t seed
);

}  // namespace datapunk::mesh::bench
