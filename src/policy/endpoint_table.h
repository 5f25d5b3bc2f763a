#pragma once

// EndpointTable: a service's endpoints as its calls pick from them, immutable; ServicePolicies
// publishes one after another (endpoint_table.cpp).

#include <datapunk/mesh/endpoint.h>

#include <cstdint>
#include <vector>

#include "balance/grouped_balancer.h"
#include "policy/cell.h"

namespace datapunk::mesh::policy {

// Whether a pick went elsewhere than where calls go first.
enum class Spill : std::uint8_t { none, zone, priority };

struct EndpointTable {
    std::vector<CellLine> cells;  // by the balancer's index
    balance::GroupedBalancer balancer;
    std::vector<Spill> spills;  // by the same index; empty if there are none
    std::uint32_t known = 0;
    std::uint32_t critical = 0;
    std::uint32_t outside = 0;
    std::uint32_t called = 0;  // of the groups that get calls
    bool is_panic = false;
};

// How a set came to be, where that is known: by this change from the set of that generation.
struct SetStep {
    const EndpointChange* change = nullptr;
    std::uint64_t from = 0;
};

// What outlier ejection judges by.
struct ResultsCopy {
    std::vector<resilience::OutlierStats> stats;
    std::vector<resilience::OutlierStats*> pointers;
};

}  // namespace datapunk::mesh::policy
