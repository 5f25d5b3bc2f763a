// ServicePolicies, the writer's side: outlier ejection over all cells. It judges copies of their
// results, so that no two cells' locks are ever held together.

#include <algorithm>
#include <mutex>

#include "policy/service_policies.h"

namespace datapunk::mesh::policy {

// `starts_interval`: the cells begin to count afresh.
ResultsCopy ServicePolicies::copy_results(bool starts_interval) {
    ResultsCopy copy;
    copy.stats.reserve(cells_.size());
    copy.pointers.reserve(cells_.size());
    for (const auto& cell : cells_) {
        const std::lock_guard guard(cell->lock);
        resilience::OutlierStats& stats = copy.stats.emplace_back(cell->results);
        const std::uint32_t noted = noted_successes(*cell);
        const std::uint32_t all = stats.successes + noted;
        // What a thread has just handed in may be seen in neither place for a moment.
        stats.successes = all - std::min(all, cell->noted_before);
        if (!starts_interval) continue;
        cell->results.successes = cell->results.failures = 0;
        cell->noted_before = noted;
    }
    for (auto& stats : copy.stats) copy.pointers.push_back(&stats);
    return copy;
}

void ServicePolicies::eject_suspect(const Cell& suspect, Instant now) {
    // Called while recording a call: if the writer is busy, its next tick will see the suspect.
    const std::unique_lock guard(mutex_, std::try_to_lock);
    if (!guard.owns_lock() || !suspect.is_listed) return;
    ResultsCopy copy = copy_results(false);
    for (std::size_t i = 0; i < cells_.size(); ++i) {
        if (cells_[i].get() != &suspect) continue;
        const auto ejection = resilience::try_eject(copy.pointers, i, rules().outlier, now);
        if (ejection) apply(*ejection, copy.stats[i], now);
        return;
    }
}

void ServicePolicies::eject_suspects(Instant now) {
    const std::uint32_t limit = rules().outlier.consecutive_failures;
    if (limit == 0) return;
    ResultsCopy copy = copy_results(false);
    for (std::size_t i = 0; i < cells_.size(); ++i) {
        if (copy.stats[i].in_a_row < limit || is_ejected(copy.stats[i], now)) continue;
        const auto ejection = resilience::try_eject(copy.pointers, i, rules().outlier, now);
        if (ejection) apply(*ejection, copy.stats[i], now);
    }
}

void ServicePolicies::sweep(Instant now) {
    ResultsCopy copy = copy_results(true);
    for (const auto& ejection : resilience::sweep(copy.pointers, rules().outlier, now)) {
        apply(ejection, copy.stats[ejection.index], now);
    }
    for (std::size_t i = 0; i < cells_.size(); ++i) {
        const std::lock_guard guard(cells_[i]->lock);
        cells_[i]->results.ejections = copy.stats[i].ejections;
    }
}

void ServicePolicies::apply(
    const resilience::Ejection& ejection, const resilience::OutlierStats& judged, Instant now
) {
    Cell& cell = *cells_[ejection.index];
    cell.eject(judged, now);
    cell.ejected_for = resilience::describe(ejection);
    events_.push(
        {.when = now,
         .service = name_,
         .endpoint = cell.endpoint.id,
         .what = "ejected",
         .why = cell.ejected_for,
         .label = to_string(ejection.reason)}
    );
}

void ServicePolicies::tell_returns(Instant now) {
    for (const auto& cell : cells_) {
        if (cell->ejected_for.empty()) continue;
        const std::lock_guard guard(cell->lock);
        if (is_ejected(cell->results, now)) continue;
        cell->ejected_for.clear();
        events_.push(
            {.when = now,
             .service = name_,
             .endpoint = cell->endpoint.id,
             .what = "returned",
             .why = "ejection is over"}
        );
    }
}

void ServicePolicies::tick(Instant now) {
    if (admission_.waiting() > 0) admission_.grant(now);
    const std::lock_guard guard(mutex_);
    learn_usual(now);
    if (Hedging* const hedging = hedging_.get()) hedging->delay.tick(now);
    if (rules().outlier.enabled) {
        if (!next_sweep_) next_sweep_ = now + rules().outlier.interval;
        if (now >= *next_sweep_) {
            sweep(now);
            next_sweep_ = now + rules().outlier.interval;
        }
        eject_suspects(now);
    }
    observe(now);
    tell_returns(now);
    refresh_weights(now);
    collect();
}

}  // namespace datapunk::mesh::policy
