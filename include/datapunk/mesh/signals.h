#pragma once

// StopSignals: SIGTERM and SIGINT as something that main() waits for, so that a program ends by
// leaving its blocks: registrations drain and are withdrawn by destructors, on ordinary threads.
//
//     auto signals = StopSignals::create();          // first of all, before any thread
//     auto mesh = ServiceMesh::create({…});
//     auto me = mesh->register_service({…});
//     signals->wait();                               // until somebody wants us to end
//     // `me`, then `mesh` go: critical, wait drain_delay, deregistered
//
// The signals are blocked and read from a descriptor (signalfd): no handler runs, so nothing is
// limited to what is safe in one. A mesh neither installs handlers nor takes signals itself: its
// threads block them all.

#include <datapunk/mesh/export.h>
#include <datapunk/mesh/result.h>
#include <datapunk/mesh/time.h>

#include <utility>
#include <vector>

namespace datapunk::mesh {

class DATAPUNK_MESH_API StopSignals {
  public:
    // Blocks the signals (none given: SIGTERM and SIGINT) in this thread and those that it starts
    // from now on. A thread that exists already and does not block them would still be ended by
    // them.
    static Result<StopSignals> create(std::vector<int> signals = {});

    StopSignals(StopSignals&& other) noexcept;
    StopSignals& operator=(StopSignals&& other) noexcept;
    ~StopSignals();  // unblocks, in the thread that it runs on, what create() blocked

    // The number of the next one. Code::timeout after `at_most`. Any thread, one at a time.
    Result<int> wait(Duration at_most = Duration::max());

    // Readable when one has come: for a program with a loop of its own, which then calls wait(0).
    int fd() const noexcept { return fd_; }

  private:
    StopSignals(int fd, std::vector<int> blocked) noexcept
        : fd_(fd), blocked_(std::move(blocked)) {}
    void close() noexcept;

    int fd_ = -1;
    std::vector<int> blocked_;  // by us, not by somebody before us
};

}  // namespace datapunk::mesh
