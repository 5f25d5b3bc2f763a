#pragma once

// Admission: whether an attempt may begin, as far as the service's limits go, and the queue of
// those that wait for a place.
//
//   begin_attempt ─ within_limit ─┬─ yes ──────────────────────────────► attempt ── finish ─┐
//                                 └─ no ─ PlaceWait::join ─ wait ─ end ─► attempt           │
//                                              │      ▲                                     │
//                                         full: refused   └──────── grant() ◄───────────────┘
//
// Attempts are counted as worker.h says. A place that the queue gives counts as begun from that
// moment. Nobody overtakes those of its class. With classes (PriorityConfig) the lower ones may use
// a part of the limit only; the last places are for the higher ones. No class starves: without a
// queue every kShedPasses-th call of a class that would be shed passes while a place is free, and
// in the queue whoever has waited half the time there is goes by its age alone.
//
// With LimitsConfig::adaptive the limit follows an AdaptiveLimiter, which learns from the threads'
// counters: whoever ends an attempt after a window's end sums them up.
//
// Invariants: what threads begin at the same time exceeds the limit by at most half of the headroom
// there was (worker.h), and the places that the queue gives never exceed it; a place that is free
// and allowed is never left unused while a call waits, but for the tick that lets classes age.
//
// Threads: any. Far below the limit and with nobody waiting: two loads of a line that nobody
// writes.

#include <datapunk/mesh/limits.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>

#include "core/function.h"
#include "policy/call.h"
#include "policy/worker.h"
#include "resilience/adaptive_limit.h"
#include "resilience/pending_queue.h"

namespace datapunk::mesh::policy {

class PlaceWait;

class Admission {
  public:
    Admission(const LimitsConfig& config, WorkerTable& workers, std::uint64_t seed);
    Admission(const Admission&) = delete;
    Admission& operator=(const Admission&) = delete;

    // Other limits from now on. Who waits goes on waiting, also in a queue that is shorter now or
    // off; what an adaptive limit has learned stays while its algorithm does.
    void reconfigure(const LimitsConfig& config, Instant now);

    // Whether a place is free. The caller begins, and uses up worker.allowance, or does not.
    bool within_limit(Worker& worker, CallPriority priority, Instant now) noexcept {
        if (waiting_.load(std::memory_order_relaxed) > 0) {
            return is_above_those_that_wait(priority) && sum_up(worker, priority, now);
        }
        return has_allowance(worker, now) || sum_up(worker, priority, now);
    }

    // within_limit() for certain, without a sum of all workers or anything else that is written.
    bool has_allowance(const Worker& worker, Instant now) const noexcept {
        return waiting_.load(std::memory_order_relaxed) == 0 && worker.allowance > 0 &&
               now < worker.allowance_until;
    }

    // Why within_limit() said no.
    NoEndpoint refusal(CallPriority priority) const noexcept;

    // After an attempt has ended and is counted. Not while its Worker is in use.
    void finished(Instant now) noexcept {
        core::light_barrier();
        if (waiting_.load(std::memory_order_relaxed) > 0) grant(now);
        if (now >= window_ends_.load(std::memory_order_relaxed)) end_window(now);
    }

    // A place from PlaceWait that no attempt began with.
    void give_back(Instant now) noexcept;

    // Gives free places to those that wait. Also now and then, since waiting calls age.
    void grant(Instant now) noexcept;

    // Everybody stops waiting, and nobody begins to.
    void close() noexcept;

    std::uint32_t limit() const noexcept { return limit_.load(std::memory_order_relaxed); }

    std::uint32_t waiting() const noexcept { return waiting_.load(std::memory_order_relaxed); }

  private:
    friend class PlaceWait;

    bool is_above_those_that_wait(CallPriority priority) const noexcept {
        return has_classes_.load(std::memory_order_relaxed) &&
               priority < highest_waiting_.load(std::memory_order_relaxed);
    }

    bool sum_up(Worker& worker, CallPriority priority, Instant now) noexcept;
    void grant_locked(Instant now) noexcept;
    void configure_queue(const LimitsConfig& config) noexcept;
    void configure_limit(const LimitsConfig& config);
    void end_window(Instant now) noexcept;
    void publish_queue() noexcept;
    CallPriority class_of(const CallState& call) const noexcept;

    WorkerTable& workers_;
    const std::uint64_t seed_;

    // Read by every call, written rarely.
    alignas(balance::kCacheLineBytes) std::atomic<std::uint32_t> waiting_{0};
    std::atomic<CallPriority> highest_waiting_{CallPriority::bulk};
    std::atomic<std::uint32_t> limit_;
    std::atomic<bool> has_classes_;
    std::atomic<bool> has_queue_;
    std::atomic<Instant> window_ends_{kNever};

    alignas(balance::kCacheLineBytes) std::mutex mutex_;
    Duration pending_timeout_;
    resilience::PendingQueue queue_;
    bool is_closed_ = false;
    std::optional<resilience::AdaptiveLimiter> limiter_;
    struct Counted {
        std::uint64_t answers = 0;
        std::uint64_t answers_ns = 0;
        std::uint64_t dropped = 0;
    } counted_;  // until the window that is open began, which was
    Instant window_began_ = kNever;
    mutable std::atomic<bool> was_limited_{false};  // in that window
};

// One call's wait for a place, on its caller's stack or in its frame. Leaves the queue when it
// dies, and gives back a place that was not fetched with end().
class PlaceWait : private resilience::PendingCall {
  public:
    // `wake` is called at most once, from any thread and under a lock: it may only pass the word
    // on.
    PlaceWait(Admission& admission, core::UniqueFunction<void()> wake);
    ~PlaceWait();
    PlaceWait(const PlaceWait&) = delete;
    PlaceWait& operator=(const PlaceWait&) = delete;

    // Begins to wait, once. Not at all if the queue is full: then why.
    std::optional<NoEndpoint> join(const CallState& call, Instant now);

    // The wait is over by then.
    Instant latest() const noexcept { return until; }

    // Whether `wake` has been called: end() then says with what.
    bool is_over() const noexcept {
        return state_.load(std::memory_order_acquire) > State::waiting;
    }

    // Nothing: the call has a place now, for the begin_attempt that must follow at once. Else why
    // not.
    std::optional<NoEndpoint> end(CallState& call, Instant now);

  private:
    friend class Admission;

    enum class State : std::uint8_t { out, waiting, granted, expired, evicted, closed };

    void tell(State state) noexcept;

    Admission& admission_;
    core::UniqueFunction<void()> wake_;
    std::atomic<State> state_{State::out};
};

}  // namespace datapunk::mesh::policy
