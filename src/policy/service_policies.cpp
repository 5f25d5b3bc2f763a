#include "policy/service_policies.h"

#include <algorithm>
#include <limits>

#include "balance/peak_ewma.h"
#include "policy/observed.h"

namespace datapunk::mesh::policy {
namespace {

// Endpoints that one attempt may be refused by before it gives up: each was available when picked
// and lost its last half-open slot to another thread before it was asked.
constexpr int kAskedMax = 16;

// First attempts that a thread keeps to itself before it tells the budget. The budget may so know
// up to 15 calls per thread too few, never too many.
constexpr std::uint32_t kDepositsMax = 16;

// What one attempt's picks leave out: what the call has tried, and who refused it just now.
class Skipped {
  public:
    using Span = std::span<const balance::EndpointLoad* const>;

    explicit Skipped(Span tried) noexcept : tried_(tried) {}

    Span span() const noexcept {
        if (refused_ == 0) return revisits_ ? Span() : tried_;
        return Span(list_).subspan(
            revisits_ ? tried_.size() : 0, (revisits_ ? 0 : tried_.size()) + refused_
        );
    }

    // Nobody is left but those that the call has tried: again, then. False: that is so already.
    bool revisit_tried() noexcept { return !tried_.empty() && !std::exchange(revisits_, true); }

    void add(const balance::EndpointLoad* load) noexcept {
        if (refused_ == 0) std::copy(tried_.begin(), tried_.end(), list_.begin());
        list_[tried_.size() + refused_++] = load;
    }

  private:
    Span tried_;
    std::size_t refused_ = 0;
    bool revisits_ = false;
    std::array<const balance::EndpointLoad*, CallState::kTriedMax + kAskedMax> list_;
};

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

void HeldEndpoint::abandon() noexcept {
    // No clock here: nobody knows how long an abandoned attempt took.
    WorkerUse(owner_->workers_)->abandoned.add();
    owner_->finish(*this, resilience::Outcome::cancelled, std::nullopt, false, begun_);
}

HeldEndpoint& HeldEndpoint::operator=(HeldEndpoint&& other) noexcept {
    HeldEndpoint taken(std::move(other));
    std::swap(owner_, taken.owner_);
    std::swap(cell_, taken.cell_);
    std::swap(era_, taken.era_);
    std::swap(service_era_, taken.service_era_);
    std::swap(begun_, taken.begun_);
    std::swap(record_, taken.record_);
    return *this;
}

ServicePolicies::ServicePolicies(std::string name, const ServicePolicy& policy, std::uint64_t seed)
    : name_(std::move(name)),
      seed_(seed),
      settings_(new PolicySettings(policy, seed)),
      budget_(policy.retry.budget),
      breaker_(policy.service_breaker),
      workers_(seed),
      call_limits_(
          new CallLimits(policy.limits.rate, policy.limits.callers, seed, policy.limits.share_rate)
      ),
      admission_(policy.limits, workers_, seed),
      throttle_(policy.limits.throttle, workers_) {
    hedging_.set(policy, Instant{});
}

ServicePolicies::~ServicePolicies() {
    delete table_.load();
    delete settings_.load();
    delete call_limits_.load();
}

std::variant<HeldEndpoint, NoEndpoint> ServicePolicies::begin_attempt(
    CallState& call, Instant now
) {
    auto begun = try_begin(call, now, false);
    if (std::exchange(call.has_place, false)) [[unlikely]]
        admission_.give_back(now);
    return begun;
}

std::variant<HeldEndpoint, NoEndpoint> ServicePolicies::try_begin(
    CallState& call, Instant now, bool is_hedge
) {
    const core::EpochGuard guard;
    const WorkerUse worker(workers_);
    // A hedge that cannot begin is no refused call.
    const auto refuse = [&](const NoEndpoint& why) {
        return is_hedge ? why : this->refuse(worker.get(), call, why, now);
    };
    if (call.deadline.expired(now)) {
        const NoEndpoint late{.reason = NoEndpoint::Reason::deadline};
        return refuse(late);
    }
    if (is_blocked_.load(std::memory_order_relaxed)) {
        const NoEndpoint blocked{.reason = NoEndpoint::Reason::dependency};
        return refuse(blocked);
    }
    if (!call.is_admitted) [[likely]] {
        if (call_limits_.load(std::memory_order_acquire)->is_on()) [[unlikely]] {
            if (const auto why = admit(worker.get(), call, now)) return *why;
        }
        call.is_admitted = true;
    }
    if (!call.has_place && !admission_.within_limit(worker.get(), call.priority, now)) {
        NoEndpoint why = admission_.refusal(call.priority);
        why.may_wait = why.may_wait && call.can_wait && !is_hedge;
        if (why.may_wait) return why;
        return refuse(why);
    }
    if (!throttle_.admits(worker.get(), now)) {
        const NoEndpoint spared{.reason = NoEndpoint::Reason::throttled};
        return refuse(spared);
    }
    resilience::BreakerTransition changed;
    const std::uint32_t service_era = breaker_.admit(now, changed);
    if (changed) tell(nullptr, changed, now);
    if (service_era == 0) {
        return refuse(refused_by_breaker(now));
    }
    const Table* table = table_.load(std::memory_order_acquire);
    Skipped skipped(call.tried());
    bool is_metered = false;
    balance::PickQuery query{.now = now, .tried = call.tried(), .hash = call.hash};
    if (call.hash) query.in_flight = workers_.in_flight();  // a bounded load asks for it
    for (int asked = 0; table != nullptr && asked < kAskedMax; ++asked) {
        worker->pick.compared_count = 0;
        auto index = table->balancer.pick(query, worker->pick);
        if (!index && !is_hedge && skipped.revisit_tried()) {
            query.tried = skipped.span();
            index = table->balancer.pick(query, worker->pick);
        }
        if (!index) break;
        Cell& cell = *table->cells[*index];
        CellChange change;
        // One that ramps has refused this call: now it is for those that are well. Asked in turn,
        // all that ramp would together admit more than their share.
        const bool may_ask =
            !is_metered || cell.load.owner_word.load(std::memory_order_relaxed) != 0;
        const Permit permit = may_ask ? cell.admit(now, change) : Permit{};
        if (change.breaker) tell(&cell, change.breaker, now);
        if (!permit) {
            // Having lost its last probe to another thread, it is hidden from picks; else it ramps.
            is_metered = is_metered || cell.load.available(now);
            skipped.add(&cell.load);
            query.tried = skipped.span();
            continue;
        }

        const std::uint64_t record = note_pick(worker.get(), *table, call, cell, now);
        cell.load.in_flight.fetch_add(1, std::memory_order_relaxed);
        if (!std::exchange(call.has_place, false)) {
            --worker->allowance;
            worker->begun.add();
        }
        if (!is_hedge && call.attempts++ == 0) {
            worker->calls.add();
            if (++worker->deposits >= kDepositsMax) deposit(worker.get(), now);
        }
        call.add_tried(&cell.load);
        if (!table->spills.empty()) {
            const Spill spill = table->spills[*index];
            if (spill == Spill::zone) worker->other_zone.add();
            if (spill == Spill::priority) worker->later_priority.add();
        }
        const std::uint64_t marked = is_hedge ? record | HeldEndpoint::kHedge : record;
        return HeldEndpoint(*this, cell, permit.era, service_era, now, marked);
    }
    breaker_.give_back(service_era);
    return refuse(explain(table));
}

// Nothing: it may begin. Else why not, or when.
std::optional<NoEndpoint> ServicePolicies::admit(Worker& worker, CallState& call, Instant now) {
    using Verdict = CallLimits::Verdict;
    const Duration patience = call.can_wait ? call.deadline.at() - now : Duration::zero();
    CallLimits& limits = *call_limits_.load(std::memory_order_acquire);
    const auto decided = limits.begin(call.caller, now, patience, call.caller_place);
    NoEndpoint why{.in_flight = decided.in_flight, .next_at = now + decided.wait};
    switch (decided.verdict) {
        case Verdict::admitted:
            if (decided.wait == Duration::zero()) return std::nullopt;
            call.is_admitted = true;
            why.reason = NoEndpoint::Reason::rate_limit;
            why.turn_at = now + decided.wait;
            return why;
        case Verdict::rate_limit:
            why.reason = NoEndpoint::Reason::rate_limit;
            break;
        case Verdict::caller_rate:
            why.reason = NoEndpoint::Reason::caller_rate;
            break;
        case Verdict::caller_limit:
            why.reason = NoEndpoint::Reason::caller_limit;
            break;
    }
    return refuse(worker, call, why, now);
}

NoEndpoint ServicePolicies::refuse(
    Worker& worker, CallState& call, const NoEndpoint& why, Instant now
) const noexcept {
    worker.count_refusal(why.reason);
    return note_refusal(worker, call, why, now);
}

std::vector<std::pair<std::string_view, resilience::Leased>> ServicePolicies::shared_slices(
) const {
    const std::lock_guard guard(mutex_);  // not while a policy changes
    std::vector<std::pair<std::string_view, resilience::Leased>> all;
    if (auto reserve = budget_.shared_reserve()) all.emplace_back("retry", std::move(reserve));
    if (auto rate = call_limits()->leased()) {
        const bool is_window =
            std::holds_alternative<std::shared_ptr<resilience::LeasedWindow>>(*rate);
        all.emplace_back(is_window ? "window" : "rate", *std::move(rate));
    }
    return all;
}

void ServicePolicies::deposit(Worker& worker, Instant now) noexcept {
    if (worker.deposits == 0) return;
    const std::uint32_t calls = std::exchange(worker.deposits, 0);
    budget_.deposit(now, core::thread_index(), calls);
    if (Hedging* const hedging = hedging_.get())
        hedging->share.deposit(now, core::thread_index(), calls);
}

void ServicePolicies::finish_attempt(
    HeldEndpoint&& attempt,
    resilience::Outcome outcome,
    Instant now,
    std::optional<bool> is_failure,
    bool is_overload
) {
    finish(attempt, outcome, is_failure, is_overload, now);
}

std::optional<bool> ServicePolicies::judged(resilience::Outcome ended, int status) const noexcept {
    using resilience::Outcome;
    if (ended != Outcome::success && ended != Outcome::server_error) return std::nullopt;
    return policy()->failure_statuses.contains(status);
}

void ServicePolicies::confirm_attempt(HeldEndpoint& attempt, Instant now) {
    record(attempt, resilience::Outcome::success, std::nullopt, false, now);
    attempt.begun_ = kNever;
}

void ServicePolicies::finish(
    HeldEndpoint& attempt,
    resilience::Outcome outcome,
    std::optional<bool> is_failure,
    bool is_overload,
    Instant now
) {
    attempt.owner_ = nullptr;
    if (!attempt.is_confirmed()) record(attempt, outcome, is_failure, is_overload, now);
    {
        const WorkerUse worker(workers_);
        worker->finished.add();
    }
    // Abandoned when it was confirmed already: nobody knows the time. The next one to finish, or
    // the next tick, gives the place to who waits.
    if (now != kNever) admission_.finished(now);
    // The last touch: an unlisted cell without calls in flight is freed.
    attempt.cell_->load.in_flight.fetch_sub(1, std::memory_order_release);
}

void ServicePolicies::record(
    const HeldEndpoint& attempt,
    resilience::Outcome outcome,
    std::optional<bool> is_failure,
    bool is_overload,
    Instant now
) {
    using resilience::Verdict;
    Cell& cell = *attempt.cell_;
    const PolicyInForce policy = this->policy();
    Verdict verdict = resilience::verdict_of(outcome);
    if (is_failure && verdict != Verdict::nothing) {
        verdict = *is_failure ? Verdict::failure : Verdict::success;
    }
    const Duration latency = now - attempt.begun_;
    if (outcome == resilience::Outcome::timeout && !is_failure && !had_time(latency)) {
        verdict = Verdict::nothing;
    }
    if (!attempt.is_hedge()) learn_delay(outcome, latency);
    CellChange change;
    resilience::BreakerTransition changed;
    {
        const WorkerUse worker(workers_);
        worker->outcomes[static_cast<std::size_t>(outcome)].add();
        if (is_overload || resilience::tells_overload(outcome, 0, std::nullopt)) {
            worker->overloaded.add();
        }
        if (outcome == resilience::Outcome::success && now > attempt.begun_) {
            worker->success_ns.add(static_cast<std::uint64_t>((now - attempt.begun_).count()));
        }
        NotedSuccesses* noted = cell.slot == kNoSlot ? nullptr : &worker->noted[cell.slot];
        const Permit permit{.admitted = true, .era = attempt.era_};
        change = cell.record(permit, verdict, latency, policy.call(), now, noted);
        breaker_.record(
            attempt.service_era_, verdict, latency, now, worker->service_noted, changed
        );
    }
    if (change.breaker) tell(&cell, change.breaker, now);
    if (changed) tell(nullptr, changed, now);
    if (change.suspect) eject_suspect(cell, now);
}

// Had an attempt that timed out as long as the policy gives, or as answers may well take? By
// Markov's inequality at most half of them take longer than twice the mean; breakers open at half.
bool ServicePolicies::had_time(Duration taken) const noexcept {
    const PolicyInForce policy = this->policy();
    const Duration limit = policy->retry.attempt_timeout;
    if (taken >= (limit > Duration::zero() ? std::min(limit, policy->deadline) : policy->deadline))
        return true;
    const Duration usual{usual_ns_.load(std::memory_order_relaxed)};
    return taken >= std::max(policy->patience_min, 2 * usual);
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
    if (wants_load_reports()) attempt.cell_->report_load(report, now);
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
    for (const Cell* cell : table->cells) {
        // Without the cells' locks: an outage must not make every refusal expensive.
        const bool is_open = cell->load.owner_word.load(std::memory_order_relaxed) == 0;
        (is_open ? why.open : why.ejected) += 1;
        next = std::min(next, cell->load.unavailable_until.load(std::memory_order_relaxed));
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
    if (cell.slot == kNoSlot) return cell.load.owner_count.load(std::memory_order_relaxed);
    std::uint32_t sum = 0;
    workers_.for_each([&](const Worker& worker) { sum += worker.noted[cell.slot].of(cell.number); }
    );
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
