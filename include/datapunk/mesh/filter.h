#pragma once

// DiscoveryFilter: which of a service's endpoints are wanted: for one look-up, for a watch, or, as
// ServicePolicy::subset, for every call. A value.

#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/export.h>
#include <datapunk/mesh/result.h>

#include <string>
#include <vector>

namespace datapunk::mesh {

// Everything that is set must hold; an empty filter matches every endpoint.
struct DiscoveryFilter {
    std::vector<std::string> tags{};  // all of them
    Metadata metadata{};              // all of them, with exactly these values
    std::string version{};
    std::string environment{};
    std::string region{};
    std::string zone{};
    std::vector<std::string> capabilities{};  // all of them
    bool healthy = false;                     // true: critical endpoints are left out

    DATAPUNK_MESH_API bool matches(const ServiceEndpoint& endpoint) const noexcept;

    DATAPUNK_MESH_API bool empty() const noexcept;

    friend bool operator==(const DiscoveryFilter&, const DiscoveryFilter&) = default;
};

// Could anything match it? At most 64 tags, pairs and capabilities, each as a registration may have
// them; the same key not with two values. The error names all that is wrong.
[[nodiscard]] DATAPUNK_MESH_API Result<> check(const DiscoveryFilter& filter);

// "tag=canary zone=a healthy"; for people.
DATAPUNK_MESH_API std::string to_string(const DiscoveryFilter& filter);

}  // namespace datapunk::mesh
