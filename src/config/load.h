#pragma once

// load(): files and environment in, a Config or every problem out. Pure: nothing is read from the
// world but through the arguments; read_sources() is the one function here that opens files.
//
//     parse each file ─> merge in name order ─> environment ─> services get defaults.policy
//         ─> tables (types, ranges) ─> checks (what hangs together) ─> Config
//
// Files: maps are merged key by key, lists are appended, a plain value of a later file wins.
// Precedence of one key: built-in default < files < environment; and a service's own policy stands
// before defaults.policy, wherever each was set.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "config/environment.h"
#include "config/tree.h"

namespace datapunk::mesh::config {

struct SourceText {
    std::string name;  // as messages show it
    std::string text;
};

struct Sources {
    std::vector<SourceText> files;  // in the order of merging
    Environment environment;        // all of it: MESH_… and what ${env:NAME} may name
    std::function<Result<std::string>(const std::string& path)> read_secret_file;
};

struct Loaded {
    std::optional<Config> config;   // absent if there is any problem
    std::vector<Problem> problems;  // in the order of the files
    Tree tree;                      // what was written, with places; for effective()
};

Loaded load(const Sources& sources);

// What must hold between fields. `tree` gives the places.
void check_semantics(const Config& config, const Tree& tree, std::vector<Problem>& problems);

}  // namespace datapunk::mesh::config
