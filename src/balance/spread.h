#pragma once

// spread(): how a service's calls are divided among groups of its endpoints: by priority, then by
// zone, then few of many. Each group gets a balancer of its own (grouped_balancer.h).
//
//   level p      health = usable weight / weight (neither critical nor ejected nor open)
//                takes  min(what is left, overprovisioning x health); Envoy's priority levels
//   panic        all critical, or less than healthy_percent not critical: checks are disregarded.
//                With several levels only if together they cannot take everything
//   zones        as Envoy's zone aware routing: with u = the zone's part of the usable weight, c =
//   its
//                part of the callers, the own zone takes min(1, u / c); the rest goes to zones in
//                proportion to u - c, where that is positive. Below endpoints_min all are one zone
//   subsetting   rendezvous: the `size` highest of hash(endpoint, caller), gRPC proposal A68
//                aperture: callers and endpoints stand evenly on a ring [0, 1); caller i takes N
//                caller-widths from i on, N the least that covers `size` endpoints. Each point is
//                so covered N times, and an endpoint's part of its calls is what the aperture
//                covers
//
// Groups are in the order in which they are asked when the chosen one has nobody to offer; those
// with share 0 only then. The traps: a zone of one endpoint is not flooded by a zone of many
// callers (c); an aperture's edge endpoints are weighted by their part; the ring does not turn when
// health changes (critical endpoints keep their places).
//
// Invariants: shares are not negative and sum to 1 (if there is any group); no endpoint is in two
// groups; critical ones only in panic; everybody else is in some group.
//
// Pure; O(n log n). The same endpoints and settings give the same groups everywhere.

#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/policy.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace datapunk::mesh::balance {

inline constexpr std::uint32_t kPriorityMax = 127;

struct SpreadMember {
    const ServiceEndpoint* endpoint = nullptr;
    std::uint64_t key = 0;  // core::hash64 of its id
    std::uint32_t weight = 1;
    bool is_critical = false;
    bool is_available = true;  // neither ejected nor behind an open breaker
};

struct SpreadGroup {
    std::vector<std::uint32_t> members;  // positions
    std::vector<double> parts{};         // of each member's weight; empty = all of it
    double share = 1;
    std::uint32_t priority = 0;
    bool is_own_zone = true;
    bool is_panic = false;
};

// What of a policy matters here.
struct SpreadRules {
    ZonesConfig zones;
    FailoverConfig failover;
    PanicConfig panic;
    SubsettingConfig subsetting;
    std::uint64_t caller_seed = 0;  // rendezvous

    // Whether groups can depend on who is available at the moment.
    bool follow_availability() const noexcept {
        return zones.prefer_own || !failover.metadata.empty();
    }
};

// `caller_seed` of a policy whose caller has no name: `fallback`.
SpreadRules rules_of(const ServicePolicy& policy, std::uint64_t fallback);

std::vector<SpreadGroup> spread(std::span<const SpreadMember> members, const SpreadRules& rules);

// What the metadata says, 0 if it says nothing that is one.
std::uint32_t priority_of(const ServiceEndpoint& endpoint, const std::string& metadata) noexcept;

}  // namespace datapunk::mesh::balance
