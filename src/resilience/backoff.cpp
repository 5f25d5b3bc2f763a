#include "resilience/backoff.h"

#include <algorithm>
#include <utility>

namespace datapunk::mesh::resilience {

namespace {

// Uniform in [low, high], both included; low <= high.
Duration uniform(Duration low, Duration high, core::Rng& rng) noexcept {
    const auto width = static_cast<std::uint64_t>((high - low).count());
    return low + Duration(static_cast<std::int64_t>(rng.below(width + 1)));
}

// min(max, base x 2^retry), never negative.
Duration ceiling_of(const BackoffConfig& config, std::uint32_t retry) noexcept {
    Duration ceiling = std::min(config.base, config.max);
    for (std::uint32_t i = 0; i < retry && ceiling < config.max; ++i) {
        if (ceiling <= Duration::zero()) break;
        ceiling = ceiling > config.max / 2 ? config.max : ceiling * 2;
    }
    return std::max(ceiling, Duration::zero());
}

// base x times, at most max.
Duration multiple(const BackoffConfig& config, std::uint64_t times) noexcept {
    if (config.base <= Duration::zero()) return Duration::zero();
    const auto most = static_cast<std::uint64_t>(config.max.count() / config.base.count());
    if (times > most) return config.max;
    return config.base * static_cast<std::int64_t>(times);
}

Duration fibonacci(const BackoffConfig& config, std::uint32_t retry) noexcept {
    std::uint64_t now = 1;
    std::uint64_t before = 0;
    // Once beyond max it stays there: far fewer steps than numbers that fit.
    for (std::uint32_t i = 0; i < std::min(retry, 90U); ++i) {
        before = std::exchange(now, now + before);
    }
    return multiple(config, now);
}

}  // namespace

Duration backoff(
    const BackoffConfig& config, std::uint32_t retry, Duration previous, core::Rng& rng
) noexcept {
    switch (config.kind) {
        case BackoffKind::full_jitter:
            break;
        case BackoffKind::equal_jitter: {
            const Duration ceiling = ceiling_of(config, retry);
            return uniform(ceiling / 2, ceiling, rng);
        }
        case BackoffKind::decorrelated_jitter:
            return decorrelated_jitter(config, previous, rng);
        case BackoffKind::exponential:
            return ceiling_of(config, retry);
        case BackoffKind::linear:
            return multiple(config, std::uint64_t{retry} + 1);
        case BackoffKind::fibonacci:
            return fibonacci(config, retry);
        case BackoffKind::fixed:
            return multiple(config, 1);
    }
    return full_jitter(config, retry, rng);
}

Duration full_jitter(const BackoffConfig& config, std::uint32_t retry, core::Rng& rng) noexcept {
    return uniform(Duration::zero(), ceiling_of(config, retry), rng);
}

Duration decorrelated_jitter(
    const BackoffConfig& config, Duration previous, core::Rng& rng
) noexcept {
    const Duration low = std::min(config.base, config.max);
    const Duration high = previous > config.max / 3 ? config.max : previous * 3;
    return uniform(low, std::max(low, high), rng);
}

}  // namespace datapunk::mesh::resilience
