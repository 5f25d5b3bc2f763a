#pragma once

// Cell: all that is remembered about one endpoint while it is registered, shared by every thread.
//
//   line     balance::EndpointLoad, with those of the service's other cells (load_pool.h): what
//            picking reads, and all that a call of an endpoint that is well touches of it.
//            owner_word holds the breaker's era while it is closed (the permit of every call,
//            without asking), 0 when the breaker must be asked; and whether the record is clean:
//            see worker.h. owner_count: successes on a clean record that it has not been told of,
//            where threads do not note them (no slot). owner_number: of this service's cells,
//            0 = none. owner_slot: into Worker::noted. CellLine says all this in C++
//   then     the record: breaker, ejection, counts; under `lock`, which an attempt's end takes
//            unless it is one more success on a clean record
//   last     the endpoint itself, immutable
//
// unavailable_until = max(breaker's next probe, end of the ejection), written under `lock`.

#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/policy.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "balance/measured_weights.h"
#include "balance/peak_ewma.h"
#include "policy/load_pool.h"
#include "policy/spin_lock.h"
#include "policy/worker.h"
#include "resilience/circuit_breaker.h"
#include "resilience/outlier_ejection.h"
#include "resilience/retry_policy.h"

namespace datapunk::mesh::policy {

using Permit = resilience::CircuitBreaker::Permit;

// What recording one result changed; both are rare.
struct CellChange {
    resilience::BreakerTransition breaker;
    bool suspect = false;  // enough failures in a row to be ejected
};

// What recording a result goes by.
struct CallPolicy {
    OutlierConfig outlier{};
    PeakEwma averaging{};  // the balancer's, or the default: latencies are always kept
    Duration slow_call = Duration::max();  // an answer that takes so long is slow
};

struct Observed;
struct Cell;

// A cell's line, as calls use it: a pointer to it. What it does not say, the cell does.
class CellLine {
  public:
    CellLine() noexcept = default;

    explicit CellLine(balance::EndpointLoad& load) noexcept : load_(&load) {}

    balance::EndpointLoad& load() const noexcept { return *load_; }

    inline Cell& cell() const noexcept;

    std::uint32_t number() const noexcept { return load_->owner_number; }

    std::uint32_t slot() const noexcept { return load_->owner_slot; }

    // The era of the permit that any attempt gets while the breaker is closed; 0 = Cell::admit().
    std::uint32_t open_door() const noexcept {
        return load_->owner_word.load(std::memory_order_relaxed) & ~kClean;
    }

    // One more success on a clean record, the usual case. False: it is not, and nothing has
    // happened; Cell::record_at_once() then. `noted`: the calling thread's, if the cell has a slot.
    bool note_success(
        Permit permit,
        Duration latency,
        const CallPolicy& policy,
        Instant now,
        NotedSuccesses* noted
    ) const noexcept {
        if (latency >= policy.slow_call ||
            load_->owner_word.load(std::memory_order_relaxed) != (permit.era | kClean) ||
            !note(permit, now, noted)) {
            return false;
        }
        // Two threads at once may lose one of two samples; an average bears that.
        balance::record_answer(*load_, policy.averaging, latency, false, now);
        return true;
    }

    friend bool operator==(CellLine, CellLine) noexcept = default;

  private:
    friend struct Cell;

    static constexpr std::uint32_t kClean = 1U << 31U;

    // False: the record is to be told first.
    bool note(Permit permit, Instant now, NotedSuccesses* noted) const noexcept {
        if (noted == nullptr) {
            // Threads at once may pass the limit by one each.
            if (load_->owner_count.load(std::memory_order_relaxed) + 1 >= kNotedMax) return false;
            load_->owner_count.fetch_add(1, std::memory_order_relaxed);
            return true;
        }
        if (!noted->has_room(number(), permit.era)) return false;
        noted->add(number(), permit.era, now);
        return true;
    }

    balance::EndpointLoad* load_ = nullptr;
};

struct Cell : balance::LoadOwner {
    Cell(
        LoadPool& pool,
        ServiceEndpoint the_endpoint,
        const CircuitBreakerConfig& config,
        Instant now
    );
    ~Cell();
    Cell(const Cell&) = delete;
    Cell& operator=(const Cell&) = delete;

    CellLine line() const noexcept { return CellLine(load); }

    std::uint32_t number() const noexcept { return load.owner_number; }

    std::uint32_t slot() const noexcept { return load.owner_slot; }

    // Before anybody picks from a table that has it.
    void enlist(std::uint32_t number, std::uint32_t slot) noexcept {
        load.owner_number = number;
        load.owner_slot = slot;
    }

    // May an attempt go there? Without a lock while the breaker is closed.
    Permit admit(Instant now, CellChange& change) noexcept {
        const std::uint32_t era = line().open_door();
        if (era != 0) return {.admitted = true, .era = era};
        return ask_breaker(now, change);
    }

    // `noted`: the calling thread's, if the cell has a slot, and then always.
    CellChange record(
        Permit permit,
        resilience::Verdict verdict,
        Duration latency,
        const CallPolicy& policy,
        Instant now,
        NotedSuccesses* noted
    ) noexcept {
        if (verdict == resilience::Verdict::success &&
            line().note_success(permit, latency, policy, now, noted)) {
            return {};
        }
        return record_at_once(permit, verdict, latency, policy, now, noted);
    }

    // Noting nothing, and handing in what was noted.
    CellChange record_at_once(
        Permit permit,
        resilience::Verdict verdict,
        Duration latency,
        const CallPolicy& policy,
        Instant now,
        NotedSuccesses* noted
    ) noexcept;

    // As CircuitBreaker::reconfigure().
    void reconfigure(const CircuitBreakerConfig& config, Instant now, CellChange& change);
    // Its ejection, if there is one, is over.
    void readmit(Instant now) noexcept;
    // Others found it failing.
    void distrust(Instant now, CellChange& change) noexcept;
    // An operator's word.
    void force(BreakerForce how, Instant now, CellChange& change) noexcept;
    void report_load(const LoadReport& report, Instant now) noexcept;

    // Takes over what outlier ejection decided on a copy of `results`.
    void eject(const resilience::OutlierStats& judged, Instant now) noexcept;

    balance::EndpointLoad& load;

    alignas(balance::kCacheLineBytes) mutable SpinLock lock;
    resilience::CircuitBreaker breaker;
    resilience::OutlierStats results;
    std::uint32_t noted_before = 0;  // noted successes that the last interval has counted already
    std::uint64_t successes = 0;     // without those that are noted
    std::uint64_t failures = 0;

    balance::LoadHistory reported;  // under `lock`

    const ServiceEndpoint endpoint;  // health and last_check as when first seen
    const std::string address;
    const std::uint64_t key;      // core::hash64 of the endpoint's id
    const bool has_dependencies;  // and declares them

    // The writer's (ServicePolicies::update).
    Health health = Health::passing;
    std::uint32_t retirements = 0;  // tables that listed it and may still be read
    bool is_listed = true;
    Instant fresh_since = kNever;  // slow start began; kNever = it is not in it
    // For Adaptive, over its interval: sums of samples, and what was counted when it began.
    double sampled_in_flight = 0;
    double sampled_latency_ns = 0;
    std::uint64_t calls_before = 0;
    std::uint64_t failures_before = 0;
    Instant opened_until = Instant::min();  // what take_opened() has told last
    std::unique_ptr<Observed> observed;     // since the first tick
    std::string ejected_for;                // of the last ejection; empty = its end has been told

  private:
    static constexpr std::uint32_t kClean = CellLine::kClean;

    Permit ask_breaker(Instant now, CellChange& change) noexcept;
    void hand_in(NotedSuccesses* noted, Instant now) noexcept;
    void hand_in(std::uint32_t count, std::uint32_t era, Instant last, Instant now) noexcept;
    bool is_clean(Instant now) noexcept;
    void publish(Instant now) noexcept;

    LoadPool& pool_;
};

inline Cell& CellLine::cell() const noexcept {
    return static_cast<Cell&>(*load_->owner);
}

}  // namespace datapunk::mesh::policy
