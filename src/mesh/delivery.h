#pragma once

// Delivery: the threads on which a mesh calls its user's functions, so that one that takes its time
// holds up neither the mesh nor the others.
//
//   control loop ── post ──► queue ──► threads, started as they are needed, kThreadsMax at most
//
// Work begins in the order in which it was posted; with more than one thread it may end in another.
// With kThreadsMax functions that do not return, the rest waits: what is posted is bounded by who
// posts (one entry a watch, one a request). Threads: any.

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "core/function.h"
#include "core/log.h"
#include "io/thread_clock.h"
#include "metrics/metric_registry.h"

namespace datapunk::mesh::internal {

class Delivery {
  public:
    using Work = core::UniqueFunction<void()>;

    // Functions of a program that hang for good should be fewer; threads that only wait cost
    // little.
    static constexpr std::size_t kThreadsMax = 8;

    Delivery(metrics::MetricRegistry& metrics, core::Logger log);
    ~Delivery();  // what still runs is left to itself
    Delivery(const Delivery&) = delete;
    Delivery& operator=(const Delivery&) = delete;

    // An exception is counted and logged. After stop(): runs at once, in the caller's thread.
    void post(Work work);

    // Runs what was posted before. False if it has not all ended by the deadline: what has not
    // begun never will.
    bool stop(io::ThreadClock& clock, Instant deadline);

    // Whether this is one of its threads.
    bool is_own_thread() const;

    std::size_t threads() const;

  private:
    struct State;

    void start_thread();

    std::shared_ptr<State> state_;  // outlives this where a thread hangs
};

}  // namespace datapunk::mesh::internal
