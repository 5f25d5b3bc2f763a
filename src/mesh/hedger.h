#pragma once

// Hedger: runs hedges, at their time, on threads of its own. A call that is hedged leaves a job and
// goes on; when its first attempt has ended it settles the job: one that has not begun is taken
// back, which is the usual case, one that runs is waited for.
//
//   schedule(when, work) ──► waiting ──time──► running ──► over
//                               └──── settle() ────┴────────┘
//
// Threads are started when they are needed and stay; at most kThreadsMax, so that a service that
// hangs does not cost a thread for each call: a job that finds none waits, and is mostly taken back
// before one is free. Any thread. A lock per hedged call, ~0.2 us.

#include <datapunk/mesh/time.h>

#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "core/function.h"
#include "io/thread_clock.h"

namespace datapunk::mesh::internal {

class Hedger {
  public:
    using Work = core::UniqueFunction<void()>;
    class Job;

    static constexpr std::size_t kThreadsMax = 32;

    // `clock` outlives it.
    explicit Hedger(io::ThreadClock& clock) noexcept : clock_(clock) {}

    ~Hedger();  // after stop(), or without a thread
    Hedger(const Hedger&) = delete;
    Hedger& operator=(const Hedger&) = delete;

    // `work` does not throw.
    [[nodiscard]] std::shared_ptr<Job> schedule(Instant when, Work work);
    // After this it runs no more. Not from within it.
    void settle(Job& job);

    // Everything is settled; ends the threads.
    void stop();

    std::size_t threads() const;

  private:
    void start_thread();
    void serve();
    std::shared_ptr<Job> take_due(Instant now);

    io::ThreadClock& clock_;
    mutable std::mutex mutex_;
    std::condition_variable changed_;  // a job has come, or is first now; stop()
    std::condition_variable over_;     // one has ended
    std::vector<std::shared_ptr<Job>> waiting_;
    std::vector<std::thread> threads_;
    std::size_t busy_ = 0;
    bool is_stopping_ = false;
};

}  // namespace datapunk::mesh::internal
