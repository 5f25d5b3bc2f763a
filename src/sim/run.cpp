#include "sim/run.h"

#include <fmt/format.h>

#include <cstdlib>

#include "core/strings.h"

namespace datapunk::mesh::sim {

std::uint64_t seed_for_test(std::uint64_t fallback) {
    const char* text = std::getenv("SEED");
    if (text == nullptr) return fallback;
    return core::parse_number<std::uint64_t>(text).value_or(fallback);
}

std::string seed_hint(std::uint64_t seed) {
    return fmt::format("replay with SEED={}", seed);
}

}  // namespace datapunk::mesh::sim
