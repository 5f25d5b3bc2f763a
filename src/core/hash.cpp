#include "core/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace datapunk::mesh::core {

std::uint64_t hash64(std::string_view bytes, std::uint64_t seed) noexcept {
    return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

}  // namespace datapunk::mesh::core
