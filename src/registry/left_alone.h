#pragma once

// How long a registry that is spoken to by HTTP, or the proxy in front of it, wants to be left
// alone. Pure.

#include <datapunk/mesh/time.h>

#include <string_view>

namespace datapunk::mesh::registry {

// However long we are told to stay away: it must be noticed in time that the registry is well
// again.
inline constexpr Duration kLeftAloneMax = std::chrono::minutes(1);

// What an answer with this status and Retry-After field asks for, for Error::retry_after. Zero:
// nothing; other answers than 429 and 5xx do not mean us.
Duration left_alone_for(int status, std::string_view retry_after, WallTime now) noexcept;

}  // namespace datapunk::mesh::registry
