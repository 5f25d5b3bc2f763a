// ServicePolicies: attempts, from their beginning to their end; what every call goes through.
//
// The usual way is straight: every question that is answered "nothing special" is one flag or one
// word that is at hand. Whatever else there is to do (somebody must be asked, the first pick will
// not do, a breaker or an ejection hears of it) is a function of its own, so that the usual way
// neither calls it nor prepares for it.
//
//   begin   must_ask_, allowance, the service breaker's word → pick → the endpoint's word
//   finish  the endpoint's word and the thread's notes → counters
//
// What it writes: the thread's Worker, and the line of the chosen endpoint (EndpointLoad).

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "policy/service_policies.h"
#include "resilience/adaptive_throttle.h"

namespace datapunk::mesh::policy {
namespace {

// Endpoints that one attempt may be refused by before it gives up: each was available when picked
// and lost its last half-open slot to another thread before it was asked.
constexpr int kAskedMax = 16;

// First attempts that a thread keeps to itself before it tells the budget. The budget may so know
// up to 15 calls per thread too few, and hear of them later than they began.
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

template <class Small>
Small capped(std::uint64_t value) noexcept {
    return static_cast<Small>(std::min<std::uint64_t>(value, std::numeric_limits<Small>::max()));
}

static_assert(core::kThreadsMax <= kThreadMask);

// What the pick went by, into the thread's ring. Returns who can ask for it: HeldEndpoint::record_.
std::uint64_t note_pick(
    Worker& worker, const EndpointTable& table, CallState& call, CellLine picked, Instant now
) noexcept {
    if (call.number == 0) call.number = numbered(worker.index, worker.decisions.pushed() + 1);
    const std::uint32_t compared = worker.pick.compared_count;
    Decision noted{
        .when_ns = now.time_since_epoch().count(),
        .call = call.number,
        .picked = picked.number(),
        .kind = Decision::Kind::pick,
        .attempt = capped<std::uint8_t>(call.attempts + 1),
        .known = table.known,
        .critical = capped<std::uint16_t>(table.critical),
        .tried = capped<std::uint8_t>(call.tried_count()),
        .compared = static_cast<std::uint8_t>(compared)
    };
    const auto look_at = [&]<std::size_t kIndex>() {
        const balance::EndpointLoad& load = *worker.pick.compared[kIndex];
        noted.cells[kIndex] = load.owner_number;
        noted.in_flight[kIndex] = load.in_flight.load(std::memory_order_relaxed);
        noted.latency_ms[kIndex] =
            static_cast<float>(load.latency_ns.load(std::memory_order_relaxed) * 1e-6);
    };
    static_assert(Decision::kComparedMax == 4);
    // One by one: indices that are known keep the record in registers.
    if (compared > 0) look_at.operator()<0>();
    if (compared > 1) look_at.operator()<1>();
    if (compared > 2) [[unlikely]] {
        look_at.operator()<2>();
        if (compared > 3) look_at.operator()<3>();
    }
    return numbered(worker.index, worker.decisions.push(noted));
}

}  // namespace

// A pick under way.
struct ServicePolicies::Picking {
    const Table& table;
    Worker& worker;
    balance::PickQuery query;
    bool is_hedge;
};

// Where it led.
struct ServicePolicies::Chosen {
    CellLine cell;
    std::uint32_t index = 0;  // in the table
    std::uint32_t era = 0;    // of the permit of the endpoint's breaker; 0 = it led to nobody
};

// How an attempt ended: finish_attempt().
struct ServicePolicies::Ended {
    resilience::Outcome outcome = resilience::Outcome::success;
    std::optional<bool> is_failure{};
    bool is_overload = false;
};

// What that says of the endpoint, and whether its record knows already.
struct ServicePolicies::Judged {
    resilience::Verdict verdict;
    Duration latency;
    bool is_noted;
};

// What that has changed, to be told when the thread's worker is not in use any more.
struct ServicePolicies::Changes {
    CellChange cell;
    resilience::BreakerTransition service;
};

void HeldEndpoint::abandon() noexcept {
    // No clock here: nobody knows how long an abandoned attempt took.
    WorkerUse(owner_->workers_)->abandoned.add();
    owner_->finish(*this, {.outcome = resilience::Outcome::cancelled}, begun_);
}

HeldEndpoint& HeldEndpoint::operator=(HeldEndpoint&& other) noexcept {
    HeldEndpoint taken(std::move(other));
    std::swap(owner_, taken.owner_);
    std::swap(line_, taken.line_);
    std::swap(era_, taken.era_);
    std::swap(service_era_, taken.service_era_);
    std::swap(begun_, taken.begun_);
    std::swap(record_, taken.record_);
    return *this;
}

std::variant<HeldEndpoint, NoEndpoint> ServicePolicies::begin_attempt(
    CallState& call, Instant now
) {
    auto begun = try_begin(call, now, false);
    if (std::exchange(call.has_place, false)) [[unlikely]]
        admission_.give_back(now);
    return begun;
}

// The era of the service breaker's permit, if nothing but that it is closed needs to be known; else
// 0: ask() then. Changes nothing.
inline std::uint32_t ServicePolicies::open_door(
    const Worker& worker, const CallState& call, Instant now
) const {
    const bool is_open = !must_ask_.load(std::memory_order_relaxed) &&
                         !call.deadline.expired(now) &&
                         (call.has_place || admission_.has_allowance(worker, now));
    return is_open ? breaker_.open_door() : 0;
}

// Everybody who may refuse the call before an endpoint is looked for. The era of the service
// breaker's permit, or why not.
std::variant<std::uint32_t, NoEndpoint> ServicePolicies::ask(
    Worker& worker, CallState& call, Instant now, bool is_hedge
) {
    // A hedge that cannot begin is no refused call.
    const auto refuse = [&](const NoEndpoint& why) {
        return is_hedge ? why : this->refuse(worker, call, why, now);
    };
    if (call.deadline.expired(now)) {
        const NoEndpoint late{.reason = NoEndpoint::Reason::deadline};
        return refuse(late);
    }
    if (is_blocked_.load(std::memory_order_relaxed)) {
        const NoEndpoint blocked{.reason = NoEndpoint::Reason::dependency};
        return refuse(blocked);
    }
    if (!call.is_admitted) {
        if (call_limits_.load(std::memory_order_acquire)->is_on()) {
            if (const auto why = admit(worker, call, now)) return *why;
        }
        call.is_admitted = true;
    }
    if (!call.has_place && !admission_.within_limit(worker, call.priority, now)) {
        NoEndpoint why = admission_.refusal(call.priority);
        why.may_wait = why.may_wait && call.can_wait && !is_hedge;
        if (why.may_wait) return why;
        return refuse(why);
    }
    if (!throttle_.admits(worker, now)) {
        const NoEndpoint spared{.reason = NoEndpoint::Reason::throttled};
        return refuse(spared);
    }
    resilience::BreakerTransition changed;
    const std::uint32_t era = breaker_.admit(now, changed);
    if (changed) tell(nullptr, changed, now);
    if (era == 0) return refuse(refused_by_breaker(now));
    return era;
}

std::variant<HeldEndpoint, NoEndpoint> ServicePolicies::try_begin(
    CallState& call, Instant now, bool is_hedge
) {
    const core::EpochGuard guard;
    const WorkerUse worker(workers_);
    std::uint32_t service_era = open_door(worker.get(), call, now);
    if (service_era == 0) [[unlikely]] {
        const auto answer = ask(worker.get(), call, now, is_hedge);
        if (const auto* why = std::get_if<NoEndpoint>(&answer)) return *why;
        service_era = std::get<std::uint32_t>(answer);
    }
    call.is_admitted = true;

    const Table* const table = table_.load(std::memory_order_acquire);
    Chosen chosen;
    if (table != nullptr) [[likely]] {
        Picking picking{
            .table = *table,
            .worker = worker.get(),
            .query = {.now = now, .tried = call.tried(), .hash = call.hash},
            .is_hedge = is_hedge
        };
        // A bounded load asks for it.
        if (call.hash) [[unlikely]]
            picking.query.in_flight = workers_.in_flight();
        worker->pick.compared_count = 0;
        const auto index = table->balancer.pick(picking.query, worker->pick);
        if (index) [[likely]] {
            const CellLine cell = table->cells[*index];
            chosen = {.cell = cell, .index = *index, .era = cell.open_door()};
        }
        if (chosen.era == 0) [[unlikely]]
            chosen = choose_again(picking, index);
    }
    if (chosen.era == 0) [[unlikely]] {
        breaker_.give_back(service_era);
        const NoEndpoint why = explain(table);
        return is_hedge ? why : refuse(worker.get(), call, why, now);
    }

    const CellLine cell = chosen.cell;
    const std::uint64_t record = note_pick(worker.get(), *table, call, cell, now);
    cell.load().in_flight.fetch_add(1, std::memory_order_relaxed);
    if (!std::exchange(call.has_place, false)) {
        --worker->allowance;
        worker->begun.add();
    }
    if (!is_hedge && call.attempts++ == 0) {
        worker->calls.add();
        if (++worker->deposits >= kDepositsMax) deposit(worker.get(), now);
    }
    call.add_tried(&cell.load());
    if (!table->spills.empty()) [[unlikely]] {
        const Spill spill = table->spills[chosen.index];
        if (spill == Spill::zone) worker->other_zone.add();
        if (spill == Spill::priority) worker->later_priority.add();
    }
    const std::uint64_t marked = is_hedge ? record | HeldEndpoint::kHedge : record;
    return HeldEndpoint(*this, cell, chosen.era, service_era, now, marked);
}

// The first pick led to nobody, or to an endpoint whose breaker must be asked: on from there.
ServicePolicies::Chosen ServicePolicies::choose_again(
    Picking& picking, std::optional<std::uint32_t> index
) {
    const Table& table = picking.table;
    balance::PickState& state = picking.worker.pick;
    Skipped skipped(picking.query.tried);
    bool is_metered = false;
    for (int asked = 0; asked < kAskedMax; ++asked) {
        if (asked > 0) {
            state.compared_count = 0;
            index = table.balancer.pick(picking.query, state);
        }
        if (!index && !picking.is_hedge && skipped.revisit_tried()) {
            picking.query.tried = skipped.span();
            index = table.balancer.pick(picking.query, state);
        }
        if (!index) break;
        const CellLine line = table.cells[*index];
        Cell& cell = line.cell();
        CellChange change;
        // One that ramps has refused this call: now it is for those that are well. Asked in turn,
        // all that ramp would together admit more than their share.
        const bool may_ask = !is_metered || line.open_door() != 0;
        const Permit permit = may_ask ? cell.admit(picking.query.now, change) : Permit{};
        if (change.breaker) tell(&cell, change.breaker, picking.query.now);
        if (permit) return {.cell = line, .index = *index, .era = permit.era};
        // Having lost its last probe to another thread, it is hidden from picks; else it ramps.
        is_metered = is_metered || cell.load.available(picking.query.now);
        skipped.add(&cell.load);
        picking.query.tried = skipped.span();
    }
    return {};
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
    finish(
        attempt, {.outcome = outcome, .is_failure = is_failure, .is_overload = is_overload}, now
    );
}

std::optional<bool> ServicePolicies::judged(resilience::Outcome ended, int status) const noexcept {
    using resilience::Outcome;
    if (ended != Outcome::success && ended != Outcome::server_error) return std::nullopt;
    return policy()->failure_statuses.contains(status);
}

void ServicePolicies::confirm_attempt(HeldEndpoint& attempt, Instant now) {
    std::optional<Changes> changes;
    {
        const core::EpochGuard guard;
        const WorkerUse worker(workers_);
        changes = record(worker.get(), attempt, {}, now);
    }
    if (changes) act_on(*changes, attempt.line_.cell(), now);
    attempt.begun_ = kNever;
}

void ServicePolicies::finish(HeldEndpoint& attempt, Ended ended, Instant now) {
    // To the end: once it is counted as finished, whoever waits for all attempts to be over before
    // this object goes can tell by the epoch that this thread is on its way out.
    const core::EpochGuard guard;
    attempt.owner_ = nullptr;
    const CellLine cell = attempt.line_;
    std::optional<Changes> changes;
    {
        const WorkerUse worker(workers_);
        if (!attempt.is_confirmed()) [[likely]]
            changes = record(worker.get(), attempt, ended, now);
        worker->finished.add();
    }
    if (changes) [[unlikely]]
        act_on(*changes, cell.cell(), now);
    // Abandoned when it was confirmed already: nobody knows the time. The next one to finish, or
    // the next tick, gives the place to who waits.
    if (now != kNever) admission_.finished(now);
    // The last touch: an unlisted cell without calls in flight is freed.
    cell.load().in_flight.fetch_sub(1, std::memory_order_release);
}

inline std::optional<ServicePolicies::Changes> ServicePolicies::record(
    Worker& worker, const HeldEndpoint& held, Ended end, Instant now
) {
    using resilience::Outcome;
    using resilience::Verdict;
    const PolicySettings& settings = *settings_.load(std::memory_order_acquire);
    const Duration latency = now - held.begun_;
    Verdict verdict = resilience::verdict_of(end.outcome);
    if (end.is_failure && verdict != Verdict::nothing) {
        verdict = *end.is_failure ? Verdict::failure : Verdict::success;
    }
    if (end.outcome == Outcome::timeout && !end.is_failure && !had_time(settings.policy, latency)) {
        verdict = Verdict::nothing;
    }
    if (Hedging* const hedging = hedging_.get(); hedging != nullptr && !held.is_hedge())
        [[unlikely]]
        learn_delay(*hedging, end.outcome, latency);
    worker.outcomes[static_cast<std::size_t>(end.outcome)].add();
    if (end.is_overload || resilience::tells_overload(end.outcome)) worker.overloaded.add();
    if (end.outcome == Outcome::success && latency > Duration::zero()) {
        worker.success_ns.add(static_cast<std::uint64_t>(latency.count()));
    }
    const CellLine cell = held.line_;
    NotedSuccesses* const noted = cell.slot() == kNoSlot ? nullptr : &worker.noted[cell.slot()];
    const Permit permit{.admitted = true, .era = held.era_};
    const bool is_noted = verdict == Verdict::success &&
                          cell.note_success(permit, latency, settings.call, now, noted);
    if (is_noted && !breaker_.is_enabled()) [[likely]]
        return std::nullopt;
    return tell_breakers(
        worker, held, {.verdict = verdict, .latency = latency, .is_noted = is_noted}, now
    );
}

ServicePolicies::Changes ServicePolicies::tell_breakers(
    Worker& worker, const HeldEndpoint& held, Judged judged, Instant now
) {
    Cell& cell = held.line_.cell();
    NotedSuccesses* const noted = cell.slot() == kNoSlot ? nullptr : &worker.noted[cell.slot()];
    const Permit permit{.admitted = true, .era = held.era_};
    const CallPolicy& policy = settings_.load(std::memory_order_acquire)->call;
    Changes changes;
    if (!judged.is_noted) {
        changes.cell =
            cell.record_at_once(permit, judged.verdict, judged.latency, policy, now, noted);
    }
    breaker_.record(
        held.service_era_,
        judged.verdict,
        judged.latency,
        now,
        worker.service_noted,
        changes.service
    );
    return changes;
}

void ServicePolicies::act_on(const Changes& changes, Cell& cell, Instant now) {
    if (changes.cell.breaker) tell(&cell, changes.cell.breaker, now);
    if (changes.service) tell(nullptr, changes.service, now);
    if (changes.cell.suspect) eject_suspect(cell, now);
}

// Had an attempt that timed out as long as the policy gives, or as answers may well take? By
// Markov's inequality at most half of them take longer than twice the mean; breakers open at half.
bool ServicePolicies::had_time(const ServicePolicy& policy, Duration taken) const noexcept {
    const Duration limit = policy.retry.attempt_timeout;
    if (taken >= (limit > Duration::zero() ? std::min(limit, policy.deadline) : policy.deadline))
        return true;
    const Duration usual{usual_ns_.load(std::memory_order_relaxed)};
    return taken >= std::max(policy.patience_min, 2 * usual);
}

}  // namespace datapunk::mesh::policy
