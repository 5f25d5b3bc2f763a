#pragma once

// ThreadClock: time for threads that have no loop: the library's callers. An interface, so that a
// test can make it stand still.

#include <datapunk/mesh/time.h>

#include <condition_variable>
#include <memory>
#include <mutex>

namespace datapunk::mesh::io {

class ThreadClock {
  public:
    virtual ~ThreadClock() = default;

    // Comparable with Loop::now() of an EpollLoop. ~25 ns.
    virtual Instant now() const = 0;
    // Waits until `changed` is notified or `until` has come; may also return early.
    virtual void wait(
        std::unique_lock<std::mutex>& lock, std::condition_variable& changed, Instant until
    ) = 0;
};

// The machine's.
std::unique_ptr<ThreadClock> make_thread_clock();

// Of the calling process; changes in a child made by fork().
int process_id() noexcept;

}  // namespace datapunk::mesh::io
