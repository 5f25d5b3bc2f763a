#pragma once

// effective(): the whole configuration as it is in force, every default written out, secrets
// redacted, each value with where it came from: default, file:line or env NAME.

#include <string>

#include "config/load.h"

namespace datapunk::mesh::config {

// Every field of `loaded.config`, with its place. Asserts that there is a config.
Tree effective(const Loaded& loaded);

// The place of each value is a comment behind it. load() reads it back to the same Config, but for
// secrets, which it refuses.
std::string to_yaml(const Tree& tree);

// {"config": …, "origins": {"admin.port": "mesh.yaml:3", …}}
std::string to_json(const Tree& tree);

}  // namespace datapunk::mesh::config
