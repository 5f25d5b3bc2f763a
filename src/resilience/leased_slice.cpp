#include "resilience/leased_slice.h"

#include <algorithm>
#include <cmath>

namespace datapunk::mesh::resilience {

namespace {

// How far ahead: one exchange may be late, and the next one.
constexpr double kExchangesAhead = 3;
// Time constant of the demand. Shorter than a burst of calls is noise.
constexpr double kMemorySeconds = 1;
// Somebody whose clock stood still for long does not get an hour's tokens at once.
constexpr double kFillSecondsMax = 1;

double seconds(Duration duration) noexcept {
    return std::chrono::duration<double>(duration).count();
}

}  // namespace

LeasedSlice::LeasedSlice(const SliceConfig& config) noexcept
    : config_(config),
      held_(static_cast<std::int64_t>(
          std::clamp(config.rate * seconds(kExchangeInterval), 1.0, std::max(1.0, config.burst))
      )) {}

bool LeasedSlice::try_take(std::uint32_t tokens) noexcept {
    demanded_.fetch_add(tokens, std::memory_order_relaxed);
    std::int64_t seen = held_.load(std::memory_order_relaxed);
    while (seen >= tokens) {
        if (held_.compare_exchange_weak(seen, seen - tokens, std::memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

void LeasedSlice::give_back(std::uint32_t tokens) noexcept {
    held_.fetch_add(tokens, std::memory_order_relaxed);
}

double LeasedSlice::target() const noexcept {
    const double ahead = demand_ * kExchangesAhead * seconds(kExchangeInterval);
    return std::clamp(std::max(ahead, in_hand()), 1.0, std::max(1.0, config_.burst));
}

LeasedSlice::Ask LeasedSlice::ask(Instant now) noexcept {
    const std::uint64_t demanded = demanded_.load(std::memory_order_relaxed);
    if (asked_at_ && now > *asked_at_) {
        const double passed = seconds(now - *asked_at_);
        const double rate = static_cast<double>(demanded - demanded_before_) / passed;
        demand_ += (rate - demand_) * (1 - std::exp(-passed / kMemorySeconds));
        // At once as high as it has just been: who is refused must not wait for an average.
        demand_ = std::max(demand_, rate);
    }
    asked_at_ = now;
    is_exchanged_.store(true, std::memory_order_relaxed);
    demanded_before_ = demanded;
    filled_ = 0;
    const auto goal = static_cast<std::int64_t>(std::ceil(target()));
    std::int64_t held = held_.load(std::memory_order_relaxed);
    if (held < goal) return {.wanted = goal - held};
    const std::int64_t surplus = held - goal;
    if (surplus <= goal) return {};
    while (held >= surplus) {
        if (held_.compare_exchange_weak(held, held - surplus, std::memory_order_relaxed)) {
            return {.returned = surplus};
        }
    }
    return {};
}

void LeasedSlice::granted(std::int64_t tokens, std::int64_t processes, Instant now) noexcept {
    const std::int64_t fresh = std::max<std::int64_t>(0, tokens - filled_);
    held_.fetch_add(fresh, std::memory_order_relaxed);
    if (processes > 0) processes_.store(processes, std::memory_order_relaxed);
    filled_at_ = now;
    fraction_ = 0;
    is_alone_.store(false, std::memory_order_relaxed);
}

void LeasedSlice::failed(Instant now) noexcept {
    is_alone_.store(true, std::memory_order_relaxed);
    const auto processes = static_cast<double>(processes_.load(std::memory_order_relaxed));
    if (filled_at_ && now > *filled_at_) {
        const double passed = std::min(seconds(now - *filled_at_), kFillSecondsMax);
        fraction_ += config_.rate / processes * passed;
    }
    filled_at_ = now;
    const auto most = static_cast<std::int64_t>(std::max(1.0, config_.burst / processes));
    const auto room = std::max<std::int64_t>(0, most - held_.load(std::memory_order_relaxed));
    const auto fill = std::min(static_cast<std::int64_t>(fraction_), room);
    fraction_ = std::min(fraction_ - static_cast<double>(fill), 1.0);
    held_.fetch_add(fill, std::memory_order_relaxed);
    filled_ += fill;
}

}  // namespace datapunk::mesh::resilience
