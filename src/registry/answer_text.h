#pragma once

// What registries that answer with JSON have in common: a stranger's words in our one-line errors.
// Pure.

#include <datapunk/mesh/result.h>

#include <cstddef>
#include <string>
#include <string_view>

namespace datapunk::mesh::registry {

// Its beginning, printable and without white space around it; "…" where it was cut.
std::string shown(std::string_view text, std::size_t bytes_max = 200);

// An answer that makes no sense: why, and how it begins. Another try may bring a better one.
Error malformed_answer(std::string_view body, std::string_view why);

}  // namespace datapunk::mesh::registry
