#pragma once

// The words of src/tree/ that this room speaks in: a configuration is a Tree until it has types.
//
//     file a.yaml ┐
//     file b.yaml ┼─ merged ─> Tree <─ environment        Tree ──tables──> Config
//     stdin       ┘

#include "tree/problem.h"
#include "tree/tree.h"
#include "tree/yaml.h"

namespace datapunk::mesh::config {

using tree::kDepthMax;
using tree::kFileBytesMax;
using tree::merge;
using tree::MergeLists;
using tree::nearest;
using tree::parse_yaml;
using tree::Place;
using tree::Problem;
using tree::problem_at;
using tree::render_problems;
using tree::Tree;

}  // namespace datapunk::mesh::config
