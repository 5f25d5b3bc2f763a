#pragma once

// quoted_json(): a text as a JSON string. Also a YAML double-quoted scalar.

#include <string>
#include <string_view>

namespace datapunk::mesh::config {

std::string quoted_json(std::string_view text);

}  // namespace datapunk::mesh::config
