#pragma once

// Worker: what one thread carries along for one service, so that calls share no written line: luck
// and cursor for picking, counters, its part of the concurrency limit.
//
// The concurrency limit without a shared counter: a worker counts what it began and what it
// finished. Summing all workers gives the calls in flight; after a sum a worker may begin
// headroom / (2 x workers) more within a millisecond before it sums again. Busy and far from the
// limit that is one sum per many calls; at the limit every call sums. What threads begin in the
// same millisecond may exceed the limit by at most half of the headroom there was.
//
// Successes without a lock: while an endpoint's record is clean (no failure anybody remembers), its
// successes change nothing but counts. A worker keeps up to kNotedMax of them to itself
// (NotedSuccesses), so that threads that call the same few endpoints do not pass the endpoints'
// records to and fro. With the first failure the record is dirty: everybody then hands in what it
// has noted and records one by one until it is clean again. Breaker and ejection so may miss at
// that moment up to kNotedMax - 1 successes of each other thread, all older than the failure.
//
// Threads: the fields are written by the owning thread only (plain load + store, no locked
// instruction) and read by any. core::thread_index() says who owns which; threads beyond its
// maximum share the last worker under a lock.

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "balance/candidate.h"
#include "core/epoch.h"
#include "policy/call.h"
#include "policy/decision.h"
#include "policy/hedging.h"
#include "policy/spin_lock.h"
#include "resilience/retry_policy.h"

namespace datapunk::mesh::policy {

// Written by one thread, read by any.
class OwnedCounter {
  public:
    void add(std::uint64_t n = 1) noexcept {
        value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    }

    std::uint64_t load() const noexcept { return value_.load(std::memory_order_relaxed); }

  private:
    std::atomic<std::uint64_t> value_{0};
};

// How long a sum of all workers is believed.
inline constexpr Duration kSumAgeMax = std::chrono::milliseconds(1);

// So many resilience::Outcomes.
inline constexpr std::size_t kOutcomes = 7;
static_assert(static_cast<std::size_t>(resilience::Outcome::cancelled) + 1 == kOutcomes);

// Endpoints with a slot have their successes noted by each thread; a service of more than so many
// has threads that hardly ever meet at one of them, and they are noted there (cell.h).
inline constexpr std::uint32_t kNotedSlots = 32;
inline constexpr std::uint32_t kNoSlot = kNotedSlots;
inline constexpr std::uint32_t kNotedMax = 16;

// Successes at one endpoint that its record has not been told of. Readable by any thread.
class NotedSuccesses {
  public:
    // For one more, without handing in those there are?
    bool has_room(std::uint32_t cell, std::uint32_t era) const noexcept {
        const std::uint32_t count = of(cell);
        return count == 0 || (era_ == era && count + 1 < kNotedMax);
    }

    // Those of an endpoint that had the slot before are forgotten: it is gone.
    void add(std::uint32_t cell, std::uint32_t era, Instant now) noexcept {
        store(cell, of(cell) + 1);
        era_ = era;
        last_ = now;
    }

    std::uint32_t of(std::uint32_t cell) const noexcept {
        const std::uint64_t word = word_.load(std::memory_order_relaxed);
        return static_cast<std::uint32_t>(word >> 32U) == cell ? static_cast<std::uint32_t>(word)
                                                               : 0;
    }

    // Of the breaker's era in which they were noted.
    std::uint32_t era() const noexcept { return era_; }

    // When the last of them was noted. Handed in, all count as of then.
    Instant last() const noexcept { return last_; }

    void clear(std::uint32_t cell) noexcept { store(cell, 0); }

  private:
    void store(std::uint32_t cell, std::uint32_t count) noexcept {
        word_.store(std::uint64_t{cell} << 32U | count, std::memory_order_relaxed);
    }

    std::atomic<std::uint64_t> word_{0};  // the cell's number, the count
    std::uint32_t era_ = 0;
    Instant last_{};
};

struct Worker {
    Worker(std::uint64_t seed, std::uint32_t its_index) noexcept : index(its_index), pick(seed) {}

    void count_refusal(NoEndpoint::Reason why) noexcept {
        refused[static_cast<std::size_t>(why)].add();
    }

    // The first lines: what every call touches.
    alignas(balance::kCacheLineBytes) const std::uint32_t index;  // core::thread_index()
    std::uint32_t deposits = 0;   // first attempts the retry budget has not been told of yet
    std::uint64_t allowance = 0;  // attempts to begin before the next sum, until:
    Instant allowance_until = Instant::min();
    OwnedCounter calls;       // first attempts
    OwnedCounter begun;       // attempts
    OwnedCounter finished;    // attempts; by the thread that finished, not the one that began
    OwnedCounter success_ns;  // latencies of the successes, summed up
    std::array<OwnedCounter, kOutcomes> outcomes;
    balance::PickState pick;
    DecisionRing decisions;                         // the last ones, to be explained
    std::array<NotedSuccesses, kNotedSlots> noted;  // by Cell::slot()
    NotedSuccesses service_noted;                   // for the service's breaker

    std::uint32_t shed = 0;   // attempts that their class kept out, or let through as an exception
    OwnedCounter overloaded;  // attempts whose end says that the service cannot take more
    OwnedCounter retries_refused;  // by the budget
    OwnedCounter unused;           // of `begun` and `finished`: places that no attempt began with
    std::array<OwnedCounter, kReasons> refused;   // attempts, by NoEndpoint::Reason
    OwnedCounter abandoned;                       // attempts dropped without a report
    OwnedCounter other_zone;                      // attempts outside of the own zone
    OwnedCounter later_priority;                  // attempts at endpoints of a later priority
    std::array<OwnedCounter, kOutcomes> retries;  // allowed, by the outcome that was retried
    std::array<OwnedCounter, kHedgeEnds> hedges;
    SpinLock shared_lock;  // taken only if several threads share this worker
};

// Workers are whole lines, which no other object shares.
static_assert(alignof(Worker) == balance::kCacheLineBytes);
static_assert(sizeof(Worker) % balance::kCacheLineBytes == 0);

// The workers of one service, made when a thread first needs one. 136 bytes until then.
class WorkerTable {
  public:
    explicit WorkerTable(std::uint64_t seed) noexcept : seed_(seed) {}

    ~WorkerTable();
    WorkerTable(const WorkerTable&) = delete;
    WorkerTable& operator=(const WorkerTable&) = delete;

    // Nothing if that thread has never called.
    const Worker* find(std::uint32_t index) const noexcept {
        const Block* block = blocks_[index / kBlock].load(std::memory_order_acquire);
        return block == nullptr ? nullptr
                                : (*block)[index % kBlock].load(std::memory_order_acquire);
    }

    Worker& at(std::uint32_t index) {
        const Block* block = blocks_[index / kBlock].load(std::memory_order_acquire);
        if (block != nullptr) {
            Worker* worker = (*block)[index % kBlock].load(std::memory_order_acquire);
            if (worker != nullptr) return *worker;
        }
        return make(index);
    }

    template <class Visit>
    void for_each(const Visit& visit) const {
        for (const auto& slot : blocks_) {
            const Block* block = slot.load(std::memory_order_acquire);
            if (block == nullptr) continue;
            for (const auto& entry : *block) {
                const Worker* worker = entry.load(std::memory_order_acquire);
                if (worker != nullptr) visit(*worker);
            }
        }
    }

    std::uint64_t in_flight() const noexcept;
    std::uint32_t size() const noexcept { return size_.load(std::memory_order_relaxed); }

  private:
    static constexpr std::uint32_t kBlock = 32;
    using Block = std::array<std::atomic<Worker*>, kBlock>;

    Worker& make(std::uint32_t index);

    std::uint64_t seed_;
    std::array<std::atomic<Block*>, core::kThreadsMax / kBlock + 1> blocks_{};
    std::atomic<std::uint32_t> size_{0};
};

// The calling thread's worker, for one short section. Never held across a wait.
class WorkerUse {
  public:
    explicit WorkerUse(WorkerTable& table) : WorkerUse(table, core::thread_index()) {}

    ~WorkerUse() {
        if (is_shared_) worker_.shared_lock.unlock();
    }

    WorkerUse(const WorkerUse&) = delete;
    WorkerUse& operator=(const WorkerUse&) = delete;

    Worker* operator->() const noexcept { return &worker_; }

    Worker& get() const noexcept { return worker_; }

  private:
    WorkerUse(WorkerTable& table, std::uint32_t index)
        : worker_(table.at(index)), is_shared_(index == core::kThreadsMax) {
        if (is_shared_) worker_.shared_lock.lock();
    }

    Worker& worker_;
    bool is_shared_;
};

}  // namespace datapunk::mesh::policy
