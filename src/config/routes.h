#pragma once

// The routes as the rooms that route want them: each with a name.

#include <vector>

#include "config/config.h"
#include "routing/route.h"

namespace datapunk::mesh::config {

std::vector<routing::Route> routes_of(const Config& config);

}  // namespace datapunk::mesh::config
