#pragma once

// Processes: run a child to its end, with a deadline and bounded output. The child gets a process
// group of its own, and nothing of the group outlives it: at the deadline SIGTERM, after the grace
// SIGKILL; at its end what it left behind is killed; so is everything if the awaiting task is
// destroyed. Real: KernelProcesses (posix_spawn, pidfd); simulated: sim::SimProcesses.

#include <datapunk/mesh/result.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "io/loop.h"
#include "io/task.h"

namespace datapunk::mesh::io {

class EpollLoop;

struct ProcessSpec {
    std::vector<std::string> arguments;    // the program first; without a slash, found by PATH
    std::vector<std::string> environment;  // "NAME=value", added to ours or replacing it
    bool inherits_environment = true;      // false: `environment` is all there is
    // Kept of standard output and of standard error, each; the rest is read and dropped. What
    // Consul keeps of a check's output.
    std::size_t output_bytes_max = 4'096;
    Duration grace = std::chrono::seconds(2);  // between SIGTERM and SIGKILL
};

struct ProcessResult {
    int exit_status = 0;     // 0..255; meaningless if `signal` is set
    int signal = 0;          // that ended it, or 0
    bool timed_out = false;  // we ended it at the deadline
    bool is_cut = false;     // there was more output than kept
    std::string output;
    std::string errors;

    bool ok() const noexcept { return exit_status == 0 && signal == 0 && !timed_out; }

    friend bool operator==(const ProcessResult&, const ProcessResult&) = default;
};

class Processes {
  public:
    virtual ~Processes() = default;

    // An error only if the child could not be started.
    virtual Task<Result<ProcessResult>> run(ProcessSpec spec, Instant deadline) = 0;
};

class KernelProcesses final : public Processes {
  public:
    // Outlives the tasks that run() made.
    explicit KernelProcesses(EpollLoop& loop);
    ~KernelProcesses() override;

    Task<Result<ProcessResult>> run(ProcessSpec spec, Instant deadline) override;

  private:
    struct Remains;
    struct Child;

    EpollLoop& loop_;
    core::IntrusiveList<Remains> remains_;
};

}  // namespace datapunk::mesh::io
