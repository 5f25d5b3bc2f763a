#include "policy/service_policies.h"

#include <algorithm>
#include <limits>

#include "balance/peak_ewma.h"
#include "policy/observed.h"

namespace datapunk::mesh::policy {
namespace {

health::Passive passive_health(const EndpointView& endpoint) {
    using resilience::BreakerState;
    if (endpoint.ejected_until || endpoint.breaker.state == BreakerState::open) {
        return health::Passive::out;
    }
    return endpoint.breaker.state == BreakerState::closed ? health::Passive::good
                                                          : health::Passive::recovering;
}

void add_forecasts(
    EndpointView& out, const Observed& observed, const ForecastConfig& config, Instant now
) {
    if (observed.silence != nullptr) out.suspicion = observed.silence->phi(now);
    if (!config.enabled) return;
    out.latency_forecast = std::chrono::duration_cast<Duration>(
        std::chrono::duration<double>(observed.latency.after(config.horizon))
    );
    out.in_flight_forecast = observed.in_flight.after(config.horizon);
    out.forecast_weight = health::weight_factor(observed.latency, config.horizon);
}

}  // namespace

ServicePolicies::ServicePolicies(std::string name, const ServicePolicy& policy, std::uint64_t seed)
    : name_(std::move(name)),
      seed_(seed),
      settings_(new PolicySettings(policy, seed)),
      call_limits_(
          new CallLimits(policy.limits.rate, policy.limits.callers, seed, policy.limits.share_rate)
      ),
      workers_(seed),
      breaker_(policy.service_breaker),
      admission_(policy.limits, workers_, seed),
      throttle_(policy.limits.throttle, workers_),
      budget_(policy.retry.budget) {
    hedging_.set(policy, Instant{});
    publish_questions();
}

ServicePolicies::~ServicePolicies() {
    delete table_.load();
    delete settings_.load();
    delete call_limits_.load();
}

std::vector<std::pair<std::string_view, LeasedSlicePtr>> ServicePolicies::shared_slices() const {
    const std::lock_guard guard(mutex_);  // not while a policy changes
    std::vector<std::pair<std::string_view, LeasedSlicePtr>> all;
    if (auto reserve = budget_.shared_reserve()) all.emplace_back("retry", std::move(reserve));
    if (auto rate = call_limits()->slice()) all.emplace_back("rate", std::move(rate));
    return all;
}

void ServicePolicies::learn_usual(Instant now) noexcept {
    std::uint64_t answers = 0;
    std::uint64_t ns = 0;
    workers_.for_each([&](const Worker& worker) {
        answers += worker.outcomes[static_cast<std::size_t>(resilience::Outcome::success)].load();
        ns += worker.success_ns.load();
    });
    usual_ns_.store(usual_.learn(answers, ns, now), std::memory_order_relaxed);
}

void ServicePolicies::report_load(
    const HeldEndpoint& attempt, const LoadReport& report, Instant now
) noexcept {
    if (wants_load_reports()) attempt.line_.cell().report_load(report, now);
}

resilience::RetryDecision ServicePolicies::after_attempt(
    CallState& call, resilience::AttemptEnd end, Instant now
) {
    end.attempt = call.attempts;
    end.deadline = call.deadline;
    end.previous_wait = call.last_wait;
    const WorkerUse worker(workers_);
    deposit(worker.get(), now);
    const PolicyInForce in_force = policy();
    const RetryConfig& retry = call.retry == nullptr ? in_force->retry : *call.retry;
    const auto decision = resilience::decide(retry, end, budget_, worker->pick.rng, now);
    call.last_wait = decision.wait;
    if (decision) worker->retries[static_cast<std::size_t>(end.outcome)].add();
    if (decision.reason == resilience::RetryReason::budget_exhausted) {
        worker->retries_refused.add();
    }
    const auto wait = static_cast<std::uint64_t>(decision.wait.count());
    worker->decisions.push(
        {.when_ns = now.time_since_epoch().count(),
         .call = call.number,
         .kind = Decision::Kind::retry,
         .attempt = static_cast<std::uint8_t>(call.attempts),
         .reason = static_cast<std::uint8_t>(decision.reason),
         .outcome = static_cast<std::uint8_t>(end.outcome),
         .cells = {static_cast<std::uint32_t>(wait), static_cast<std::uint32_t>(wait >> 32U)},
         .tokens = static_cast<float>(budget_.available(now))}
    );
    return decision;
}

NoEndpoint ServicePolicies::explain(const Table* table) const noexcept {
    if (table == nullptr || table->known == 0) {
        const std::uint32_t outside = table == nullptr ? 0 : table->outside;
        return {.reason = NoEndpoint::Reason::unknown_service, .outside = outside};
    }
    NoEndpoint why{.known = table->known, .critical = table->critical};
    std::int64_t next = std::numeric_limits<std::int64_t>::max();
    for (const CellLine line : table->cells) {
        const balance::EndpointLoad& load = line.load();
        // Without the cells' locks: an outage must not make every refusal expensive.
        const bool is_open = load.owner_word.load(std::memory_order_relaxed) == 0;
        (is_open ? why.open : why.ejected) += 1;
        next = std::min(next, load.unavailable_until.load(std::memory_order_relaxed));
    }
    why.next_at = Instant(Duration(next));
    return why;
}

NoEndpoint ServicePolicies::refused_by_breaker(Instant now) const noexcept {
    const Table* table = table_.load(std::memory_order_acquire);
    const ServiceBreaker::View breaker = breaker_.view(now);
    return {
        .reason = NoEndpoint::Reason::breaker_open,
        .known = table == nullptr ? 0 : table->known,
        .next_at = breaker.state == resilience::BreakerState::open ? breaker.next_probe_at : now
    };
}

void ServicePolicies::tell(
    const Cell* cell, const resilience::BreakerTransition& change, Instant now
) {
    std::string why(to_string(change.reason));
    if (change.calls > 0) {
        why += ": " + std::to_string(change.failures) + " of " + std::to_string(change.calls);
    }
    events_.push(
        {.when = now,
         .service = name_,
         .endpoint = cell == nullptr ? std::string() : cell->endpoint.id,
         .what = (cell == nullptr ? "service breaker " : "breaker ") +
                 std::string(to_string(change.to)),
         .why = std::move(why),
         .label = to_string(change.to)}
    );
}

std::uint32_t ServicePolicies::noted_successes(const Cell& cell) const noexcept {
    if (cell.slot() == kNoSlot) return cell.load.owner_count.load(std::memory_order_relaxed);
    std::uint32_t sum = 0;
    workers_.for_each([&](const Worker& worker) {
        sum += worker.noted[cell.slot()].of(cell.number());
    });
    return sum;
}

ServiceView ServicePolicies::view(Instant now) const {
    const std::lock_guard guard(mutex_);
    ServiceView view{
        .service = name_,
        .retry_tokens = budget_.available(now),
        .limit = admission_.limit(),
        .waiting = admission_.waiting(),
        .throttled_share = throttle_.share(),
        .callers = call_limits_.load()->callers()
    };
    if (const Hedging* const hedging = hedging_.get()) view.hedge_delay = hedging->delay.delay();
    const ServiceBreaker::View breaker = breaker_.view(now);
    view.breaker = {
        .state = breaker.state, .forced = breaker.forced, .admitted_share = breaker.admitted_share
    };
    if (breaker.state == resilience::BreakerState::open) {
        view.breaker.next_probe_at = breaker.next_probe_at;
    }
    view.dependencies = dependencies_;
    view.degraded_because = degraded_because_;
    if (const Table* table = table_.load()) {
        view.called = table->called;
        view.is_panic = table->is_panic;
    }
    if (std::holds_alternative<Adaptive>(rules().balance)) {
        view.algorithm = to_string(chooser_.choice());
        view.algorithm_why = chooser_.why();
    }
    const auto add = [&](const Cell& cell) {
        EndpointView seen{
            .id = cell.endpoint.id,
            .address = cell.address,
            .health = cell.health,
            .weight = cell.endpoint.weight,
            .in_flight = cell.load.in_flight.load(std::memory_order_relaxed),
            .latency = balance::expected_latency(cell.load, settings_.load()->call.averaging, now),
            .is_leaving = !cell.is_listed,
        };
        {
            const std::lock_guard cell_guard(cell.lock);
            seen.successes = cell.successes + noted_successes(cell);
            seen.failures = cell.failures;
            seen.breaker = {
                .state = cell.breaker.state(now),
                .forced = cell.breaker.forced(),
                .admitted_share = cell.breaker.admitted_share(now)
            };
            if (seen.breaker.state == resilience::BreakerState::open) {
                seen.breaker.next_probe_at = cell.breaker.next_probe_at();
            }
            if (is_ejected(cell.results, now)) seen.ejected_until = cell.results.ejected_until;
        }
        if (seen.ejected_until) seen.ejected_for = cell.ejected_for;
        seen.verdict = health::combine(seen.health, passive_health(seen));
        if (cell.observed != nullptr) add_forecasts(seen, *cell.observed, rules().forecast, now);
        view.endpoints.push_back(std::move(seen));
    };
    for (const auto& cell : cells_) add(*cell);
    health::ServiceWellness wellness{
        .breaker_open = breaker.state == resilience::BreakerState::open,
        .dependency_fails = !degraded_because_.empty()
    };
    for (const EndpointView& endpoint : view.endpoints) wellness.add(endpoint.verdict);
    view.verdict = wellness.verdict();
    if (const auto line = available_share_.line(now)) {
        view.availability_slope_per_second = line->slope_per_second;
        view.none_available_in = available_share_.time_to(0, now);
    }
    for (const auto& cell : leaving_) {
        if (cell->load.in_flight.load(std::memory_order_relaxed) > 0) add(*cell);
    }
    return view;
}

ServiceTotals ServicePolicies::totals() const noexcept {
    ServiceTotals totals{.in_flight = workers_.in_flight()};
    workers_.for_each([&](const Worker& worker) {
        totals.calls += worker.calls.load();
        totals.attempts += worker.begun.load();
        totals.retries_refused += worker.retries_refused.load();
        totals.attempts -= worker.unused.load();
        for (std::size_t i = 0; i < kReasons; ++i) totals.refused[i] += worker.refused[i].load();
        totals.abandoned += worker.abandoned.load();
        totals.other_zone += worker.other_zone.load();
        totals.later_priority += worker.later_priority.load();
        for (std::size_t i = 0; i < kOutcomes; ++i) {
            totals.outcomes[i] += worker.outcomes[i].load();
            totals.retries_after[i] += worker.retries[i].load();
            totals.retries += worker.retries[i].load();
        }
        for (std::size_t i = 0; i < kHedgeEnds; ++i) totals.hedges[i] += worker.hedges[i].load();
    });
    return totals;
}

}  // namespace datapunk::mesh::policy
