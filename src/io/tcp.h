#pragma once

// KernelNetwork: TCP and UDP through the kernel, on an EpollLoop. Names are resolved by the
// system's resolver (getaddrinfo honours /etc/hosts and nsswitch) on one helper thread.

#include <memory>

#include "io/epoll_loop.h"
#include "io/network.h"

namespace datapunk::mesh::io {

class ListeningSockets;
class ResolverThread;

class KernelNetwork final : public Network {
  public:
    // `sockets`, if given, knows what is listened on here, and what was taken over; it outlives
    // the listeners.
    explicit KernelNetwork(EpollLoop& loop, ListeningSockets* sockets = nullptr);
    ~KernelNetwork() override;

    Task<Result<StreamPtr>> connect(SocketAddress to, Instant deadline) override;
    Result<std::unique_ptr<Listener>> listen(const SocketAddress& at, const ListenOptions& options)
        override;
    Result<DatagramPtr> open_datagram(const SocketAddress& at, const DatagramOptions& options)
        override;
    Task<Result<std::vector<SocketAddress>>> resolve(
        std::string host, std::uint16_t port, Instant deadline
    ) override;

    Loop& loop() override { return loop_; }

  private:
    EpollLoop& loop_;
    ListeningSockets* sockets_;
    std::unique_ptr<ResolverThread> resolver_;  // started at the first name
};

}  // namespace datapunk::mesh::io
