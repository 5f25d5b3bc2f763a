#include "server/uuid.h"

#include <fmt/format.h>

namespace datapunk::mesh::server {

std::string new_uuid(core::Rng& rng) {
    const std::uint64_t high = rng();
    const std::uint64_t low = rng();
    return fmt::format(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32U,
        (high >> 16U) & 0xffffU,
        high & 0xffffU,
        low >> 48U,
        low & 0xffffffffffffU
    );
}

}  // namespace datapunk::mesh::server
