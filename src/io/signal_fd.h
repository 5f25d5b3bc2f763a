#pragma once

// Signals as bytes of a descriptor (signalfd), and blocked ones. What signals.h and programs
// without a loop of ours are made of. Any thread; the mask is the calling thread's.

#include <datapunk/mesh/result.h>
#include <datapunk/mesh/time.h>

#include <csignal>
#include <optional>
#include <vector>

namespace datapunk::mesh::io {

// A descriptor that is readable when one of them has come; they must be blocked for it.
Result<int> open_signal_fd(const std::vector<int>& signals);
// The next signal that has come, if any.
std::optional<int> read_signal(int fd) noexcept;
// Whether it becomes readable within the time.
bool wait_readable(int fd, Duration at_most) noexcept;

// Blocks them in this thread; those that were not blocked before.
std::vector<int> block_signals(const std::vector<int>& signals);
void unblock_signals(const std::vector<int>& signals) noexcept;

// All signals are blocked in this thread, and so in threads that it starts, while this lives: a
// library's threads must not run its program's handlers.
class AllSignalsBlocked {
  public:
    AllSignalsBlocked();
    AllSignalsBlocked(const AllSignalsBlocked&) = delete;
    AllSignalsBlocked& operator=(const AllSignalsBlocked&) = delete;
    ~AllSignalsBlocked();

  private:
    sigset_t before_;
};

}  // namespace datapunk::mesh::io
