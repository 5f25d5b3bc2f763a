#include "resilience/leased_slice.h"

#include <algorithm>
#include <cmath>

namespace datapunk::mesh::resilience {

namespace {

// Somebody whose clock stood still for long does not get an hour's tokens at once.
constexpr double kFillSecondsMax = 1;
// Time constant of what was granted.
constexpr double kIncomeSeconds = 1;

double seconds(Duration duration) noexcept {
    return std::chrono::duration<double>(duration).count();
}

}  // namespace

LeasedSlice::LeasedSlice(const SliceConfig& config) noexcept
    : rate_(config.rate),
      burst_(config.burst),
      held_(static_cast<std::int64_t>(
          std::clamp(config.rate * seconds(kExchangeInterval), 1.0, std::max(1.0, config.burst))
      )) {}

void LeasedSlice::reconfigure(const SliceConfig& config) noexcept {
    const SliceConfig before = this->config();
    rate_.store(config.rate, std::memory_order_relaxed);
    burst_.store(config.burst, std::memory_order_relaxed);
    // Never more: tokens come from the bucket only.
    double part = 1;
    if (before.rate > 0) part = std::min(part, config.rate / before.rate);
    if (before.burst > 0) part = std::min(part, config.burst / before.burst);
    std::int64_t held = held_.load(std::memory_order_relaxed);
    while (held > 0) {
        const auto rest = static_cast<std::int64_t>(static_cast<double>(held) * part);
        if (held_.compare_exchange_weak(held, rest, std::memory_order_relaxed)) return;
    }
}

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

std::optional<std::int64_t> LeasedSlice::try_owe(std::int64_t most) noexcept {
    demanded_.fetch_add(1, std::memory_order_relaxed);
    std::int64_t seen = held_.load(std::memory_order_relaxed);
    while (seen > -most) {
        if (held_.compare_exchange_weak(seen, seen - 1, std::memory_order_relaxed)) {
            return std::max<std::int64_t>(0, 1 - seen);
        }
    }
    return std::nullopt;
}

double LeasedSlice::income() const noexcept {
    const double rate = rate_.load(std::memory_order_relaxed);
    const double part = rate / processes();
    if (is_alone()) return part;
    return std::clamp(got_.load(std::memory_order_relaxed), part, std::max(part, rate));
}

void LeasedSlice::give_back(std::uint32_t tokens) noexcept {
    held_.fetch_add(tokens, std::memory_order_relaxed);
}

double LeasedSlice::target() const noexcept {
    const double most = std::max(1.0, config().burst);
    return std::clamp(std::max(demand_.ahead(kExchangeInterval), in_hand()), 1.0, most);
}

LeasedSlice::Ask LeasedSlice::give_up() noexcept {
    std::int64_t held = held_.load(std::memory_order_relaxed);
    while (held > 0) {
        if (held_.compare_exchange_weak(held, 0, std::memory_order_relaxed)) {
            return {.returned = held};
        }
    }
    return {};
}

LeasedSlice::Ask LeasedSlice::ask(Instant now) noexcept {
    demand_.update(demanded_.load(std::memory_order_relaxed), now);
    is_exchanged_.store(true, std::memory_order_relaxed);
    filled_ = 0;
    const auto goal = static_cast<std::int64_t>(std::ceil(target()));
    std::int64_t held = held_.load(std::memory_order_relaxed);
    const auto fetched =
        demand_.is_idle() ? static_cast<std::int64_t>(std::ceil(std::max(1.0, in_hand()))) : goal;
    if (held < fetched) return {.wanted = fetched - held};
    if (held < goal) return {};
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
    if (granted_at_ && now > *granted_at_) {
        const double passed = seconds(now - *granted_at_);
        const double got = got_.load(std::memory_order_relaxed);
        const double rate = static_cast<double>(fresh) / passed;
        const double weight = 1 - std::exp(-passed / kIncomeSeconds);
        got_.store(got + (rate - got) * weight, std::memory_order_relaxed);
    }
    granted_at_ = now;
    filled_at_ = now;
    fraction_ = 0;
    is_alone_.store(false, std::memory_order_relaxed);
}

void LeasedSlice::failed(Instant now) noexcept {
    is_alone_.store(true, std::memory_order_relaxed);
    const SliceConfig config = this->config();
    const double processes = this->processes();
    if (filled_at_ && now > *filled_at_) {
        const double passed = std::min(seconds(now - *filled_at_), kFillSecondsMax);
        fraction_ += config.rate / processes * passed;
    }
    filled_at_ = now;
    const auto most = static_cast<std::int64_t>(std::max(1.0, config.burst / processes));
    const auto room = std::max<std::int64_t>(0, most - held_.load(std::memory_order_relaxed));
    const auto fill = std::min(static_cast<std::int64_t>(fraction_), room);
    fraction_ = std::min(fraction_ - static_cast<double>(fill), 1.0);
    held_.fetch_add(fill, std::memory_order_relaxed);
    filled_ += fill;
}

}  // namespace datapunk::mesh::resilience
