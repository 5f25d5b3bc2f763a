#include "discovery/endpoint_diff.h"

#include <algorithm>
#include <tuple>

namespace datapunk::mesh::discovery {

namespace {

auto visible(const ServiceEndpoint& e) noexcept {
    return std::tie(
        e.id, e.service, e.host, e.port, e.weight, e.tags, e.metadata, e.node, e.health
    );
}

}  // namespace

bool is_same(const ServiceEndpoint& a, const ServiceEndpoint& b) noexcept {
    return visible(a) == visible(b);
}

bool is_same(
    const std::vector<ServiceEndpoint>& a, const std::vector<ServiceEndpoint>& b
) noexcept {
    const auto same = [](const auto& x, const auto& y) { return is_same(x, y); };
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), same);
}

std::optional<std::vector<std::uint32_t>> changed_places(
    const std::vector<ServiceEndpoint>& before, const std::vector<ServiceEndpoint>& after
) {
    if (before.size() != after.size()) return std::nullopt;
    std::vector<std::uint32_t> places;
    for (std::size_t i = 0; i < after.size(); ++i) {
        if (is_same(before[i], after[i])) continue;
        if (before[i].id != after[i].id) return std::nullopt;
        places.push_back(static_cast<std::uint32_t>(i));
    }
    return places;
}

EndpointChange difference(const EndpointSet* before, const EndpointSetPtr& after) {
    EndpointChange change{.all = after};
    if (before == nullptr) {
        change.added = after->endpoints;
        return change;
    }
    auto old = before->endpoints.begin();
    const auto old_end = before->endpoints.end();
    for (const ServiceEndpoint& endpoint : after->endpoints) {
        while (old != old_end && old->id < endpoint.id) change.removed.push_back(*old++);
        if (old == old_end || old->id != endpoint.id) {
            change.added.push_back(endpoint);
            continue;
        }
        if (!is_same(*old, endpoint)) change.changed.push_back(endpoint);
        ++old;
    }
    change.removed.insert(change.removed.end(), old, old_end);
    return change;
}

}  // namespace datapunk::mesh::discovery
