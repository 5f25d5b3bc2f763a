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
// Threads: the fields are written by the owning thread only (plain load + store, no locked
// instruction) and read by any. core::thread_index() says who owns which; threads beyond its
// maximum share the last worker under a lock.

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "balance/candidate.h"
#include "core/epoch.h"
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

struct Worker {
    explicit Worker(std::uint64_t seed) noexcept : pick(seed) {}

    alignas(balance::kCacheLineBytes) balance::PickState pick;
    std::uint32_t deposits = 0;   // first attempts the retry budget has not been told of yet
    std::uint64_t allowance = 0;  // attempts to begin before the next sum, until:
    Instant allowance_until = Instant::min();
    OwnedCounter calls;            // first attempts
    OwnedCounter begun;            // attempts
    OwnedCounter finished;         // attempts; by the thread that finished, not the one that began
    OwnedCounter retries_refused;  // by the budget
    OwnedCounter limited;          // attempts refused by the concurrency limit
    OwnedCounter no_endpoint;      // attempts that found nobody to ask
    OwnedCounter abandoned;        // attempts dropped without a report
    std::array<OwnedCounter, kOutcomes> outcomes;
    std::array<OwnedCounter, kOutcomes> retries;  // allowed, by the outcome that was retried
    SpinLock shared_lock;                         // taken only if several threads share this worker
};

// The workers of one service, made when a thread first needs one. 136 bytes until then.
class WorkerTable {
  public:
    explicit WorkerTable(std::uint64_t seed) noexcept : seed_(seed) {}

    ~WorkerTable();
    WorkerTable(const WorkerTable&) = delete;
    WorkerTable& operator=(const WorkerTable&) = delete;

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
