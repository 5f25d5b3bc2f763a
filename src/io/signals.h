#pragma once

// Signals: those that the program asked for, as values on its loop instead of interrupts.
//
//     auto signal = co_await signals.next(kNever);      // SIGTERM, SIGHUP, …
//
// A signal that comes twice before it is taken is one, as in the kernel. Real: KernelSignals
// (signalfd); simulated: sim::SimSignals. One loop's object; one task waits at a time.

#include <datapunk/mesh/result.h>

#include <memory>
#include <vector>

#include "io/loop.h"
#include "io/task.h"

namespace datapunk::mesh::io {

class EpollLoop;

class Signals {
  public:
    Signals(const Signals&) = delete;
    Signals& operator=(const Signals&) = delete;
    virtual ~Signals() = default;

    // The oldest signal not yet taken. Error: Code::timeout.
    Task<Result<int>> next(Instant deadline);

  protected:
    explicit Signals(Loop& loop) : came_(loop) {}

    void deliver(int signal);

  private:
    Event came_;
    std::vector<int> waiting_;
};

class KernelSignals final : public Signals {
  public:
    // Blocks the signals in this thread, to which they then come only by next(): create it before
    // any other thread starts, for threads inherit the mask. The destructor unblocks them.
    static Result<std::unique_ptr<KernelSignals>> create(
        EpollLoop& loop, const std::vector<int>& signals
    );
    ~KernelSignals() override;

  private:
    struct Source;

    KernelSignals(EpollLoop& loop, std::unique_ptr<Source> source);

    std::unique_ptr<Source> source_;
};

}  // namespace datapunk::mesh::io
