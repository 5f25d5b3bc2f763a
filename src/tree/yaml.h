#pragma once

// parse_yaml: one YAML document as a Tree, or the problems that keep it from being one. Strict
// where yaml-cpp is not: duplicate keys, anchors, aliases, tags, a second document, keys that are
// not text, control characters, and anything over the limits are refused.

#include <string>
#include <string_view>
#include <vector>

#include "tree/problem.h"
#include "tree/tree.h"

namespace datapunk::mesh::tree {

// Far above any real configuration, far below what hurts: loading 4 MiB takes 0.2 s.
inline constexpr std::size_t kFileBytesMax = 4U << 20U;
inline constexpr std::size_t kDepthMax = 32;
inline constexpr std::size_t kNodesMax = 100'000;
// Finding a key is linear: 10,000 services load in 0.13 s.
inline constexpr std::size_t kKeysMax = 10'000;

Tree parse_yaml(const std::string& name, std::string_view text, std::vector<Problem>& problems);

}  // namespace datapunk::mesh::tree
