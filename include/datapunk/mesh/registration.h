#pragma once

// What a service says about itself when it registers: ServiceConfig, with its HealthChecks. Values.

#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/export.h>
#include <datapunk/mesh/result.h>
#include <datapunk/mesh/time.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace datapunk::mesh {

// An active probe. `none` registers no check: the endpoint is then passing for as long as it is
// registered.
struct HealthCheck {
    enum class Kind : std::uint8_t { none, http, tcp, ttl };

    Kind kind = Kind::http;
    std::string path = "/health";  // http: request target, starts with "/"
    std::string method = "GET";    // http
    std::string target{};          // host:port to probe; empty = the service's own address
    Duration interval = std::chrono::seconds(10);  // 1 s .. 1 h; between probes, jittered
    Duration timeout = std::chrono::seconds(5);    // positive, at most 10 min
    Duration ttl = std::chrono::seconds(30);       // ttl: the mesh reports every ttl/3
    std::uint32_t failures_before_critical = 3;    // in a row, at least 1
    std::uint32_t successes_before_passing = 2;    // in a row, at least 1
    // Removed from the registry after so long critical; zero = never. Consul raises less than
    // 1 min to 1 min.
    Duration deregister_after = std::chrono::minutes(1);

    friend bool operator==(const HealthCheck&, const HealthCheck&) = default;
};

struct ServiceConfig {
    std::string name{};        // see check_service_name()
    std::string id{};          // empty = "name-host-port"; the same id again replaces
    std::string host{};        // where callers reach the service
    std::uint16_t port = 0;    // 1..65535
    std::uint32_t weight = 1;  // 1..65535
    std::vector<std::string> tags{};
    Metadata meta{};      // at most 64 pairs, key <= 128 bytes of [A-Za-z0-9_-], value <= 512
    HealthCheck check{};  // default: HTTP GET /health every 10 s

    friend bool operator==(const ServiceConfig&, const ServiceConfig&) = default;
};

// A service name is an RFC 1123 label that may also have '_' inside:
// [a-z0-9]([a-z0-9_-]*[a-z0-9])?, at most 63 bytes, ASCII. The error names the first bad character.
[[nodiscard]] DATAPUNK_MESH_API Result<> check_service_name(std::string_view name);

// Checks every field and fills in the default id. The error names every bad field.
[[nodiscard]] DATAPUNK_MESH_API Result<ServiceConfig> checked(ServiceConfig config);

}  // namespace datapunk::mesh
