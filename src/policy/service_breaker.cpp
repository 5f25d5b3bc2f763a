#include "policy/service_breaker.h"

#include <mutex>

namespace datapunk::mesh::policy {

using resilience::BreakerState;
using resilience::BreakerTransition;
using resilience::Verdict;

namespace {

Duration slow_call_of(const CircuitBreakerConfig& config) {
    return config.slow_call > Duration::zero() ? config.slow_call : Duration::max();
}

}  // namespace

ServiceBreaker::ServiceBreaker(const CircuitBreakerConfig& config)
    : is_enabled_(config.enabled), slow_call_(slow_call_of(config)), breaker_(config) {
    publish(Instant::min());
}

void ServiceBreaker::reconfigure(
    const CircuitBreakerConfig& config, Instant now, BreakerTransition& changed
) {
    const std::lock_guard guard(lock_);
    breaker_.reconfigure(config, now, &changed);
    slow_call_.store(slow_call_of(config), std::memory_order_relaxed);
    is_enabled_.store(config.enabled, std::memory_order_relaxed);
    publish(now);
}

std::uint32_t ServiceBreaker::ask(Instant now, BreakerTransition& changed) noexcept {
    const std::lock_guard guard(lock_);
    const auto permit = breaker_.try_acquire(now, &changed);
    publish(now);
    return permit ? permit.era : 0;
}

void ServiceBreaker::record_locked(
    std::uint32_t era,
    Verdict verdict,
    bool slow,
    Instant now,
    NotedSuccesses& noted,
    BreakerTransition& changed
) noexcept {
    const std::lock_guard guard(lock_);
    const std::uint32_t count = noted.of(kNumber);
    if (count > 0) {
        noted.clear(kNumber);
        breaker_.on_successes({.admitted = true, .era = noted.era()}, count, noted.last());
    }
    const resilience::CircuitBreaker::Permit permit{.admitted = true, .era = era};
    switch (verdict) {
        case Verdict::success:
            breaker_.on_success(permit, now, &changed, slow);
            break;
        case Verdict::failure:
            breaker_.on_failure(permit, now, &changed, slow);
            break;
        case Verdict::nothing:
            breaker_.on_cancelled(permit);
            break;
    }
    publish(now);
}

void ServiceBreaker::give_back(std::uint32_t era) noexcept {
    if (!is_enabled_.load(std::memory_order_relaxed) || !may_refuse())
        return;  // closed: there is nothing to give back
    const std::lock_guard guard(lock_);
    breaker_.on_cancelled({.admitted = true, .era = era});
}

void ServiceBreaker::force(BreakerForce how, Instant now, BreakerTransition& changed) noexcept {
    const std::lock_guard guard(lock_);
    breaker_.force(how, now, &changed);
    publish(now);
}

ServiceBreaker::View ServiceBreaker::view(Instant now) const noexcept {
    const std::lock_guard guard(lock_);
    return {
        .state = breaker_.state(now),
        .forced = breaker_.forced(),
        .admitted_share = breaker_.admitted_share(now),
        .next_probe_at = breaker_.next_probe_at(),
    };
}

void ServiceBreaker::publish(Instant now) noexcept {
    std::uint32_t word = breaker_.closed_era();
    if (word != 0 && breaker_.is_clean(now)) word |= kClean;
    word_.store(word, std::memory_order_relaxed);
}

}  // namespace datapunk::mesh::policy
