#pragma once

// Is one Route well formed by itself? Pure.

#include <string>
#include <vector>

#include "routing/route.h"

namespace datapunk::mesh::routing {

struct RouteProblem {
    std::string key;   // "hosts[1]", as the configuration has it
    std::string text;  // "\"a b\" is no host name, …"
};

std::vector<RouteProblem> problems_of(const Route& route);

}  // namespace datapunk::mesh::routing
