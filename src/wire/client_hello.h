#pragma once

// The name that a TLS client asks for (SNI), out of its greeting, without speaking TLS. Pure.
// Source: RFC 8446 4.1.2 and 5.1, RFC 6066 3.

#include <cstdint>
#include <string>
#include <string_view>

namespace datapunk::mesh::wire {

// A greeting that is longer is refused: post-quantum key shares bring them to 2 KiB.
inline constexpr std::size_t kClientHelloBytesMax = 16UL * 1024;

enum class HelloRead : std::uint8_t { done, more, malformed };

// `data`: what has come of a connection so far. `name`, when done: in lower case; empty if none was
// asked for.
HelloRead read_server_name(std::string_view data, std::string& name);

}  // namespace datapunk::mesh::wire
