#include "resilience/shared_rate.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>

namespace datapunk::mesh::resilience {

namespace {

constexpr Duration kInterval = LeasedSlice::kExchangeInterval;

double rate_of(const RateLimitConfig& config) noexcept {
    return config.calls / std::chrono::duration<double>(config.per).count();
}

std::uint32_t burst_of(const RateLimitConfig& config) noexcept {
    return config.burst == 0 ? config.calls : config.burst;
}

SliceConfig slice_of(const RateLimitConfig& config) noexcept {
    const std::chrono::duration<double> exchanges = 2 * kInterval;
    const double least = std::max(1.0, rate_of(config) * exchanges.count());
    const bool is_even = config.algorithm == RateAlgorithm::leaky_bucket;
    return {
        .rate = rate_of(config),
        .burst = is_even ? least : std::max<double>(burst_of(config), least)
    };
}

// What one exchange brings: others begin in the same way.
TokenBucketConfig own_of(const RateLimitConfig& config) noexcept {
    const double brought = rate_of(config) * std::chrono::duration<double>(kInterval).count();
    return {
        .per_second = rate_of(config),
        .burst = static_cast<std::uint32_t>(
            std::clamp(brought, 1.0, static_cast<double>(burst_of(config)))
        )
    };
}

}  // namespace

SharedRate::SharedRate(const RateLimitConfig& config, const SharedRate* before, Instant now)
    : algorithm_(config.algorithm),
      period_(config.per / static_cast<std::int64_t>(config.calls)),
      depth_(burst_of(config)),
      own_(own_of(config)),
      turns_(period_, burst_of(config)) {
    if (before != nullptr) {
        own_.set_used(before->own_.used(now), now);
        turns_.set_used(before->turns_.used(now), now);
    }
    if (algorithm_ == RateAlgorithm::sliding_window) {
        const WindowConfig window{.calls = config.calls, .per = config.per};
        if (before != nullptr) window_ = before->window_;
        if (window_ == nullptr)
            window_ = std::make_shared<LeasedWindow>(window);
        else
            window_->reconfigure(window, now);
        return;
    }
    if (before != nullptr) slice_ = before->slice_;
    if (slice_ == nullptr)
        slice_ = std::make_shared<LeasedSlice>(slice_of(config));
    else
        slice_->reconfigure(slice_of(config));
}

RateDecision SharedRate::acquire(Instant now, Duration patience) noexcept {
    switch (algorithm_) {
        case RateAlgorithm::leaky_bucket:
            return take_turn(now, patience);
        case RateAlgorithm::sliding_window:
            if (window_->try_take(now)) return {};
            return {.is_admitted = false, .wait = window_->retry_in(now)};
        case RateAlgorithm::token_bucket:
            break;
    }
    return take_token(now);
}

RateDecision SharedRate::take_token(Instant now) noexcept {
    if (!slice_->is_exchanged()) {
        if (own_.try_acquire(now)) return {};
        return {.is_admitted = false, .wait = own_.retry_in(now)};
    }
    if (slice_->try_take()) return {};
    // Nobody here knows what others leave: not before the next exchange.
    return {.is_admitted = false, .wait = std::max(period_, kInterval)};
}

RateDecision SharedRate::take_turn(Instant now, Duration patience) noexcept {
    std::optional<std::int64_t> owed = 0;
    const bool is_exchanged = slice_->is_exchanged();
    if (is_exchanged) {
        // Who cannot wait takes what is there.
        const double waiting = patience > Duration::zero() ? depth_ / slice_->processes() : 0;
        const double most = waiting == 0 ? 0 : std::max(1.0, waiting);
        owed = slice_->try_owe(static_cast<std::int64_t>(most));
        if (!owed) return {.is_admitted = false, .wait = std::max(period_, kInterval)};
    }
    Duration pace = period_;
    if (*owed > 0) {
        const std::chrono::duration<double> each(1 / slice_->income());
        pace = std::max(period_, std::chrono::duration_cast<Duration>(each));
    }
    if (const auto turn = turns_.try_acquire(now, patience, pace)) return {.wait = *turn};
    if (is_exchanged) slice_->give_back();
    return {.is_admitted = false, .wait = std::max(turns_.retry_in(now, patience), period_)};
}

Leased SharedRate::leased() const {
    if (window_ != nullptr) return window_;
    return slice_;
}

double SharedRate::used(Instant now) const noexcept {
    if (window_ != nullptr) return window_->begun().used(now);
    if (algorithm_ == RateAlgorithm::leaky_bucket) return turns_.used(now);
    if (!slice_->is_exchanged()) return own_.used(now);
    const double held = static_cast<double>(std::max<std::int64_t>(0, slice_->held()));
    return std::clamp(1 - held / slice_->config().burst, 0.0, 1.0);
}

void SharedRate::set_used(double part, Instant now) noexcept {
    if (window_ != nullptr) return window_->begun().set_used(part, now);
    own_.set_used(part, now);
    turns_.set_used(part, now);
}

}  // namespace datapunk::mesh::resilience
