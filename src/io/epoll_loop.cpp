#include "io/epoll_loop.h"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/assert.h"

namespace datapunk::mesh::io {

namespace {

Instant clock_now() {
    return std::chrono::time_point_cast<Duration>(std::chrono::steady_clock::now());
}

}  // namespace

std::uint64_t random_seed() {
    std::uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed) {
        seed = static_cast<std::uint64_t>(clock_now().time_since_epoch().count());
    }
    return seed;
}

Result<std::unique_ptr<EpollLoop>> EpollLoop::create() {
    const int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    const int wake_fd = epoll_fd < 0 ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    epoll_event wake{.events = EPOLLIN | EPOLLET, .data = {.ptr = nullptr}};
    if (wake_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, wake_fd, &wake) != 0) {
        const int error = errno;
        if (epoll_fd >= 0) ::close(epoll_fd);
        if (wake_fd >= 0) ::close(wake_fd);
        return Error{
            .code = Code::exhausted, .what = fmt::format("event loop: {}", std::strerror(error))
        };
    }
    return std::unique_ptr<EpollLoop>(new EpollLoop(epoll_fd, wake_fd));
}

EpollLoop::EpollLoop(int epoll_fd, int wake_fd)
    : Loop(clock_now(), random_seed()),
      epoll_fd_(epoll_fd),
      wake_fd_(wake_fd),
      batch_(new epoll_event[kBatch]) {}

EpollLoop::~EpollLoop() {
    ::close(wake_fd_);
    ::close(epoll_fd_);
}

WallTime EpollLoop::wall_now() const {
    return std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now());
}

int EpollLoop::add(int fd, FdHandler& handler) noexcept {
    epoll_event event{
        .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data = {.ptr = &handler}
    };
    return epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : errno;
}

void EpollLoop::remove(int fd, FdHandler& handler) noexcept {
    // Closing would do it too, unless the descriptor was inherited by a child process.
    epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, nullptr);
    for (int i = batch_at_; i < batch_count_; ++i) {
        if (batch_[static_cast<std::size_t>(i)].data.ptr == &handler)
            batch_[static_cast<std::size_t>(i)].events = 0;
    }
}

void EpollLoop::poll(Instant until) {
    int timeout_ms = -1;
    if (until != kNever) {
        const Duration wait = std::max(Duration::zero(), until - now_);
        // Up: waking a little early would only make an extra turn.
        timeout_ms = static_cast<int>(std::min<std::int64_t>(
            std::chrono::ceil<std::chrono::milliseconds>(wait).count(), 3'600'000
        ));
    }
    const int count = epoll_wait(epoll_fd_, batch_.get(), kBatch, timeout_ms);
    MESH_ASSERT(count >= 0 || errno == EINTR);
    now_ = clock_now();
    batch_count_ = std::max(count, 0);
    for (batch_at_ = 0; batch_at_ < batch_count_;) {
        const epoll_event event = batch_[static_cast<std::size_t>(batch_at_++)];
        if (event.events == 0) continue;
        if (event.data.ptr == nullptr) {
            std::uint64_t woken = 0;
            [[maybe_unused]] const ssize_t ignored = ::read(wake_fd_, &woken, sizeof woken);
        } else {
            static_cast<FdHandler*>(event.data.ptr)->on_events(event.events);
        }
    }
    batch_count_ = 0;
}

void EpollLoop::wake() {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t ignored = ::write(wake_fd_, &one, sizeof one);
}

}  // namespace datapunk::mesh::io
