#include "config/routes.h"

#include <fmt/format.h>

#include <string>
#include <vector>

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

ServicePolicy Config::policy_of(const std::string& name) const {
    const std::string service(routing::service_of(name));
    const auto found = services.find(service);
    ServicePolicy policy =
        in_own_zone(found == services.end() ? defaults.policy : found->second.policy);
    if (service.size() == name.size()) return policy;
    for (const routing::Route& route : routes) {
        for (const routing::RouteTarget& target : routing::targets_of(route)) {
            if (target.name() != name) continue;
            policy.subset.metadata.insert(target.subset.begin(), target.subset.end());
            return policy;
        }
    }
    return policy;
}

}  // namespace datapunk::mesh::config
