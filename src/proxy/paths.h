#pragma once

// Paths that two servers could read in two ways are refused before routing sees them: dot segments
// ("/a/../b", also percent-encoded, between "%2F" or with parameters: "..;a"), which one hop may
// resolve and the next may not (RFC 3986 6.2.2.3). Everything else is passed on byte by byte: "//",
// "%2F" and ";" mean what the endpoint says they mean, and routes compare the bytes that are sent.

#include <string_view>

namespace datapunk::mesh::proxy {

// Whether a segment of the path (the part before '?') is "." or ".." to any server.
bool has_dot_segment(std::string_view target) noexcept;

}  // namespace datapunk::mesh::proxy
