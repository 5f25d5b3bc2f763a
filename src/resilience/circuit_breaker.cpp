#include "resilience/circuit_breaker.h"

#include <algorithm>
#include <utility>

namespace datapunk::mesh::resilience {

namespace {

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
        case BreakerReason::failure_count:
            return "failures in the window";
        case BreakerReason::slow_rate:
            return "slow calls";
        case BreakerReason::waited:
            return "time to probe";
        case BreakerReason::probe_failed:
            return "probe failed";
        case BreakerReason::probes_succeeded:
            return "probes succeeded";
        case BreakerReason::ramped:
            return "ramp is over";
        case BreakerReason::told:
            return "opened elsewhere";
        case BreakerReason::forced:
            return "forced";
        case BreakerReason::configured:
            return "configured";
    }
    return "unknown";
}

CircuitBreaker::CircuitBreaker(const CircuitBreakerConfig& config)
    : config_(config), window_(config), open_for_(config.open_for), closed_since_(Instant::min()) {
    force(config.force, Instant::min());
}

void CircuitBreaker::reconfigure(
    const CircuitBreakerConfig& config, Instant now, BreakerTransition* changed
) {
    const CircuitBreakerConfig before = std::exchange(config_, config);
    window_.reconfigure(config, now);
    if (open_for_ == before.open_for) open_for_ = config.open_for;
    open_for_ = std::clamp(open_for_, config.open_for, config.open_max);
    if (forced_ == BreakerForce::none) {
        if (config.enabled != before.enabled) {
            if (changed != nullptr && state_ != BreakerState::closed) {
                *changed = {
                    .from = state_,
                    .to = BreakerState::closed,
                    .reason = BreakerReason::configured,
                };
            }
            enter(BreakerState::closed, now);
            open_for_ = config.open_for;
        } else if (state_ == BreakerState::open) {
            open_until_ = std::min(open_until_, add(now, config.open_max));
        } else if (ramp_since_ != kNever && config.ramp == Duration::zero()) {
            end_ramp(changed);
        }
    }
    if (config.force != before.force && forced_ == before.force) force(config.force, now, changed);
}

CircuitBreaker::Permit CircuitBreaker::try_acquire(
    Instant now, BreakerTransition* changed
) noexcept {
    if (state_ == BreakerState::half_open && ramp_since_ != kNever) {
        if (now >= ramp_end()) {
            end_ramp(changed);
        } else {
            ramp_credit_ += admitted_share(now);
            if (ramp_credit_ < 1) return {};
            ramp_credit_ -= 1;
            return {.admitted = true, .era = era_};
        }
    }
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
    } else if (probes_out_ >= config_.half_open_probes) {  // lost
        probes_out_ = 0;
        ++era_;
    }
    ++probes_out_;
    last_probe_at_ = now;
    return {.admitted = true, .era = era_};
}

void CircuitBreaker::on_success(
    Permit permit, Instant now, BreakerTransition* changed, bool slow
) noexcept {
    if (!counts(permit)) return;
    if (state_ == BreakerState::closed || ramp_since_ != kNever) {
        in_a_row_ = 0;
        judge(false, slow, now, changed);
        return;
    }
    if (slow) return on_failure(permit, now, changed, true);
    if (probes_out_ > 0) --probes_out_;
    if (++probe_successes_ < config_.half_open_probes) return;
    if (config_.ramp > Duration::zero()) return begin_ramp(now);
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

void CircuitBreaker::on_successes(Permit permit, std::uint32_t calls, Instant at) noexcept {
    if (calls == 0 || !counts(permit)) return;
    if (state_ == BreakerState::closed || ramp_since_ != kNever) {
        in_a_row_ = 0;
        window_.add_successes(calls, at);
        return;
    }
    for (; calls > 0; --calls) on_success(permit, at);
}

void CircuitBreaker::on_failure(
    Permit permit, Instant now, BreakerTransition* changed, bool slow
) noexcept {
    if (!counts(permit)) return;
    if (state_ == BreakerState::half_open && ramp_since_ == kNever) {
        trip(
            {.reason = BreakerReason::probe_failed, .failures = 1, .calls = probe_successes_ + 1},
            now,
            changed
        );
        return;
    }
    ++in_a_row_;
    judge(true, slow, now, changed);
}

// The rules of the closed state. What a call did not do, cannot make a rule come true.
void CircuitBreaker::judge(
    bool failed, bool slow, Instant now, BreakerTransition* changed
) noexcept {
    window_.add(failed, slow, now);
    if (!failed && !slow) return;
    const std::uint32_t calls = window_.calls();
    const auto reached = [&](std::uint32_t count, double share) {
        return calls >= config_.min_calls && calls > 0 &&
               static_cast<double>(count) / calls >= share;
    };
    BreakerTransition what{.failures = window_.failures(), .calls = calls};
    if (failed && config_.consecutive != 0 && in_a_row_ >= config_.consecutive) {
        what.reason = BreakerReason::consecutive;
        what.failures = what.calls = in_a_row_;
    } else if (failed && config_.failure_count != 0 && what.failures >= config_.failure_count) {
        what.reason = BreakerReason::failure_count;
    } else if (failed && config_.failure_rate > 0 && reached(what.failures, config_.failure_rate)) {
        what.reason = BreakerReason::failure_rate;
    } else if (slow && reached(window_.slow(), config_.slow_rate)) {
        what.reason = BreakerReason::slow_rate;
        what.failures = window_.slow();
    } else {
        return;
    }
    trip(what, now, changed);
}

void CircuitBreaker::on_cancelled(Permit permit) noexcept {
    const bool is_probe = state_ == BreakerState::half_open && ramp_since_ == kNever;
    if (counts(permit) && is_probe && probes_out_ > 0) --probes_out_;
}

bool CircuitBreaker::admits(Instant now) const noexcept {
    if (state_ == BreakerState::closed) return true;
    if (state_ == BreakerState::open) return forced_ == BreakerForce::none && now >= open_until_;
    if (ramp_since_ != kNever) {
        return now >= ramp_end() || ramp_credit_ + admitted_share(now) >= 1;
    }
    return probes_out_ < config_.half_open_probes || probes_lost(now);
}

BreakerState CircuitBreaker::state(Instant now) const noexcept {
    if (state_ == BreakerState::open && admits(now)) return BreakerState::half_open;
    if (ramp_since_ != kNever && now >= ramp_end()) return BreakerState::closed;
    return state_;
}

Instant CircuitBreaker::next_probe_at() const noexcept {
    if (state_ != BreakerState::open) return Instant::min();
    return forced_ == BreakerForce::none ? open_until_ : kNever;
}

double CircuitBreaker::admitted_share(Instant now) const noexcept {
    if (state_ == BreakerState::closed) return 1;
    if (state_ == BreakerState::open || ramp_since_ == kNever) return 0;
    const double passed = static_cast<double>((now - ramp_since_).count()) /
                          static_cast<double>(config_.ramp.count());
    return std::clamp(config_.ramp_from + (1 - config_.ramp_from) * passed, config_.ramp_from, 1.0);
}

void CircuitBreaker::distrust(Instant now, BreakerTransition* changed) noexcept {
    const bool is_trusted = state(now) == BreakerState::closed || is_ramping(now);
    if (!config_.enabled || forced_ != BreakerForce::none || !is_trusted) return;
    if (changed != nullptr && state(now) == BreakerState::closed) {
        *changed = {
            .from = BreakerState::closed,
            .to = BreakerState::half_open,
            .reason = BreakerReason::told,
        };
    }
    enter(BreakerState::half_open, now);
}

void CircuitBreaker::force(BreakerForce how, Instant now, BreakerTransition* changed) noexcept {
    if (how == BreakerForce::none && forced_ == BreakerForce::none) return;
    const BreakerState to = how == BreakerForce::open ? BreakerState::open : BreakerState::closed;
    if (changed != nullptr && state_ != to) {
        *changed = {.from = state_, .to = to, .reason = BreakerReason::forced};
        if (to == BreakerState::open) changed->next_probe_at = kNever;
    }
    enter(to, now);
    forced_ = how;
    open_for_ = config_.open_for;
}

bool CircuitBreaker::counts(Permit permit) const noexcept {
    return config_.enabled && forced_ == BreakerForce::none && permit.admitted &&
           permit.era == era_;
}

void CircuitBreaker::enter(BreakerState to, Instant now) noexcept {
    state_ = to;
    ++era_;
    window_.clear();
    in_a_row_ = 0;
    probes_out_ = 0;
    probe_successes_ = 0;
    last_probe_at_ = now;
    ramp_since_ = kNever;
    if (to == BreakerState::closed) closed_since_ = now;
}

void CircuitBreaker::begin_ramp(Instant now) noexcept {
    enter(BreakerState::half_open, now);
    ramp_since_ = now;
    ramp_credit_ = 0;
}

// What the ramp has seen stays in the window, and its calls go on counting: the same era.
void CircuitBreaker::end_ramp(BreakerTransition* changed) noexcept {
    if (changed != nullptr) {
        *changed = {
            .from = BreakerState::half_open,
            .to = BreakerState::closed,
            .reason = BreakerReason::ramped,
            .failures = window_.failures(),
            .calls = window_.calls(),
        };
    }
    closed_since_ = ramp_end();
    ramp_since_ = kNever;
    state_ = BreakerState::closed;
}

void CircuitBreaker::trip(
    BreakerTransition what, Instant now, BreakerTransition* changed
) noexcept {
    what.from = state_;
    what.to = BreakerState::open;
    if (ramp_since_ != kNever && now >= ramp_end()) {  // over, only nobody has asked since
        closed_since_ = ramp_end();
        what.from = BreakerState::closed;
    }
    if (what.from == BreakerState::closed && now >= add(closed_since_, config_.open_max)) {
        open_for_ = config_.open_for;  // healthy for long: the old trips are forgotten
    }
    open_until_ = add(now, open_for_);
    open_for_ = open_for_ > config_.open_max / 2 ? config_.open_max : open_for_ * 2;
    what.next_probe_at = open_until_;
    enter(BreakerState::open, now);
    if (changed != nullptr) *changed = what;
}

bool CircuitBreaker::probes_lost(Instant now) const noexcept {
    return now >= add(last_probe_at_, config_.open_for);
}

Instant CircuitBreaker::ramp_end() const noexcept {
    return add(ramp_since_, config_.ramp);
}

}  // namespace datapunk::mesh::resilience
