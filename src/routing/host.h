#pragma once

// Host names as routes compare them. Pure text; source: RFC 9110 section 7.2, RFC 3986 3.2.2.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace datapunk::mesh::routing {

// RFC 1035: longer is no name.
inline constexpr std::size_t kHostBytesMax = 255;

// "API.example.com.:8080" -> "api.example.com"; "[::1]:80" -> "[::1]". Nothing: empty, too long, or
// not an authority at all.
std::optional<std::string> normal_host(std::string_view authority);

// What a route may say: a normal host without port, "*." and such a host, or "*".
bool is_host_pattern(std::string_view pattern);

}  // namespace datapunk::mesh::routing
