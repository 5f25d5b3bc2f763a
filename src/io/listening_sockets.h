#pragma once

// ListeningSockets: the sockets that this process listens on, and those that it was given by the
// process before it. KernelNetwork::listen() takes a given one for its address before it opens one,
// so that no connection is refused while one process follows another (handover.h).
//
// Thread-safe; changed at start and stop only.

#include <mutex>
#include <vector>

#include "io/address.h"

namespace datapunk::mesh::io {

class ListeningSockets {
  public:
    struct Socket {
        SocketAddress at;
        int fd = -1;
    };

    ListeningSockets() = default;
    ListeningSockets(const ListeningSockets&) = delete;
    ListeningSockets& operator=(const ListeningSockets&) = delete;
    ~ListeningSockets();  // closes what was given and not taken

    // From the process before; the descriptor is ours from now on.
    void give(const SocketAddress& at, int fd);
    // One that was given for this address, or -1. The caller owns it.
    int take(const SocketAddress& at) noexcept;
    // Whether there is one (more) to take. Several workers have a socket each.
    bool is_given(const SocketAddress& at) const noexcept;
    // Those that nobody took: their addresses; they are closed.
    std::vector<SocketAddress> close_untaken();

    // What a listener opened or took, until it closes it.
    void opened(const SocketAddress& at, int fd);
    void closed(int fd) noexcept;
    // Copies of all that is open, for the process that follows. The caller closes them.
    std::vector<Socket> duplicates() const;

  private:
    mutable std::mutex mutex_;
    std::vector<Socket> given_;
    std::vector<Socket> open_;
};

}  // namespace datapunk::mesh::io
