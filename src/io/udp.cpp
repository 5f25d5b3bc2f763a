#include "io/udp.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace datapunk::mesh::io {

namespace {

bool is_any(const SocketAddress& address) {
    return std::all_of(address.ip.begin(), address.ip.end(), [](auto byte) { return byte == 0; });
}

// Room for one packet-info control message of either family.
using Control = std::array<char, CMSG_SPACE(sizeof(in6_pktinfo))>;

class UdpSocket final : public DatagramSocket, FdHandler, Ready {
  public:
    UdpSocket(EpollLoop& loop, int fd) : loop_(loop), fd_(fd) {}

    ~UdpSocket() override {
        MESH_ASSERT(receiver_ == nullptr);
        release();
    }

    // 0, or an errno.
    int start(const SocketAddress& at, const DatagramOptions& options) {
        const int on = 1;
        if (options.reuse_port) setsockopt(fd_, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
        if (at.is_v6) setsockopt(fd_, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
        // An answer must come from the address that was asked, also where the socket has many.
        if (is_any(at) && !options.peer) {
            if (at.is_v6) {
                setsockopt(fd_, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
            } else {
                setsockopt(fd_, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
            }
        }
        sockaddr_storage raw{};
        unsigned size = to_sockaddr(at, raw);
        // With a peer and no port, connect() alone draws a port at random for this one use.
        const bool binds = !options.peer || at.port != 0 || !is_any(at);
        if (binds && ::bind(fd_, reinterpret_cast<sockaddr*>(&raw), size) != 0) return errno;
        if (options.peer) {
            size = to_sockaddr(*options.peer, raw);
            if (::connect(fd_, reinterpret_cast<sockaddr*>(&raw), size) != 0) return errno;
            is_connected_ = true;
        }
        local_ = read_local();
        return loop_.add(fd_, *this);
    }

    Result<> send(std::string_view message, const SocketAddress& to, const SocketAddress& from)
        override {
        if (fd_ < 0) {
            return Error{.code = Code::aborted, .what = "send: the socket is closed"};
        }
        sockaddr_storage raw{};
        iovec piece{.iov_base = const_cast<char*>(message.data()), .iov_len = message.size()};
        msghdr header{.msg_iov = &piece, .msg_iovlen = 1};
        if (!is_connected_) {
            header.msg_namelen = to_sockaddr(to, raw);
            header.msg_name = &raw;
        }
        alignas(cmsghdr) Control control{};
        if (is_any(local_) && !is_any(from)) set_source(header, control, from);
        for (;;) {
            if (::sendmsg(fd_, &header, MSG_NOSIGNAL) >= 0) return Ok{};
            if (errno == EINTR) continue;
            const int error = errno;
            return Error{
                .code = Code::unavailable,
                .what = fmt::format("send to {}: {}", to.to_string(), std::strerror(error)),
                .source = Source::upstream,
                .retryable = true
            };
        }
    }

    void close() override {
        release();
        if (receiver_ != nullptr) loop_.make_ready(*this);
    }

    SocketAddress local() const override { return local_; }

    Loop& loop() override { return loop_; }

  private:
    IoResult receive_some(std::span<char> into, Received& out) override {
        if (fd_ < 0) return {.state = IoResult::State::failed, .error = ECANCELED};
        sockaddr_storage raw{};
        iovec piece{.iov_base = into.data(), .iov_len = into.size()};
        alignas(cmsghdr) Control control{};
        for (int tries = 0; tries < kErrorsMax; ++tries) {
            msghdr header{
                .msg_name = &raw,
                .msg_namelen = sizeof raw,
                .msg_iov = &piece,
                .msg_iovlen = 1,
                .msg_control = control.data(),
                .msg_controllen = control.size()
            };
            const ssize_t got = ::recvmsg(fd_, &header, 0);
            if (got >= 0) {
                out.bytes = static_cast<std::size_t>(got);
                out.from = from_sockaddr(raw);
                out.is_cut = (header.msg_flags & MSG_TRUNC) != 0;
                out.to = destination(header);
                return {.bytes = out.bytes};
            }
            if (errno == EINTR) continue;
            if (errno == EAGAIN) return {.state = IoResult::State::would_block};
            // Unconnected, an error belongs to some message sent before; it does not end receiving.
            if (is_connected_) return {.state = IoResult::State::failed, .error = errno};
        }
        return {.state = IoResult::State::would_block};
    }

    void set_receiver(IoWaiter* waiter) override {
        MESH_ASSERT(waiter == nullptr || receiver_ == nullptr);
        receiver_ = waiter;
    }

    SocketAddress destination(msghdr& header) const {
        SocketAddress to = local_;
        for (cmsghdr* at = CMSG_FIRSTHDR(&header); at != nullptr; at = CMSG_NXTHDR(&header, at)) {
            if (at->cmsg_level == IPPROTO_IP && at->cmsg_type == IP_PKTINFO) {
                in_pktinfo info{};
                std::memcpy(&info, CMSG_DATA(at), sizeof info);
                std::memcpy(to.ip.data(), &info.ipi_addr, 4);
            } else if (at->cmsg_level == IPPROTO_IPV6 && at->cmsg_type == IPV6_PKTINFO) {
                in6_pktinfo info{};
                std::memcpy(&info, CMSG_DATA(at), sizeof info);
                std::memcpy(to.ip.data(), &info.ipi6_addr, 16);
            }
        }
        return to;
    }

    static void set_source(msghdr& header, Control& control, const SocketAddress& from) {
        header.msg_control = control.data();
        header.msg_controllen = control.size();
        cmsghdr* at = CMSG_FIRSTHDR(&header);
        if (from.is_v6) {
            in6_pktinfo info{};
            std::memcpy(&info.ipi6_addr, from.ip.data(), 16);
            at->cmsg_level = IPPROTO_IPV6;
            at->cmsg_type = IPV6_PKTINFO;
            at->cmsg_len = CMSG_LEN(sizeof info);
            std::memcpy(CMSG_DATA(at), &info, sizeof info);
            header.msg_controllen = CMSG_SPACE(sizeof info);
        } else {
            in_pktinfo info{};
            std::memcpy(&info.ipi_spec_dst, from.ip.data(), 4);
            at->cmsg_level = IPPROTO_IP;
            at->cmsg_type = IP_PKTINFO;
            at->cmsg_len = CMSG_LEN(sizeof info);
            std::memcpy(CMSG_DATA(at), &info, sizeof info);
            header.msg_controllen = CMSG_SPACE(sizeof info);
        }
    }

    SocketAddress read_local() const {
        sockaddr_storage raw{};
        socklen_t size = sizeof raw;
        if (getsockname(fd_, reinterpret_cast<sockaddr*>(&raw), &size) != 0) return {};
        return from_sockaddr(raw);
    }

    void release() noexcept {
        if (fd_ < 0) return;
        loop_.remove(fd_, *this);
        ::close(std::exchange(fd_, -1));
    }

    void on_events(std::uint32_t /*events*/) override {
        if (receiver_ != nullptr) receiver_->retry();
    }

    void run() override { on_events(0); }  // close() found a waiter

    static constexpr int kErrorsMax = 16;  // in one go

    EpollLoop& loop_;
    int fd_;
    bool is_connected_ = false;
    SocketAddress local_;
    IoWaiter* receiver_ = nullptr;
};

}  // namespace

Result<DatagramPtr> open_udp(
    EpollLoop& loop, const SocketAddress& at, const DatagramOptions& options
) {
    const auto failed = [&](int error) {
        return Error{
            .code = error == EADDRINUSE ? Code::conflict : Code::invalid,
            .what = fmt::format(
                "open UDP {}: {}{}",
                at.to_string(),
                std::strerror(error),
                error == EADDRINUSE ? " (see who has it: ss -lunp)" : ""
            )
        };
    };
    const int fd =
        ::socket(at.is_v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return failed(errno);
    auto socket = std::make_unique<UdpSocket>(loop, fd);
    if (const int error = socket->start(at, options); error != 0) return failed(error);
    return DatagramPtr(std::move(socket));
}

}  // namespace datapunk::mesh::io
