#include "routing/route.h"

#include <fmt/format.h>

namespace datapunk::mesh::routing {

std::vector<RouteTarget> targets_of(const Route& route) {
    std::vector<RouteTarget> all;
    if (!route.service.empty()) all.push_back({.key = "service", .service = route.service});
    for (std::size_t i = 0; i < route.split.size(); ++i)
        all.push_back({fmt::format("split[{}].service", i), route.split[i].service});
    return all;
}

}  // namespace datapunk::mesh::routing
