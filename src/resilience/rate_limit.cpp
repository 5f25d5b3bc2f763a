#include "resilience/rate_limit.h"

#include <chrono>

namespace datapunk::mesh::resilience {

RateLimit::RateLimit(const RateLimitConfig& config) noexcept : state_(state_of(config)) {}

RateLimit::State RateLimit::state_of(const RateLimitConfig& config) noexcept {
    if (config.calls == 0) return State(std::in_place_type<std::monostate>);
    const std::uint32_t burst = config.burst == 0 ? config.calls : config.burst;
    switch (config.algorithm) {
        case RateAlgorithm::leaky_bucket:
            return State(
                std::in_place_type<LeakyBucket>,
                config.per / static_cast<std::int64_t>(config.calls),
                burst
            );
        case RateAlgorithm::sliding_window:
            return State(std::in_place_type<SlidingWindow>, config.calls, config.per);
        case RateAlgorithm::token_bucket:
            break;
    }
    const double seconds = std::chrono::duration<double>(config.per).count();
    return State(
        std::in_place_type<TokenBucket>,
        TokenBucketConfig{.per_second = config.calls / seconds, .burst = burst}
    );
}

RateDecision RateLimit::acquire(Instant now, Duration patience) noexcept {
    if (auto* bucket = std::get_if<TokenBucket>(&state_)) {
        if (bucket->try_acquire(now)) return {};
        return {.is_admitted = false, .wait = bucket->retry_in(now)};
    }
    if (auto* queue = std::get_if<LeakyBucket>(&state_)) {
        if (const auto turn = queue->try_acquire(now, patience)) return {.wait = *turn};
        return {.is_admitted = false, .wait = queue->retry_in(now, patience)};
    }
    if (auto* window = std::get_if<SlidingWindow>(&state_)) {
        if (window->try_acquire(now)) return {};
        return {.is_admitted = false, .wait = window->retry_in(now)};
    }
    return {};
}

bool RateLimit::is_at_rest(Instant now) const noexcept {
    if (const auto* bucket = std::get_if<TokenBucket>(&state_)) return bucket->is_full(now);
    if (const auto* queue = std::get_if<LeakyBucket>(&state_)) return queue->is_empty(now);
    if (const auto* window = std::get_if<SlidingWindow>(&state_)) return window->is_empty(now);
    return true;
}

}  // namespace datapunk::mesh::resilience
