#pragma once

// ?near=: what is on the node that the caller names comes first; the rest stays in its order.
// Consul sorts by the round trips that its agents measure among each other; here there are none to
// measure, and the one distance that is known is that nothing is nearer to a node than itself. A
// node that is not known changes nothing, as in Consul.

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

#include "catalog/catalog.h"

namespace datapunk::mesh::server {

// The node that `near` means, as the catalog names it: "_agent" is this one. Empty: none.
inline std::string near_node(const catalog::Catalog& catalog, std::string_view near) {
    const catalog::CatalogNode* node = near == "_agent" ? catalog.local() : catalog.node(near).data;
    return node == nullptr ? std::string() : node->row.name;
}

// `node_of` gives a row's CatalogNode.
template <class Rows, class NodeOf>
void nearest_first(
    const catalog::Catalog& catalog, std::string_view near, Rows& rows, NodeOf node_of
) {
    if (near.empty()) return;
    const std::string name = near_node(catalog, near);
    if (name.empty()) return;
    const auto is_near = [&](const auto& row) { return node_of(row)->row.name == name; };
    Rows ordered;
    ordered.reserve(rows.size());
    std::copy_if(rows.begin(), rows.end(), std::back_inserter(ordered), is_near);
    std::remove_copy_if(rows.begin(), rows.end(), std::back_inserter(ordered), is_near);
    rows = std::move(ordered);
}

// For InstanceRef and CheckRef.
inline constexpr auto node_of_ref = [](const auto& ref) { return ref.node; };

}  // namespace datapunk::mesh::server
