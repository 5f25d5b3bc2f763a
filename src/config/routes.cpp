#include "config/routes.h"

#include <fmt/format.h>

namespace datapunk::mesh::config {

std::vector<routing::Route> routes_of(const Config& config) {
    std::vector<routing::Route> routes = config.routes;
    for (std::size_t i = 0; i < routes.size(); ++i) {
        routing::Route& route = routes[i];
        if (route.name.empty()) route.name = fmt::format("routes[{}]", i);
        if (route.path_prefix.empty()) route.path_prefix = "/";
    }
    return routes;
}

ServicePolicy policy_of(const Config& config, const routing::RouteTarget& target) {
    ServicePolicy policy = config.policy_of(target.service);
    policy.subset.metadata.insert(target.subset.begin(), target.subset.end());
    return policy;
}

}  // namespace datapunk::mesh::config
