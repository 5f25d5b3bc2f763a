#pragma once

// The documents made from the tables: docs/config.md and the JSON schema.

#include <string>

namespace datapunk::mesh::config {

std::string generate_markdown();

// JSON Schema, draft 2020-12: editors complete and check with it.
std::string generate_schema();

}  // namespace datapunk::mesh::config
