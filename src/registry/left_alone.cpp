#include "registry/left_alone.h"

#include <algorithm>

#include "resilience/retry_after.h"

namespace datapunk::mesh::registry {

Duration left_alone_for(int status, std::string_view retry_after, WallTime now) noexcept {
    if (status != 429 && status < 500) return Duration::zero();
    const auto wait = resilience::parse_retry_after(retry_after, now);
    return wait ? std::min(*wait, kLeftAloneMax) : Duration::zero();
}

}  // namespace datapunk::mesh::registry
