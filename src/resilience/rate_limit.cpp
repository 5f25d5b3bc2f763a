#include "resilience/rate_limit.h"

#include <chrono>
#include <memory>
#include <utility>

namespace datapunk::mesh::resilience {

RateLimit::RateLimit(
    const RateLimitConfig& config, bool is_shared, const RateLimit* before, Instant now
)
    : state_(state_of(config, is_shared, before, now)) {
    if (before != nullptr) go_on_from(*before, now);
}

RateLimit::State RateLimit::state_of(
    const RateLimitConfig& config, bool is_shared, const RateLimit* before, Instant now
) {
    if (config.calls == 0) return State(std::in_place_type<std::monostate>);
    if (is_shared) {
        const auto* former = before == nullptr ? nullptr : std::get_if<Shared>(&before->state_);
        const SharedRate* its = former == nullptr ? nullptr : former->get();
        return State(std::in_place_type<Shared>, std::make_unique<SharedRate>(config, its, now));
    }
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
    return State(
        std::in_place_type<TokenBucket>, TokenBucketConfig{.per_second = rate, .burst = burst}
    );
}

void RateLimit::go_on_from(const RateLimit& before, Instant now) noexcept {
    if (!before.is_on()) return;
    if (auto* bucket = std::get_if<TokenBucket>(&state_)) bucket->set_used(before.used(now), now);
    if (auto* queue = std::get_if<LeakyBucket>(&state_)) queue->set_used(before.used(now), now);
    if (auto* window = std::get_if<SlidingWindow>(&state_)) {
        const auto* former = std::get_if<SlidingWindow>(&before.state_);
        if (former != nullptr)
            window->go_on_from(*former, now);
        else
            window->set_used(before.used(now), now);
    }
    // Shared before: it has gone on with what was leased.
    if (auto* shared = std::get_if<Shared>(&state_)) {
        if (!std::holds_alternative<Shared>(before.state_)) {
            (*shared)->set_used(before.used(now), now);
        }
    }
}

double RateLimit::used(Instant now) const noexcept {
    if (const auto* bucket = std::get_if<TokenBucket>(&state_)) return bucket->used(now);
    if (const auto* queue = std::get_if<LeakyBucket>(&state_)) return queue->used(now);
    if (const auto* window = std::get_if<SlidingWindow>(&state_)) return window->used(now);
    if (const auto* shared = std::get_if<Shared>(&state_)) return (*shared)->used(now);
    return 0;
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
    if (auto* shared = std::get_if<Shared>(&state_)) return (*shared)->acquire(now, patience);
    return {};
}

std::optional<Leased> RateLimit::leased() const {
    if (const auto* shared = std::get_if<Shared>(&state_)) return (*shared)->leased();
    return std::nullopt;
}

bool RateLimit::is_at_rest(Instant now) const noexcept {
    if (const auto* bucket = std::get_if<TokenBucket>(&state_)) return bucket->is_full(now);
    if (const auto* queue = std::get_if<LeakyBucket>(&state_)) return queue->is_empty(now);
    if (const auto* window = std::get_if<SlidingWindow>(&state_)) return window->is_empty(now);
    return true;
}

}  // namespace datapunk::mesh::resilience
