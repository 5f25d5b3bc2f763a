#include "resilience/circuit_breaker.h"

#include <algorithm>

namespace datapunk::mesh::resilience {

namespace {

constexpr std::uint32_t kWordBits = 64;

// Far ends of the clock: open_max may be hours, and tests start at either end.
Instant add(Instant at, Duration wait) noexcept {
    return at > kNever - wait ? kNever : at + wait;
}

}  // namespace

std::string_view to_string(BreakerState state) noexcept {
    switch (state) {
        case BreakerState::closed:
            return "closed";
        case BreakerState::half_open:
            return "half-open";
        case BreakerState::open:
            return "open";
    }
    return "unknown";
}

std::string_view to_string(BreakerReason reason) noexcept {
    switch (reason) {
        case BreakerReason::failure_rate:
            return "failure rate";
        case BreakerReason::consecutive:
            return "failures in a row";
        case BreakerReason::waited:
            return "time to probe";
        case BreakerReason::probe_failed:
            return "probe failed";
        case BreakerReason::probes_succeeded:
            return "probes succeeded";
        case BreakerReason::forced:
            return "forced";
    }
    return "unknown";
}

CircuitBreaker::CircuitBreaker(const CircuitBreakerConfig& config)
    : config_(config),
      window_(config.enabled ? (config.window_calls + kWordBits - 1) / kWordBits : 0),
      open_for_(config.open_for),
      closed_since_(Instant::min()) {}

CircuitBreaker::Permit CircuitBreaker::try_acquire(
    Instant now, BreakerTransition* changed
) noexcept {
    if (state_ == BreakerState::closed) return {.admitted = true, .era = era_};
    if (!admits(now)) return {};
    if (state_ == BreakerState::open) {
        if (changed != nullptr) {
            *changed = {
                .from = BreakerState::open,
                .to = BreakerState::half_open,
                .reason = BreakerReason::waited,
            };
        }
        enter(BreakerState::half_open, now);
    } else if (probes_lost(now)) {
        probes_out_ = 0;
        ++era_;
    }
    ++probes_out_;
    last_probe_at_ = now;
    return {.admitted = true, .era = era_};
}

void CircuitBreaker::on_success(Permit permit, Instant now, BreakerTransition* changed) noexcept {
    if (!counts(permit)) return;
    if (state_ == BreakerState::closed) {
        in_a_row_ = 0;
        remember(false);
        return;
    }
    if (probes_out_ > 0) --probes_out_;
    if (++probe_successes_ < config_.half_open_probes) return;
    if (changed != nullptr) {
        *changed = {
            .from = BreakerState::half_open,
            .to = BreakerState::closed,
            .reason = BreakerReason::probes_succeeded,
            .calls = probe_successes_,
        };
    }
    enter(BreakerState::closed, now);
}

void CircuitBreaker::on_failure(Permit permit, Instant now, BreakerTransition* changed) noexcept {
    if (!counts(permit)) return;
    if (state_ == BreakerState::half_open) {
        trip(BreakerReason::probe_failed, now, changed);
        return;
    }
    ++in_a_row_;
    remember(true);
    const double rate = static_cast<double>(window_failures_) / window_filled_;
    if (config_.consecutive != 0 && in_a_row_ >= config_.consecutive) {
        trip(BreakerReason::consecutive, now, changed);
    } else if (window_filled_ >= config_.min_calls && rate >= config_.failure_rate) {
        trip(BreakerReason::failure_rate, now, changed);
    }
}

void CircuitBreaker::on_cancelled(Permit permit) noexcept {
    if (counts(permit) && state_ == BreakerState::half_open && probes_out_ > 0) --probes_out_;
}

bool CircuitBreaker::admits(Instant now) const noexcept {
    if (state_ == BreakerState::closed) return true;
    if (state_ == BreakerState::open) return !forced_ && now >= open_until_;
    return probes_out_ < config_.half_open_probes || probes_lost(now);
}

BreakerState CircuitBreaker::state(Instant now) const noexcept {
    if (state_ == BreakerState::open && admits(now)) return BreakerState::half_open;
    return state_;
}

Instant CircuitBreaker::next_probe_at() const noexcept {
    if (state_ != BreakerState::open) return Instant::min();
    return forced_ ? kNever : open_until_;
}

void CircuitBreaker::force_open(Instant now, BreakerTransition* changed) noexcept {
    force(BreakerState::open, true, now, changed);
}

void CircuitBreaker::force_closed(Instant now, BreakerTransition* changed) noexcept {
    force(BreakerState::closed, true, now, changed);
}

void CircuitBreaker::release(Instant now, BreakerTransition* changed) noexcept {
    if (forced_) force(BreakerState::closed, false, now, changed);
}

bool CircuitBreaker::counts(Permit permit) const noexcept {
    return config_.enabled && !forced_ && permit.admitted && permit.era == era_;
}

void CircuitBreaker::remember(bool failed) noexcept {
    std::uint64_t& word = window_[window_at_ / kWordBits];
    const std::uint64_t bit = std::uint64_t{1} << (window_at_ % kWordBits);
    if (window_filled_ < config_.window_calls) {
        ++window_filled_;
    } else if ((word & bit) != 0) {
        --window_failures_;
    }
    word = failed ? word | bit : word & ~bit;
    if (failed) ++window_failures_;
    if (++window_at_ == config_.window_calls) window_at_ = 0;
}

void CircuitBreaker::enter(BreakerState to, Instant now) noexcept {
    state_ = to;
    ++era_;
    window_at_ = 0;
    window_filled_ = 0;
    window_failures_ = 0;
    in_a_row_ = 0;
    probes_out_ = 0;
    probe_successes_ = 0;
    last_probe_at_ = now;
    if (to == BreakerState::closed) closed_since_ = now;
}

void CircuitBreaker::trip(BreakerReason reason, Instant now, BreakerTransition* changed) noexcept {
    const BreakerState from = state_;
    BreakerTransition what{.from = from, .to = BreakerState::open, .reason = reason};
    if (reason == BreakerReason::failure_rate) {
        what.failures = window_failures_;
        what.calls = window_filled_;
    } else if (reason == BreakerReason::consecutive) {
        what.failures = what.calls = in_a_row_;
    } else {
        what.failures = 1;
        what.calls = probe_successes_ + 1;
    }
    if (from == BreakerState::closed && now >= add(closed_since_, config_.open_max)) {
        open_for_ = config_.open_for;  // healthy for long: the old trips are forgotten
    }
    open_until_ = add(now, open_for_);
    open_for_ = open_for_ > config_.open_max / 2 ? config_.open_max : open_for_ * 2;
    what.next_probe_at = open_until_;
    enter(BreakerState::open, now);
    if (changed != nullptr) *changed = what;
}

void CircuitBreaker::force(
    BreakerState to, bool forced, Instant now, BreakerTransition* changed
) noexcept {
    if (changed != nullptr && state_ != to) {
        *changed = {.from = state_, .to = to, .reason = BreakerReason::forced};
        if (to == BreakerState::open) changed->next_probe_at = kNever;
    }
    enter(to, now);
    forced_ = forced;
    if (!forced) open_for_ = config_.open_for;
}

bool CircuitBreaker::probes_lost(Instant now) const noexcept {
    return now >= add(last_probe_at_, config_.open_for);
}

}  // namespace datapunk::mesh::resilience
