#include "io/foreign_fd.h"

#include <fmt/format.h>
#include <poll.h>

#include <cstring>
#include <utility>

namespace datapunk::mesh::io {

Result<std::unique_ptr<ForeignFd>> ForeignFd::create(EpollLoop& loop, int fd) {
    std::unique_ptr<ForeignFd> made(new ForeignFd(loop, fd));
    if (const int error = loop.add(fd, *made); error != 0) {
        made->fd_ = -1;
        return Error{
            .code = Code::exhausted,
            .what = fmt::format("cannot watch descriptor {}: {}", fd, std::strerror(error))
        };
    }
    return made;
}

ForeignFd::ForeignFd(EpollLoop& loop, int fd) : loop_(loop), fd_(fd), happened_(loop) {}

ForeignFd::~ForeignFd() {
    if (fd_ >= 0) loop_.remove(fd_, *this);
}

void ForeignFd::on_events(std::uint32_t /*events*/) {
    happened_.set();
}

FdReady ForeignFd::look(FdReady wanted) const noexcept {
    pollfd one{};
    one.fd = fd_;
    if (wanted.readable) one.events |= POLLIN;
    if (wanted.writable) one.events |= POLLOUT;
    if (::poll(&one, 1, 0) <= 0) return {};
    const bool is_over = (one.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0;
    return {
        .readable = wanted.readable && (is_over || (one.revents & POLLIN) != 0),
        .writable = wanted.writable && (is_over || (one.revents & POLLOUT) != 0)
    };
}

// The loop tells of edges only, and the library may leave something unread: so we look, and wait
// for the next edge only when there is nothing.
Task<FdReady> ForeignFd::ready(FdReady wanted, Instant deadline) {
    is_interrupted_ = false;
    for (;;) {
        happened_.clear();
        const FdReady now = look(wanted);
        if (now.readable || now.writable) co_return now;
        const bool came = co_await happened_.wait(deadline);
        if (!came || std::exchange(is_interrupted_, false)) co_return FdReady{};
    }
}

void ForeignFd::interrupt() noexcept {
    is_interrupted_ = true;
    happened_.set();
}

}  // namespace datapunk::mesh::io
