#pragma once

// Is one Route well formed by itself? Pure.

#include <string>
#include <vector>

#include "routing/route.h"

namespace datapunk::mesh::routing {

// Appends one line per problem, each beginning with the route's name.
void check_route(const Route& route, std::vector<std::string>& problems);

}  // namespace datapunk::mesh::routing
