// ServicePolicies, the writer's side: another policy while calls are under way.

#include <algorithm>
#include <mutex>
#include <utility>

#include "policy/observed.h"
#include "policy/service_policies.h"

namespace datapunk::mesh::policy {
namespace {

PeakEwma averaging_of(const BalanceConfig& config) {
    const auto* chosen = std::get_if<PeakEwma>(&config);
    return chosen == nullptr ? PeakEwma{} : *chosen;
}

CallPolicy call_policy_of(const ServicePolicy& policy) {
    CallPolicy out{.outlier = policy.outlier, .averaging = averaging_of(policy.balance)};
    if (policy.breaker.slow_call > Duration::zero()) out.slow_call = policy.breaker.slow_call;
    return out;
}

// For people: which groups of fields are others.
std::string differences(const ServicePolicy& a, const ServicePolicy& b) {
    std::string out;
    const auto note = [&out](std::string_view name, bool is_same) {
        if (is_same) return;
        if (!out.empty()) out += ", ";
        out += name;
    };
    note("balance", a.balance == b.balance);
    note("affinity", a.affinity == b.affinity);
    note("slow_start", a.slow_start == b.slow_start);
    note("zones", a.zones == b.zones);
    note("failover", a.failover == b.failover);
    note("panic", a.panic == b.panic);
    note("subsetting", a.subsetting == b.subsetting);
    note("breaker", a.breaker == b.breaker);
    note("service_breaker", a.service_breaker == b.service_breaker);
    note("outlier", a.outlier == b.outlier);
    note("dependencies", a.dependencies == b.dependencies);
    note("forecast", a.forecast == b.forecast);
    note("retry", a.retry == b.retry);
    note("hedge", a.hedge == b.hedge);
    note("limits", a.limits == b.limits);
    note("subset", a.subset == b.subset);
    note("deadline", a.deadline == b.deadline && a.deadline_header == b.deadline_header);
    return out.empty() ? "other settings" : out;
}

bool listens(const OutlierConfig& config) {
    return config.enabled && config.phi > 0;
}

}  // namespace

PolicySettings::PolicySettings(const ServicePolicy& the_policy, std::uint64_t seed)
    : policy(the_policy), call(call_policy_of(policy)), rules(balance::rules_of(policy, seed)) {}

bool ServicePolicies::set_policy(const ServicePolicy& policy, Instant now) {
    const std::lock_guard guard(mutex_);
    const PolicySettings* const old = settings_.load();
    if (policy == old->policy) return false;
    const ServicePolicy before = old->policy;
    settings_.store(new PolicySettings(policy, seed_), std::memory_order_release);
    retired_.add([old] { delete old; });

    budget_.reconfigure(policy.retry.budget, now);
    hedging_.set(policy, now);
    change_breakers(before, now);
    change_looks(before, now);
    change_members(before, now);
    // Last: who waits for a place begins under the new policy.
    change_limits(before, now);
    events_.push(
        {.when = now,
         .service = name_,
         .endpoint = {},
         .what = "policy changed",
         .why = differences(before, policy),
         .label = {}}
    );
    collect();
    return true;
}

void ServicePolicies::change_breakers(const ServicePolicy& before, Instant now) {
    const ServicePolicy& policy = rules();
    if (policy.service_breaker != before.service_breaker) {
        resilience::BreakerTransition changed;
        breaker_.reconfigure(policy.service_breaker, now, changed);
        if (changed) tell(nullptr, changed, now);
    }
    if (policy.breaker == before.breaker) return;
    for (const auto* list : {&cells_, &leaving_}) {
        for (const auto& cell : *list) {
            CellChange change;
            cell->reconfigure(policy.breaker, now, change);
            if (change.breaker) tell(cell.get(), change.breaker, now);
            const auto forced = forced_.find(cell->endpoint.id);
            if (forced == forced_.end()) continue;
            CellChange again;
            cell->force(forced->second, now, again);
            if (again.breaker) tell(cell.get(), again.breaker, now);
        }
    }
}

// What the control thread's looks at the endpoints have found.
void ServicePolicies::change_looks(const ServicePolicy& before, Instant now) {
    const ServicePolicy& policy = rules();
    if (policy.outlier.interval != before.outlier.interval) next_sweep_.reset();
    const bool ends_ejections = before.outlier.enabled && !policy.outlier.enabled;
    const bool listens_anew = listens(policy.outlier) != listens(before.outlier) ||
                              policy.outlier.phi_pause != before.outlier.phi_pause;
    for (const auto* list : {&cells_, &leaving_}) {
        for (const auto& cell : *list) {
            if (ends_ejections) cell->readmit(now);
            if (cell->observed == nullptr) continue;
            Observed fresh(policy.forecast, policy.outlier);
            if (policy.forecast.memory != before.forecast.memory) {
                cell->observed->latency = fresh.latency;
                cell->observed->in_flight = fresh.in_flight;
            }
            if (listens_anew) cell->observed->silence = std::move(fresh.silence);
        }
    }
    if (ends_ejections) tell_returns(now);

    const auto* judged = std::get_if<Adaptive>(&policy.balance);
    const auto* judged_before = std::get_if<Adaptive>(&before.balance);
    const bool is_same_interval = judged != nullptr && judged_before != nullptr &&
                                  judged->interval == judged_before->interval;
    if (judged == nullptr || is_same_interval) return;
    next_judgement_ = kNever;
    samples_ = 0;
    for (const auto& cell : cells_) {
        const std::lock_guard cell_guard(cell->lock);
        cell->sampled_in_flight = cell->sampled_latency_ns = 0;
        cell->calls_before = cell->successes + noted_successes(*cell) + cell->failures;
        cell->failures_before = cell->failures;
    }
}

// Rates and callers' limits that are others begin afresh: who was let in by the old ones gives its
// place back to them.
void ServicePolicies::change_limits(const ServicePolicy& before, Instant now) {
    const LimitsConfig& limits = rules().limits;
    if (limits.rate != before.limits.rate || limits.callers != before.limits.callers ||
        limits.share_rate != before.limits.share_rate) {
        auto fresh =
            std::make_unique<CallLimits>(limits.rate, limits.callers, seed_, limits.share_rate);
        CallLimits* old = call_limits_.exchange(fresh.release(), std::memory_order_acq_rel);
        retired_.add([this, old] { former_limits_.emplace_back(old); });
    }
    if (limits.throttle != before.limits.throttle) throttle_.reconfigure(limits.throttle);
    publish_questions();
    if (limits != before.limits) admission_.reconfigure(limits, now);
}

// What calls ask about only if somebody has an answer: one flag for all, mostly false.
void ServicePolicies::publish_questions() noexcept {
    must_ask_.store(
        is_blocked_.load(std::memory_order_relaxed) || throttle_.is_on() ||
            call_limits_.load(std::memory_order_relaxed)->is_on(),
        std::memory_order_relaxed
    );
}

// Who is called, and how they are balanced.
void ServicePolicies::change_members(const ServicePolicy& before, Instant now) {
    if (rules().subset == before.subset) {
        if (table_.load() != nullptr) publish_table({}, now);
        return;
    }
    if (table_.load() == nullptr) return;  // nobody is known yet
    EndpointSetPtr all = last_set_;
    if (all == nullptr) {  // without a subset everybody has a cell
        auto set = std::make_shared<EndpointSet>();
        set->service = name_;
        for (const auto& cell : cells_) {
            set->endpoints.push_back(cell->endpoint);
            set->endpoints.back().health = cell->health;
        }
        all = std::move(set);
    }
    last_set_ = rules().subset.empty() ? nullptr : all;
    list(*all, now);
}

}  // namespace datapunk::mesh::policy
