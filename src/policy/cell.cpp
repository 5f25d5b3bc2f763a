#include "policy/cell.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "core/hash.h"
#include "policy/observed.h"

namespace datapunk::mesh::policy {
namespace {

// While half-open has all its probes out, picks look again this often. The breaker itself decides
// when a probe that never reports is lost.
constexpr Duration kProbeRecheck = std::chrono::milliseconds(100);

}  // namespace

Cell::Cell(
    LoadPool& pool, ServiceEndpoint the_endpoint, const CircuitBreakerConfig& config, Instant now
)
    : load(pool.take()),
      breaker(config),
      endpoint(std::move(the_endpoint)),
      address(endpoint.address()),
      key(core::hash64(endpoint.id)),
      has_dependencies(!endpoint.meta(meta_key::dependencies).empty()),
      pool_(pool) {
    load.owner = this;
    enlist(0, kNoSlot);
    publish(now);
}

Cell::~Cell() {
    pool_.give_back(load);
}

Permit Cell::ask_breaker(Instant now, CellChange& change) noexcept {
    const std::lock_guard guard(lock);
    const Permit permit = breaker.try_acquire(now, &change.breaker);
    publish(now);
    return permit;
}

void Cell::hand_in(NotedSuccesses* noted, Instant now) noexcept {
    if (noted == nullptr) {
        if (load.owner_count.load(std::memory_order_relaxed) == 0) return;
        const std::uint32_t count = load.owner_count.exchange(0, std::memory_order_relaxed);
        // Each came with an answer. What is left of an era that is over tells the breaker nothing.
        const Instant last(Duration(load.latency_at.load(std::memory_order_relaxed)));
        return hand_in(count, breaker.closed_era(), std::min(last, now), now);
    }
    const std::uint32_t count = noted->of(number());
    if (count == 0) return;
    noted->clear(number());
    hand_in(count, noted->era(), noted->last(), now);
}

void Cell::hand_in(std::uint32_t count, std::uint32_t era, Instant last, Instant now) noexcept {
    successes += count;
    breaker.on_successes({.admitted = true, .era = era}, count, last);
    resilience::record_success(results, now, count);
}

CellChange Cell::record_at_once(
    Permit permit,
    resilience::Verdict verdict,
    Duration latency,
    const CallPolicy& policy,
    Instant now,
    NotedSuccesses* noted
) noexcept {
    CellChange change;
    const std::lock_guard guard(lock);
    hand_in(noted, now);
    const bool slow = latency >= policy.slow_call;
    if (verdict == resilience::Verdict::success) {
        ++successes;
        breaker.on_success(permit, now, &change.breaker, slow);
        resilience::record_success(results, now);
        balance::record_answer(load, policy.averaging, latency, false, now);
    } else if (verdict == resilience::Verdict::failure) {
        ++failures;
        breaker.on_failure(permit, now, &change.breaker, slow);
        // Not at every further failure: judging looks at all endpoints.
        change.suspect = resilience::record_failure(results, policy.outlier, now) &&
                         results.in_a_row % policy.outlier.consecutive_failures == 0;
        balance::record_answer(load, policy.averaging, latency, true, now);
    } else {
        breaker.on_cancelled(permit);
        // Cut short, it still was at least so slow.
        if (static_cast<double>(latency.count()) > load.latency_ns.load()) {
            balance::record_answer(load, policy.averaging, latency, false, now);
        }
    }
    // Closed and unchanged, there is nothing to tell the pickers.
    const std::uint32_t word = load.owner_word.load(std::memory_order_relaxed);
    if (change.breaker || word == 0 || ((word & kClean) != 0) != is_clean(now)) publish(now);
    return change;
}

// One more success would change nothing but counts. Only meaningful while the breaker is closed.
bool Cell::is_clean(Instant now) noexcept {
    return breaker.is_clean(now) && results.failures == 0 && results.in_a_row == 0 &&
           !is_ejected(results, now);
}

void Cell::reconfigure(const CircuitBreakerConfig& config, Instant now, CellChange& change) {
    const std::lock_guard guard(lock);
    breaker.reconfigure(config, now, &change.breaker);
    publish(now);
}

void Cell::readmit(Instant now) noexcept {
    const std::lock_guard guard(lock);
    results.ejected_until = std::min(results.ejected_until, now);
    results.in_a_row = 0;
    publish(now);
}

void Cell::distrust(Instant now, CellChange& change) noexcept {
    const std::lock_guard guard(lock);
    breaker.distrust(now, &change.breaker);
    publish(now);
}

void Cell::force(BreakerForce how, Instant now, CellChange& change) noexcept {
    const std::lock_guard guard(lock);
    breaker.force(how, now, &change.breaker);
    publish(now);
}

void Cell::eject(const resilience::OutlierStats& judged, Instant now) noexcept {
    const std::lock_guard guard(lock);
    results.in_a_row = judged.in_a_row;
    results.ejections = judged.ejections;
    results.ejected_until = judged.ejected_until;
    publish(now);
}

void Cell::report_load(const LoadReport& report, Instant now) noexcept {
    const std::lock_guard guard(lock);
    reported.add(report, now);
}

void Cell::publish(Instant now) noexcept {
    Instant until = results.ejected_until;
    std::uint32_t era = 0;
    switch (breaker.state(now)) {
        case resilience::BreakerState::closed:
            era = breaker.closed_era();  // 0 if a ramp is over and nobody has asked since
            if (era != 0 && is_clean(now)) era |= kClean;
            break;
        case resilience::BreakerState::open:
            until = std::max(until, breaker.next_probe_at());
            break;
        case resilience::BreakerState::half_open:
            // Ramping, everybody asks and is counted.
            if (!breaker.is_ramping(now) && !breaker.admits(now))
                until = std::max(until, now + kProbeRecheck);
            break;
    }
    load.owner_word.store(era, std::memory_order_relaxed);
    load.unavailable_until.store(until.time_since_epoch().count(), std::memory_order_relaxed);
}

}  // namespace datapunk::mesh::policy
