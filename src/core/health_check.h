#pragma once

// What is wrong with a HealthCheck, and whether a registry can be given it. Functions.

#include <datapunk/mesh/health_check.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace datapunk::mesh::core {

// Every bad field, "check.path must …; check.ttl must …"; empty if all are good.
std::string problems_of(const HealthCheck& check);

// "200" or "200-299".
std::optional<std::pair<int, int>> parse_status_range(std::string_view text) noexcept;

// Why a registry that runs checks itself cannot be given this one, in the words of Consul's API and
// without telling it a secret: "check.expected_status"; empty if it can.
std::string_view beyond_registry(const HealthCheck& check) noexcept;

}  // namespace datapunk::mesh::core
