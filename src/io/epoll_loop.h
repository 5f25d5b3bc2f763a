#pragma once

// EpollLoop: the real loop. File descriptors are registered once, edge-triggered, for both
// directions; after that a turn costs one epoll_wait and one clock read, whatever happens in it.

#include <datapunk/mesh/result.h>

#include <array>
#include <cstdint>
#include <memory>

#include "io/loop.h"

struct epoll_event;

namespace datapunk::mesh::io {

// Owns one descriptor registered with the loop.
class FdHandler {
  public:
    virtual void on_events(std::uint32_t epoll_events) = 0;

  protected:
    ~FdHandler() = default;
};

class EpollLoop final : public Loop {
  public:
    // Fails only if the kernel gives no descriptors.
    static Result<std::unique_ptr<EpollLoop>> create();
    ~EpollLoop() override;

    WallTime wall_now() const override;

    // Edge-triggered, both directions. An errno, or 0.
    int add(int fd, FdHandler& handler) noexcept;
    // Forgets the handler, also in the batch being worked on. Call before closing the descriptor.
    void remove(int fd, FdHandler& handler) noexcept;

  private:
    EpollLoop(int epoll_fd, int wake_fd);

    void poll(Instant until) override;
    void wake() override;

    static constexpr std::size_t kBatch = 256;

    int epoll_fd_;
    int wake_fd_;
    std::unique_ptr<epoll_event[]> batch_;
    int batch_at_ = 0;
    int batch_count_ = 0;
};

// A real clock reading for seeding and for programs without a loop.
std::uint64_t random_seed();

}  // namespace datapunk::mesh::io
