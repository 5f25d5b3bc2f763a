#pragma once

// open_udp: a DatagramSocket of the kernel, on an EpollLoop. See KernelNetwork::open_datagram.

#include "io/datagram.h"
#include "io/epoll_loop.h"

namespace datapunk::mesh::io {

Result<DatagramPtr> open_udp(
    EpollLoop& loop, const SocketAddress& at, const DatagramOptions& options
);

}  // namespace datapunk::mesh::io
