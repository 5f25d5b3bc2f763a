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

}  // namespace datapunk::mesh::config
