#pragma once

// hash64: a stable, seeded 64-bit hash, the same in every process and version (xxHash3). Rings,
// orders and ids may depend on it; nothing may depend on std::hash. Not for untrusted keys of a
// table unless the seed is secret.

#include <cstdint>
#include <string_view>

namespace datapunk::mesh::core {

std::uint64_t hash64(std::string_view bytes, std::uint64_t seed = 0) noexcept;

}  // namespace datapunk::mesh::core
