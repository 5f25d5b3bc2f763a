#include "io/listening_sockets.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

namespace datapunk::mesh::io {

ListeningSockets::~ListeningSockets() {
    close_untaken();
}

void ListeningSockets::give(const SocketAddress& at, int fd) {
    const std::lock_guard lock(mutex_);
    given_.push_back({at, fd});
}

int ListeningSockets::take(const SocketAddress& at) noexcept {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(given_.begin(), given_.end(), [&](const Socket& socket) {
        return socket.at == at;
    });
    if (found == given_.end()) return -1;
    const int fd = found->fd;
    given_.erase(found);
    return fd;
}

bool ListeningSockets::is_given(const SocketAddress& at) const noexcept {
    const std::lock_guard lock(mutex_);
    return std::any_of(given_.begin(), given_.end(), [&](const Socket& socket) {
        return socket.at == at;
    });
}

std::vector<SocketAddress> ListeningSockets::close_untaken() {
    const std::lock_guard lock(mutex_);
    std::vector<SocketAddress> untaken;
    for (const Socket& socket : given_) {
        untaken.push_back(socket.at);
        ::close(socket.fd);
    }
    given_.clear();
    return untaken;
}

void ListeningSockets::opened(const SocketAddress& at, int fd) {
    const std::lock_guard lock(mutex_);
    open_.push_back({at, fd});
}

void ListeningSockets::closed(int fd) noexcept {
    const std::lock_guard lock(mutex_);
    std::erase_if(open_, [&](const Socket& socket) { return socket.fd == fd; });
}

std::vector<ListeningSockets::Socket> ListeningSockets::duplicates() const {
    const std::lock_guard lock(mutex_);
    std::vector<Socket> copies;
    for (const Socket& socket : open_) {
        const int fd = ::fcntl(socket.fd, F_DUPFD_CLOEXEC, 0);
        if (fd >= 0) copies.push_back({socket.at, fd});
    }
    return copies;
}

}  // namespace datapunk::mesh::io
