#pragma once

// Dependencies: what the failing of one service means for those that depend on it. Services declare
// whom they call (metadata `dependencies` of their endpoints); a process judges those that it calls
// itself.
//
//   web ──► orders ──► payments (fails)      orders is degraded because of payments,
//    └────► search                           web because of orders, because of payments
//
// * A service is degraded if a service that fails can be reached from it over dependencies. It is
//   told the shortest way, of equally short ones the first by name. Not a cycle but only another
//   service makes it degraded: what fails by itself, fails.
// * It is blocked, and its calls are refused if DependencyConfig::fail_fast says so, only if a
//   direct dependency fails that is not `optional`: a service in between that still answers can do
//   without, and one that cannot fails itself.
//
// Cycles are nothing special: each service looks at every other at most once.
//
// Thread rule: degradations() is a function; update_dependencies() is the control thread's. Cost:
// nothing while no service fails; else O(services x dependencies), once a second.

#include <datapunk/mesh/time.h>

#include <span>
#include <string>
#include <vector>

namespace datapunk::mesh::policy {

class ServicePolicies;

struct ServiceStanding {
    std::string name;
    std::string failing;  // why it fails; empty = it does not
    std::vector<std::string>
        dependencies;  // sorted; those that are not among the services: unknown
    std::vector<std::string> optional;
};

struct Degradation {
    std::string because;  // "orders, because of payments: its circuit breaker is open"; or empty
    bool is_blocked = false;  // by a direct dependency

    friend bool operator==(const Degradation&, const Degradation&) = default;
};

// One for each, in their order.
std::vector<Degradation> degradations(std::span<const ServiceStanding> services);

// Asks every service how it stands and tells each what follows.
void update_dependencies(std::span<ServicePolicies* const> services, Instant now);

}  // namespace datapunk::mesh::policy
