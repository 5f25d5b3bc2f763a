#pragma once

// What a service says about itself when it registers: ServiceConfig, with its HealthCheck. Values.

#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/export.h>
#include <datapunk/mesh/health_check.h>
#include <datapunk/mesh/result.h>
#include <datapunk/mesh/time.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace datapunk::mesh {

// When a service is ready to be announced: by default at once. Otherwise registering waits, and
// fails with Code::timeout after `timeout`.
struct Readiness {
    // When its own check, run from here, has passed once. Not for kinds none, ttl and alias.
    bool check_passes = false;
    // When this says true; asked ten times a second, on a thread where it may take its time. What
    // it throws is a no. Empty: not asked. Equal if the same function object.
    std::shared_ptr<const std::function<bool()>> ask{};
    Duration timeout = std::chrono::seconds(30);  // 10 ms .. 1 h

    // Ready when `function` says so.
    static Readiness when(std::function<bool()> function) {
        Readiness ready;
        ready.ask = std::make_shared<const std::function<bool()>>(std::move(function));
        return ready;
    }

    friend bool operator==(const Readiness&, const Readiness&) = default;
};

struct ServiceConfig {
    std::string name{};        // see check_service_name()
    std::string id{};          // empty = "name-host-port"; the same id again replaces
    std::string host{};        // where callers reach the service
    std::uint16_t port = 0;    // 1..65535
    std::uint32_t weight = 1;  // 1..65535
    std::vector<std::string> tags{};
    Metadata meta{};  // at most 64 pairs, key <= 128 bytes of [A-Za-z0-9_-], value <= 512
    // What the mesh reads itself. Stands in the metadata, too, under meta_key (endpoint.h), and may
    // be given either way; checked() makes both say the same.
    std::string version{};
    std::string environment{};
    std::string region{};
    std::string zone{};
    std::vector<std::string> capabilities{};
    std::vector<std::string> dependencies{};  // the services that it calls
    HealthCheck check{};                      // default: HTTP GET /health every 10 s
    Readiness ready{};                        // default: announced at once

    friend bool operator==(const ServiceConfig&, const ServiceConfig&) = default;
};

// A service name is an RFC 1123 label that may also have '_' inside:
// [a-z0-9]([a-z0-9_-]*[a-z0-9])?, at most 63 bytes, ASCII. The error names the first bad character.
[[nodiscard]] DATAPUNK_MESH_API Result<> check_service_name(std::string_view name);

// Checks every field, fills in the default id, and writes the fields that have a place in the
// metadata there. The error names every bad field. Doing it twice changes nothing.
[[nodiscard]] DATAPUNK_MESH_API Result<ServiceConfig> checked(ServiceConfig config);

}  // namespace datapunk::mesh
