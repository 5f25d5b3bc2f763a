#pragma once

// Aggregate: one verdict from all checks of an instance, its node's and its own. The worst check
// decides; no checks at all is passing. Maintenance mode is a critical check with a reserved id and
// is named apart, because an operator wants to know why.
//
//   filter            keeps                       who
//   Filter::all       everything                  the registry's plain lists
//   not_critical      passing and warning         DNS, and our own balancing
//   passing           passing only                Consul's ?passing: a warning is left out too
//
// Thread rule: functions. Source: Consul 1.8 agent/health_endpoint.go (filterNonPassing),
// agent/agent_endpoint.go (agentHealthService), agent/dns.go (Filter).

#include <datapunk/mesh/endpoint.h>

#include <cstdint>
#include <span>
#include <string_view>

namespace datapunk::mesh::health {

struct CheckView {
    std::string_view id;
    Health status = Health::critical;
};

struct Aggregate {
    Health status = Health::passing;
    bool maintenance = false;     // of the node or the service
    std::string_view decided_by;  // id of the first of the worst checks; empty if all pass

    friend bool operator==(const Aggregate&, const Aggregate&) = default;
};

enum class Filter : std::uint8_t { all, not_critical, passing };

// "_node_maintenance", "_service_maintenance:<service id>".
bool is_maintenance(std::string_view check_id) noexcept;

Aggregate aggregate(
    std::span<const CheckView> node_checks, std::span<const CheckView> service_checks
) noexcept;

bool keeps(Filter filter, Health status) noexcept;

// "passing", "warning", "critical" or "maintenance": Consul's X-Consul-Reason.
std::string_view reason(const Aggregate& aggregate) noexcept;
// 200, 429 or 503: Consul's /v1/agent/health answers.
int http_status(const Aggregate& aggregate) noexcept;

}  // namespace datapunk::mesh::health
