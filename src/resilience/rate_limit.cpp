#include "resilience/rate_limit.h"

#include <algorithm>
#include <chrono>

namespace datapunk::mesh::resilience {

RateLimit::RateLimit(const RateLimitConfig& config, bool is_shared)
    : period_(config.per / static_cast<std::int64_t>(std::max(1U, config.calls))),
      state_(state_of(config, is_shared)) {}

RateLimit::State RateLimit::state_of(const RateLimitConfig& config, bool is_shared) {
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
    const double rate = config.calls / std::chrono::duration<double>(config.per).count();
    const TokenBucketConfig bucket{.per_second = rate, .burst = burst};
    if (!is_shared) return State(std::in_place_type<TokenBucket>, bucket);
    const std::chrono::duration<double> exchanges = 2 * LeasedSlice::kExchangeInterval;
    const double most = std::max<double>(burst, rate * exchanges.count());
    return State(std::in_place_type<Shared>, SliceConfig{.rate = rate, .burst = most}, bucket);
}

RateLimit::Shared::Shared(const SliceConfig& config, const TokenBucketConfig& bucket)
    : slice(std::make_shared<LeasedSlice>(config)), own(bucket) {}

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
    if (auto* shared = std::get_if<Shared>(&state_)) {
        if (!shared->slice->is_exchanged()) {
            if (shared->own.try_acquire(now)) return {};
            return {.is_admitted = false, .wait = shared->own.retry_in(now)};
        }
        if (shared->slice->try_take()) return {};
        // Nobody here knows what others leave: not before the next exchange.
        return {.is_admitted = false, .wait = std::max(period_, LeasedSlice::kExchangeInterval)};
    }
    return {};
}

std::shared_ptr<LeasedSlice> RateLimit::slice() const noexcept {
    const auto* shared = std::get_if<Shared>(&state_);
    return shared == nullptr ? nullptr : shared->slice;
}

bool RateLimit::is_at_rest(Instant now) const noexcept {
    if (const auto* bucket = std::get_if<TokenBucket>(&state_)) return bucket->is_full(now);
    if (const auto* queue = std::get_if<LeakyBucket>(&state_)) return queue->is_empty(now);
    if (const auto* window = std::get_if<SlidingWindow>(&state_)) return window->is_empty(now);
    return true;
}

}  // namespace datapunk::mesh::resilience
