#pragma once

// A request body -> a JSON tree. The library's exceptions end here; the size, and the tree's depth
// before it is built, are bounded (bodies.h). Errors are the client's, in the words of Go's
// decoder.

#include <datapunk/mesh/result.h>

#include <nlohmann/json_fwd.hpp>
#include <string_view>

namespace datapunk::mesh::server {

inline constexpr std::string_view kDecodeFailed = "Request decode failed: ";

[[nodiscard]] Result<nlohmann::json> parse_json(
    std::string_view body, std::string_view prefix = kDecodeFailed
);

}  // namespace datapunk::mesh::server
