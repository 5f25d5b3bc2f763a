#pragma once

// parse_json: one JSON document as a Tree, or the problem that keeps it from being one. As strict
// as parse_yaml: duplicate keys, and anything over its limits, are refused. Places have no lines,
// but for what is not JSON at all.

#include <string>
#include <string_view>
#include <vector>

#include "tree/problem.h"
#include "tree/tree.h"

namespace datapunk::mesh::tree {

Tree parse_json(const std::string& name, std::string_view text, std::vector<Problem>& problems);

}  // namespace datapunk::mesh::tree
