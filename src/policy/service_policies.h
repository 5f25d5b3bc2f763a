#pragma once

// ServicePolicies: one service's policies together. The library (many user threads) and the proxy
// (event loops) drive the same object, so that the same inputs give the same decisions in both.
//
//   begin_attempt   rates, bulkheads (once a call), limit, throttle, service breaker; the pick, its
//                   breaker: HeldEndpoint. The caller talks to it
//   finish_attempt  breakers, outlier ejection, latency average, counters
//   after_attempt   success, or: condition, idempotence, attempts, deadline, budget, wait
//   control thread: update(set) on every change of membership; tick() about once a second
//
// Who is left out of a pick: endpoints outside of the policy's subset; endpoints that the registry
// calls critical, but in panic (PanicConfig); ejected ones; those whose breaker is open or has all
// its probes out; those this call has tried, while another is left. Outlier ejection never takes
// the last usable one; a breaker may: then calls fail at once and say why.
//
// Threads: everything may be called from any thread. begin, finish and after take no lock that is
// shared between endpoints, copy no shared_ptr and allocate nothing (but on errors, events, and a
// thread's first call); they write the endpoint's cache line and the thread's own. Every
// HeldEndpoint must be gone before the ServicePolicies goes. Who knows that by totals() alone waits
// for one more epoch: the last one may be counted before its thread is out of finish_attempt().
//
// An endpoint keeps its cell (breaker, average, in flight) through updates for as long as its id,
// address, weight, tags and metadata stay; coming back while old calls are in flight it finds it
// again.

#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/policy.h>
#include <datapunk/mesh/result.h>

#include <atomic>
#include <bitset>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "balance/adaptive.h"
#include "core/epoch.h"
#include "health/trend.h"
#include "policy/admission.h"
#include "policy/call.h"
#include "policy/call_limits.h"
#include "policy/cell.h"
#include "policy/decision.h"
#include "policy/dependencies.h"
#include "policy/endpoint_table.h"
#include "policy/events.h"
#include "policy/hedging.h"
#include "policy/held_endpoint.h"
#include "policy/policy_settings.h"
#include "policy/service_breaker.h"
#include "policy/throttle.h"
#include "policy/usual_latency.h"
#include "policy/view.h"
#include "policy/worker.h"
#include "resilience/retry_budget.h"
#include "resilience/retry_policy.h"

namespace datapunk::mesh::policy {

class ServicePolicies {
  public:
    // `policy` has passed check().
    ServicePolicies(std::string name, const ServicePolicy& policy, std::uint64_t seed);
    ~ServicePolicies();
    ServicePolicies(const ServicePolicies&) = delete;
    ServicePolicies& operator=(const ServicePolicies&) = delete;

    // What the endpoint said of its own load, before the attempt is finished; forgotten unless
    // ReportedLoad balances.
    void report_load(const HeldEndpoint& attempt, const LoadReport& report, Instant now) noexcept;

    bool wants_load_reports() const noexcept {
        return std::holds_alternative<ReportedLoad>(policy()->balance);
    }

    // Another policy from now on, which has passed check(). Nothing is forgotten that the new one
    // has a use for: calls in flight and waiting, latency averages, breakers and their windows,
    // ejections, the budget's balance, what an adaptive limit has learned. What is switched off
    // ends at once; what is switched on begins afresh. False: it is the same one.
    bool set_policy(const ServicePolicy& policy, Instant now);

    // A new set of endpoints. O(n), a few tens of ns each, fewer if `step` leads from the last set.
    void update(const EndpointSetPtr& set, Instant now, const SetStep& step = {});
    void update(const EndpointSet& set, Instant now);  // copies it, if there is a subset
    // Outlier sweep when due, ends of ejections, weights and memory. About once a second.
    void tick(Instant now);

    // CallState::can_wait: the caller knows how to wait for a place (NoEndpoint::may_wait).
    std::variant<HeldEndpoint, NoEndpoint> begin_attempt(CallState& call, Instant now);
    // After how long to ask begin_hedge() whether to hedge the attempt that has begun; nothing: not
    // at all. `may_repeat`: the call is idempotent, its body at hand; `left`: the attempt's time.
    std::optional<Duration> hedge_after(const CallState& call, bool may_repeat, Duration left)
        const noexcept;
    std::variant<HeldEndpoint, HedgeReason> begin_hedge(
        CallState& call, const HeldEndpoint& first, Instant now
    );
    // Of one that was sent. The loser is finished as Outcome::cancelled.
    void count_hedge(HedgeEnd end) noexcept;
    // Its latency is now - attempt.begun(). `is_failure`: whether it speaks against the endpoint,
    // if that is known better than by the outcome; a cancelled attempt never does. `is_overload`:
    // the answer said that the service cannot take more (resilience::tells_overload).
    void finish_attempt(
        HeldEndpoint&& attempt,
        resilience::Outcome outcome,
        Instant now,
        std::optional<bool> is_failure = std::nullopt,
        bool is_overload = false
    );
    // Does an answer with this HTTP status speak against its endpoint? Nothing: the outcome says.
    std::optional<bool> judged(resilience::Outcome ended, int status) const noexcept;
    // As finish_attempt() with a success, but the endpoint stays held, and in flight: how a
    // connection ends that is made and may last says nothing more of it. begun() is forgotten.
    // finish_attempt() follows.
    void confirm_attempt(HeldEndpoint& attempt, Instant now);
    // Another attempt? If so the budget has paid; wait, then begin_attempt. `end` without its
    // attempt, previous wait and deadline, which are the call's.
    resilience::RetryDecision after_attempt(
        CallState& call, resilience::AttemptEnd end, Instant now
    );

    // Why this endpoint, and who was left out: explain.cpp.
    std::string explain(const HeldEndpoint& attempt, Instant now) const;
    // What the pick of this attempt went by; an empty one if that has been overwritten.
    Decision decision_of(const HeldEndpoint& attempt) const noexcept;
    std::string describe(const Decision& decision) const;
    // The last decisions of all threads about calls of this service, oldest first.
    std::vector<DecisionText> decisions() const;

    // Rates and bulkheads; for CallState::caller.
    InForce<CallLimits> call_limits() const noexcept { return InForce<CallLimits>(call_limits_); }

    // For PlaceWait: how a call that begin_attempt() told that it may wait does so.
    Admission& admission() noexcept { return admission_; }

    // An operator's word: the breaker of the service (`endpoint` empty) or of one of its endpoints
    // stays as it is told; `none` lets it begin afresh. An endpoint that goes and comes back is
    // still under it. Code::not_found, Code::exhausted (kForcedMax).
    Result<> force_breaker(BreakerForce how, std::string_view endpoint, Instant now);
    static constexpr std::size_t kForcedMax = 1000;  // endpoints; an operator's list, not a policy

    // The breakers of endpoints that have opened by themselves since the last time, and until when.
    std::vector<std::pair<std::string, Instant>> take_opened(Instant now);
    // Another process found this endpoint failing: here it is probed before it is trusted again.
    void distrust(std::string_view endpoint, Instant now);

    // What is shared with other processes, each with its kind: "retry", "rate", "window".
    std::vector<std::pair<std::string_view, resilience::Leased>> shared_slices() const;

    // How this service stands, and what follows from how others do: policy/dependencies.h.
    ServiceStanding standing(Instant now) const;
    void set_degraded(const Degradation& found, Instant now);
    // "payments: its circuit breaker is open"; empty = it is not.
    std::string degraded_because() const;
    // The error of a call that got `why`.
    Error to_error(const NoEndpoint& why, Instant now) const;

    std::vector<PolicyEvent> drain_events() { return events_.drain(); }

    ServiceView view(Instant now) const;
    ServiceTotals totals() const noexcept;

    const std::string& name() const noexcept { return name_; }

    // For a moment: policy_settings.h.
    PolicyInForce policy() const noexcept { return PolicyInForce(settings_); }

  private:
    using Table = EndpointTable;
    friend class HeldEndpoint;

    // Attempts: attempts.cpp.
    struct Picking;
    struct Chosen;
    struct Ended;
    struct Judged;
    struct Changes;
    std::variant<HeldEndpoint, NoEndpoint> try_begin(CallState& call, Instant now, bool is_hedge);
    std::uint32_t open_door(const Worker& worker, const CallState& call, Instant now) const;
    std::variant<std::uint32_t, NoEndpoint> ask(
        Worker& worker, CallState& call, Instant now, bool is_hedge
    );
    std::optional<NoEndpoint> admit(Worker& worker, CallState& call, Instant now);
    Chosen choose_again(Picking& picking, std::optional<std::uint32_t> index);
    bool is_overloaded(Instant now) const noexcept;
    void note_hedge(const CallState& call, HedgeReason reason, Duration waited, Instant now);
    void learn_delay(Hedging& hedging, resilience::Outcome outcome, Duration latency) noexcept;
    bool had_time(const ServicePolicy& policy, Duration taken) const noexcept;
    void learn_usual(Instant now) noexcept;
    void deposit(Worker& worker, Instant now) noexcept;
    // Counts it, and keeps it to be explained.
    NoEndpoint refuse(Worker& worker, CallState& call, const NoEndpoint& why, Instant now)
        const noexcept;
    NoEndpoint note_refusal(Worker& worker, CallState& call, const NoEndpoint& why, Instant now)
        const noexcept;
    struct Names;
    Names names() const;
    NoEndpoint explain(const Table* table) const noexcept;
    NoEndpoint refused_by_breaker(Instant now) const noexcept;
    void finish(HeldEndpoint& attempt, Ended ended, Instant now);
    std::optional<Changes> record(Worker& worker, const HeldEndpoint& held, Ended end, Instant now);
    Changes tell_breakers(Worker& worker, const HeldEndpoint& held, Judged judged, Instant now);
    void act_on(const Changes& changes, Cell& cell, Instant now);
    // `cell` null: the service's breaker.
    void tell(const Cell* cell, const resilience::BreakerTransition& change, Instant now);

    std::uint32_t noted_successes(const Cell& cell) const noexcept;

    std::string failing(Instant now) const;

    // Writer, under mutex_: policy_change.cpp.
    const ServicePolicy& rules() const noexcept { return settings_.load()->policy; }

    void change_breakers(const ServicePolicy& before, Instant now);
    void change_limits(const ServicePolicy& before, Instant now);
    void change_looks(const ServicePolicy& before, Instant now);
    void change_members(const ServicePolicy& before, Instant now);
    void publish_questions() noexcept;

    // Writer, under mutex_: endpoint_table.cpp and ejection.cpp.
    struct Listing;
    void list(const EndpointSet& set, Instant now);
    std::unique_ptr<Cell> cell_for(const ServiceEndpoint& endpoint, Instant now);
    void publish_table(std::vector<Cell*> unlisted, Instant now);
    // Writer, under mutex_: weighting.cpp.
    struct Weighting;
    Weighting weighting(Instant now);
    void weigh_by_measure(Weighting& weighting, Instant now);
    void weigh_by_forecast(Weighting& weighting);
    bool forecasts_have_changed() const;
    void weigh_slow_start(Weighting& weighting, Instant now);
    std::vector<balance::SpreadMember> spread_members(Instant now) const;
    std::uint64_t availability(Instant now) const noexcept;
    void refresh_weights(Instant now);
    bool judge_algorithm(Instant now);
    void tell_panic(const std::vector<balance::SpreadGroup>& groups, Instant now);
    void collect();
    ResultsCopy copy_results(bool starts_interval);
    void eject_suspect(const Cell& suspect, Instant now);
    void eject_suspects(Instant now);
    void sweep(Instant now);
    void observe(Instant now);
    void listen(std::size_t index, bool is_after_pause, Instant now);
    void apply(
        const resilience::Ejection& ejection, const resilience::OutlierStats& judged, Instant now
    );
    void tell_returns(Instant now);

    const std::string name_;
    const std::uint64_t seed_;

    // Read by every call, written by the writer: a line of its own.
    alignas(balance::kCacheLineBytes) std::atomic<const PolicySettings*> settings_;
    std::atomic<const Table*> table_{nullptr};
    std::atomic<CallLimits*> call_limits_;
    std::atomic<std::int64_t> usual_ns_{0};  // mean latency of the last answers; 0 = not known
    HedgingSwitch hedging_;
    std::atomic<bool> is_blocked_{false};  // by a dependency that fails, and fail_fast
    std::atomic<bool> must_ask_{false};    // is_blocked_, rates, callers' limits or the throttle

    WorkerTable workers_;
    ServiceBreaker breaker_;
    Admission admission_;
    Throttle throttle_;
    resilience::RetryBudget budget_;
    EventRing events_;
    // The writer's, under mutex_.
    mutable std::mutex mutex_;
    LoadPool loads_;                              // of the cells
    std::vector<std::unique_ptr<Cell>> cells_;    // sorted by endpoint id
    std::vector<std::unique_ptr<Cell>> leaving_;  // unlisted; calls may be in flight
    std::optional<Instant> next_sweep_;
    Instant last_look_ = kNever;             // at all endpoints; kNever = none yet
    health::Trend available_share_;          // share of the endpoints that calls can go to
    std::vector<std::string> dependencies_;  // that its endpoints declare, sorted
    std::string degraded_because_;
    std::map<std::string, BreakerForce, std::less<>> forced_;  // by endpoint id
    std::uint32_t outside_ = 0;  // of the policy's subset, in the last set
    std::uint64_t listed_ = 0;   // generation of the last set; 0 = unknown
    EndpointSetPtr last_set_;    // if there is a subset: who is outside may not stay there
    bool is_ramping_ = false;    // some endpoint is in slow start
    bool is_panic_ = false;
    std::vector<std::unique_ptr<CallLimits>> former_limits_;  // calls in flight hold places
    std::uint64_t availability_ = 0;  // who was available when the table was made
    balance::AdaptiveChooser chooser_;
    std::uint32_t samples_ = 0;  // of the cells' qualities
    Instant next_judgement_ = kNever;
    std::uint32_t last_number_ = 0;  // of cells made
    std::bitset<kNotedSlots> slots_taken_;
    core::RetiredList retired_;
    UsualLatency usual_;
};

}  // namespace datapunk::mesh::policy
