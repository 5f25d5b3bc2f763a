#include "resilience/backoff.h"

#include <algorithm>

namespace datapunk::mesh::resilience {

namespace {

// Uniform in [low, high], both included; low <= high.
Duration uniform(Duration low, Duration high, core::Rng& rng) noexcept {
    const auto width = static_cast<std::uint64_t>((high - low).count());
    return low + Duration(static_cast<std::int64_t>(rng.below(width + 1)));
}

}  // namespace

Duration full_jitter(const BackoffConfig& config, std::uint32_t retry, core::Rng& rng) noexcept {
    Duration ceiling = std::min(config.base, config.max);
    for (std::uint32_t i = 0; i < retry && ceiling < config.max; ++i) {
        if (ceiling <= Duration::zero()) break;
        ceiling = ceiling > config.max / 2 ? config.max : ceiling * 2;
    }
    return uniform(Duration::zero(), std::max(ceiling, Duration::zero()), rng);
}

Duration decorrelated_jitter(
    const BackoffConfig& config, Duration previous, core::Rng& rng
) noexcept {
    const Duration low = std::min(config.base, config.max);
    const Duration high = previous > config.max / 3 ? config.max : previous * 3;
    return uniform(low, std::max(low, high), rng);
}

}  // namespace datapunk::mesh::resilience
