#pragma once

// What discovery knows: ServiceEndpoint, one network location of a service, and EndpointSet, an
// immutable snapshot of all of them. Values; a snapshot that crosses threads does so as a
// shared_ptr<const EndpointSet>.
//
// Members of the public structs have initialisers throughout, so that designated ones may leave any
// of them out (g++ -Wextra objects otherwise).

#include <datapunk/mesh/export.h>
#include <datapunk/mesh/time.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace datapunk::mesh {

// The registry's verdict from active checks, worst check first. `warning` still gets traffic.
enum class Health : std::uint8_t { passing, warning, critical };

DATAPUNK_MESH_API std::string_view to_string(Health health) noexcept;

using Metadata = std::map<std::string, std::string, std::less<>>;

// Metadata that the mesh itself reads and that ServiceConfig has fields for. Values that a
// registration may have: version 1..64 of [A-Za-z0-9._+~:-]; environment, region and zone 1..63 of
// [A-Za-z0-9._-]; capabilities and dependencies: words separated by commas, a capability 1..63 of
// [A-Za-z0-9._:/-], a dependency a service name.
namespace meta_key {
inline constexpr std::string_view version = "version";
inline constexpr std::string_view environment = "environment";
inline constexpr std::string_view region = "region";
inline constexpr std::string_view zone = "zone";
inline constexpr std::string_view capabilities = "capabilities";
inline constexpr std::string_view dependencies = "dependencies";
// Written by the mesh: who announced it (MeshOptions::owner), and which run of it.
inline constexpr std::string_view owner = "mesh-owner";
inline constexpr std::string_view incarnation = "mesh-incarnation";
}  // namespace meta_key

struct ServiceEndpoint {
    std::string id{};          // unique among the service's endpoints; default "name-host-port"
    std::string service{};     // the name callers use
    std::string host{};        // IPv4 or IPv6 literal, or a host name
    std::uint16_t port = 0;    // 1..65535
    std::uint32_t weight = 1;  // relative share of traffic, 1..65535
    std::vector<std::string> tags{};
    Metadata metadata{};  // "zone", "version", … as registered
    std::string node{};   // the registry's node that announced it; may be empty
    Health health = Health::passing;
    std::optional<WallTime> last_check{};  // when health was last confirmed, if the registry says

    // "host:port", IPv6 in brackets.
    DATAPUNK_MESH_API std::string address() const;

    bool healthy() const noexcept { return health != Health::critical; }

    // What the metadata says under meta_key; empty if nothing. Valid as long as the endpoint.
    DATAPUNK_MESH_API std::string_view meta(std::string_view key) const noexcept;

    std::string_view version() const noexcept { return meta(meta_key::version); }

    std::string_view environment() const noexcept { return meta(meta_key::environment); }

    std::string_view region() const noexcept { return meta(meta_key::region); }

    std::string_view zone() const noexcept { return meta(meta_key::zone); }

    DATAPUNK_MESH_API std::vector<std::string_view> capabilities() const;
    DATAPUNK_MESH_API bool has_capability(std::string_view capability) const noexcept;
    // The services that it calls.
    DATAPUNK_MESH_API std::vector<std::string_view> dependencies() const;

    friend bool operator==(const ServiceEndpoint&, const ServiceEndpoint&) = default;
};

// Where an EndpointSet came from, in falling order of trust.
enum class Origin : std::uint8_t { registry, cache, shared_cache, snapshot, fixed };

DATAPUNK_MESH_API std::string_view to_string(Origin origin) noexcept;

struct EndpointSet {
    std::string service{};
    std::vector<ServiceEndpoint> endpoints{};  // sorted by id
    std::uint64_t index = 0;                   // the registry's index of this answer; 0 = none
    std::uint64_t generation = 0;              // counts real changes seen by this process, from 1
    Instant learned_at{};                      // when this process last heard it confirmed
    Origin origin = Origin::registry;
    bool stale = false;  // the registry cannot be asked at present: last known good

    DATAPUNK_MESH_API const ServiceEndpoint* find(std::string_view id) const noexcept;
};

using EndpointSetPtr = std::shared_ptr<const EndpointSet>;

// What a watch callback gets: the difference to the last callback, and the whole set.
struct EndpointChange {
    std::vector<ServiceEndpoint> added{};
    std::vector<ServiceEndpoint> removed{};
    std::vector<ServiceEndpoint> changed{};  // as they are now
    EndpointSetPtr all{};
};

}  // namespace datapunk::mesh
