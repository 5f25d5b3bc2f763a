#pragma once

// What changed from one EndpointSet to the next. Pure; O(n), both are sorted by id.

#include <datapunk/mesh/endpoint.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace datapunk::mesh::discovery {

// Whether a caller could tell: everything but the time of the last check.
bool is_same(const ServiceEndpoint& a, const ServiceEndpoint& b) noexcept;
bool is_same(const std::vector<ServiceEndpoint>& a, const std::vector<ServiceEndpoint>& b) noexcept;

// If both have the same ids, the usual case: where they differ otherwise. One walk instead of the
// several of settling, comparing and telling.
std::optional<std::vector<std::uint32_t>> changed_places(
    const std::vector<ServiceEndpoint>& before, const std::vector<ServiceEndpoint>& after
);

// `before` may be null: then everything is added. `after` may not.
EndpointChange difference(const EndpointSet* before, const EndpointSetPtr& after);

}  // namespace datapunk::mesh::discovery
