#pragma once

// ForeignFd: a descriptor that a library owns (ZooKeeper's client), watched on our loop. The
// library reads and writes; we only tell it when it can. One loop's object; one task waits at a
// time; to be destroyed before the library closes the descriptor.

#include <datapunk/mesh/result.h>

#include <memory>

#include "io/epoll_loop.h"
#include "io/loop.h"
#include "io/task.h"

namespace datapunk::mesh::io {

struct FdReady {
    bool readable = false;  // or ended, or broken
    bool writable = false;
};

class ForeignFd final : private FdHandler {
  public:
    static Result<std::unique_ptr<ForeignFd>> create(EpollLoop& loop, int fd);

    ForeignFd(const ForeignFd&) = delete;
    ForeignFd& operator=(const ForeignFd&) = delete;
    ~ForeignFd();

    int fd() const noexcept { return fd_; }

    // Until one of what is wanted is so, or the deadline has passed: then neither.
    Task<FdReady> ready(FdReady wanted, Instant deadline);
    // Ends such a wait with neither: what is wanted has changed.
    void interrupt() noexcept;

  private:
    ForeignFd(EpollLoop& loop, int fd);

    void on_events(std::uint32_t events) override;
    FdReady look(FdReady wanted) const noexcept;

    EpollLoop& loop_;
    int fd_;
    bool is_interrupted_ = false;
    Event happened_;
};

}  // namespace datapunk::mesh::io
