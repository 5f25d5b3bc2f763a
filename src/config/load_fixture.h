#pragma once

// What the tests of this room share: load a text, and read problems as lines.

#include <string>
#include <utility>
#include <vector>

#include "config/load.h"

namespace datapunk::mesh::config {

inline Loaded load_text(std::string text, Environment environment = {}) {
    return load({
        .files = {{"mesh.yaml", std::move(text)}},
        .environment = std::move(environment),
        .read_secret_file = {},
    });
}

// All problems as users see them, without the line that counts them.
inline std::string problems_of(const Loaded& loaded) {
    const std::string text = render_problems(loaded.problems);
    const std::size_t first_line = text.find('\n');
    return first_line == std::string::npos ? text : text.substr(first_line + 1);
}

inline std::string problems_of(std::string text, Environment environment = {}) {
    return problems_of(load_text(std::move(text), std::move(environment)));
}

}  // namespace datapunk::mesh::config
