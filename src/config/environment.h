#pragma once

// overlay_environment: MESH_… variables laid over a Tree. Any key can be set, nesting is `__`:
//
//     MESH_ADMIN__PORT=19001                                 admin.port
//     MESH_LISTENERS__0__PORT=8080                           listeners[0].port
//     MESH_SERVICES__API_SERVICE__POLICY__RETRY__ATTEMPTS=2  services.api_service.policy.retry…
//     MESH_ROUTES__0__HOSTS=a.example,b.example              a list of plain values, by comma
//
// Names are matched without regard to case, and `_` also stands for `-` in the keys of a map (the
// environment has no `-`). A variable that matches nothing is a problem, so that a misspelt one is
// not silently without effect.

#include <map>
#include <string>
#include <vector>

#include "config/schema.h"
#include "config/tree.h"

namespace datapunk::mesh::config {

using Environment = std::map<std::string, std::string, std::less<>>;

// Variables that begin with MESH_ and are not configuration: the file to read, and whether tests
// may start other programs.
inline constexpr std::string_view kForeignVariables[] = {"MESH_CONFIG", "MESH_TEST_PEERS"};

void overlay_environment(
    Tree& tree, const Table& root, const Environment& environment, std::vector<Problem>& problems
);

}  // namespace datapunk::mesh::config
