#include "io/tcp.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "io/listening_sockets.h"
#include "io/owned_fd.h"
#include "io/redirected.h"
#include "io/resolver_thread.h"
#include "io/splice_end.h"
#include "io/udp.h"

namespace datapunk::mesh::io {

namespace {

class TcpStream final : public Stream, public SpliceEnd, public Redirected, FdHandler, Ready {
  public:
    TcpStream(EpollLoop& loop, int fd, const SocketAddress& peer)
        : loop_(loop), fd_(fd), peer_(peer) {}

    ~TcpStream() override {
        MESH_ASSERT(reader_ == nullptr && writer_ == nullptr);
        release();
    }

    int start() noexcept {
        const int on = 1;
        setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        return loop_.add(fd_, *this);
    }

    IoResult read_some(std::span<char> into) override {
        if (fd_ < 0) return {.state = IoResult::State::failed, .error = ECANCELED};
        if (readable_ == Readable::no) return {.state = IoResult::State::would_block};
        for (;;) {
            const ssize_t got = ::recv(fd_, into.data(), into.size(), 0);
            if (got >= 0) {
                // A short read has emptied the socket: the next edge will tell. Not so once the
                // peer has closed, for that edge may have come with these bytes.
                if (got == 0) {
                    if (error_ != 0) return {.state = IoResult::State::failed, .error = error_};
                } else if (!hung_up_) {
                    readable_ = static_cast<std::size_t>(got) < into.size() ? Readable::no
                                                                            : Readable::unknown;
                }
                return {.bytes = static_cast<std::size_t>(got)};
            }
            if (errno == EINTR) continue;
            if (errno == EAGAIN) {
                readable_ = Readable::no;
                return {.state = IoResult::State::would_block};
            }
            return failed(errno);
        }
    }

    IoResult write_some(const iovec* pieces, std::size_t count) override {
        if (fd_ < 0) return {.state = IoResult::State::failed, .error = ECANCELED};
        if (!writable_) return {.state = IoResult::State::would_block};
        for (;;) {
            ssize_t sent = 0;
            if (count == 1) {
                sent = ::send(fd_, pieces[0].iov_base, pieces[0].iov_len, MSG_NOSIGNAL);
            } else {
                const msghdr message{.msg_iov = const_cast<iovec*>(pieces), .msg_iovlen = count};
                sent = ::sendmsg(fd_, &message, MSG_NOSIGNAL);
            }
            if (sent >= 0) return {.bytes = static_cast<std::size_t>(sent)};
            if (errno == EINTR) continue;
            if (errno == EAGAIN) {
                writable_ = false;
                return {.state = IoResult::State::would_block};
            }
            return failed(errno);
        }
    }

    IoResult splice_into(int pipe, std::size_t bytes_max) override {
        if (fd_ < 0) return {.state = IoResult::State::failed, .error = ECANCELED};
        if (readable_ == Readable::no) return {.state = IoResult::State::would_block};
        for (;;) {
            const ssize_t got =
                ::splice(fd_, nullptr, pipe, nullptr, bytes_max, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
            if (got == 0 && error_ != 0) return {.state = IoResult::State::failed, .error = error_};
            if (got >= 0) return {.bytes = static_cast<std::size_t>(got)};
            if (errno == EINTR) continue;
            if (errno == EAGAIN) {
                readable_ = Readable::no;
                return {.state = IoResult::State::would_block};
            }
            return failed(errno);
        }
    }

    IoResult splice_from(int pipe, std::size_t bytes) override {
        if (fd_ < 0) return {.state = IoResult::State::failed, .error = ECANCELED};
        if (!writable_) return {.state = IoResult::State::would_block};
        for (;;) {
            const ssize_t sent =
                ::splice(pipe, nullptr, fd_, nullptr, bytes, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
            if (sent >= 0) return {.bytes = static_cast<std::size_t>(sent)};
            if (errno == EINTR) continue;
            if (errno == EAGAIN) {
                writable_ = false;
                return {.state = IoResult::State::would_block};
            }
            return failed(errno);
        }
    }

    bool maybe_readable() override {
        if (fd_ < 0 || readable_ == Readable::yes) return true;
        if (readable_ == Readable::no) return false;
        char byte = 0;
        const ssize_t got = ::recv(fd_, &byte, 1, MSG_PEEK);
        readable_ = got < 0 && errno == EAGAIN ? Readable::no : Readable::yes;
        return readable_ == Readable::yes;
    }

    void set_reader(IoWaiter* waiter) override {
        MESH_ASSERT(waiter == nullptr || reader_ == nullptr);
        reader_ = waiter;
    }

    void set_writer(IoWaiter* waiter) override {
        MESH_ASSERT(waiter == nullptr || writer_ == nullptr);
        writer_ = waiter;
    }

    void shutdown_write() override {
        if (fd_ >= 0) ::shutdown(fd_, SHUT_WR);
    }

    void close() override {
        release();
        if (reader_ != nullptr || writer_ != nullptr) loop_.make_ready(*this);
    }

    void reset() override {
        if (fd_ >= 0) {
            const linger abort{.l_onoff = 1, .l_linger = 0};
            setsockopt(fd_, SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
        }
        close();
    }

    SocketAddress peer() const override { return peer_; }

    SocketAddress local() const override {
        sockaddr_storage raw{};
        socklen_t size = sizeof raw;
        if (fd_ < 0 || getsockname(fd_, reinterpret_cast<sockaddr*>(&raw), &size) != 0) return {};
        return from_sockaddr(raw);
    }

    SocketAddress destination() const override {
        // Of linux/netfilter_ipv4.h and netfilter_ipv6/ip6_tables.h, which clash with netinet/in.h.
        constexpr int kOriginalDestination = 80;
        sockaddr_storage raw{};
        for (const int level : {SOL_IP, SOL_IPV6}) {
            socklen_t size = sizeof raw;
            if (fd_ >= 0 && getsockopt(fd_, level, kOriginalDestination, &raw, &size) == 0)
                return from_sockaddr(raw);
        }
        return local();
    }

    Loop& loop() override { return loop_; }

    int fd() const noexcept { return fd_; }

  private:
    // The kernel tells an error once, to whichever direction asks first, and then reports a normal
    // end: a reset that the writer met must not look like a complete answer to the reader.
    IoResult failed(int error) noexcept {
        if (error != EPIPE) error_ = error;
        return {.state = IoResult::State::failed, .error = error};
    }

    void release() noexcept {
        if (fd_ < 0) return;
        loop_.remove(fd_, *this);
        ::close(std::exchange(fd_, -1));
    }

    void on_events(std::uint32_t events) override {
        if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) hung_up_ = true;
        if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) readable_ = Readable::yes;
        if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) writable_ = true;
        notify();
    }

    // A resumed waiter may destroy this stream: then `alive` says so.
    void notify() {
        bool alive = true;
        alive_ = &alive;
        if (readable_ != Readable::no && reader_ != nullptr) reader_->retry();
        if (alive && writable_ && writer_ != nullptr) writer_->retry();
        if (alive) alive_ = nullptr;
    }

    void run() override {  // close() found waiters: their retry meets fd_ < 0
        readable_ = Readable::yes;
        writable_ = true;
        notify();
    }

    struct AliveFlag {
        bool* flag = nullptr;

        AliveFlag& operator=(bool* to) noexcept {
            flag = to;
            return *this;
        }

        ~AliveFlag() {
            if (flag != nullptr) *flag = false;
        }
    };

    EpollLoop& loop_;
    int fd_;
    SocketAddress peer_;
    IoWaiter* reader_ = nullptr;
    IoWaiter* writer_ = nullptr;
    AliveFlag alive_;
    enum class Readable : std::uint8_t { no, unknown, yes };

    Readable readable_ = Readable::unknown;
    bool writable_ = true;
    bool hung_up_ = false;
    int error_ = 0;
};

class TcpListener final : public Listener, FdHandler, Ready {
  public:
    TcpListener(EpollLoop& loop, int fd, ListeningSockets* sockets)
        : loop_(loop), fd_(fd), sockets_(sockets), retry_timer_(*this) {}

    ~TcpListener() override {
        MESH_ASSERT(acceptor_ == nullptr);
        release();
    }

    int start() {
        const int error = loop_.add(fd_, *this);
        if (error == 0 && sockets_ != nullptr) sockets_->opened(local(), fd_);
        return error;
    }

    void close() override {
        release();
        if (acceptor_ != nullptr) loop_.make_ready(*this);
    }

    SocketAddress local() const override {
        sockaddr_storage raw{};
        socklen_t size = sizeof raw;
        if (fd_ < 0 || getsockname(fd_, reinterpret_cast<sockaddr*>(&raw), &size) != 0) return {};
        return from_sockaddr(raw);
    }

    Loop& loop() override { return loop_; }

  private:
    StreamPtr accept_some() override {
        while (fd_ >= 0) {
            sockaddr_storage raw{};
            socklen_t size = sizeof raw;
            const int fd = ::accept4(
                fd_, reinterpret_cast<sockaddr*>(&raw), &size, SOCK_NONBLOCK | SOCK_CLOEXEC
            );
            if (fd >= 0) {
                auto stream = std::make_unique<TcpStream>(loop_, fd, from_sockaddr(raw));
                if (stream->start() == 0) return stream;
                continue;
            }
            if (errno == EAGAIN) return nullptr;
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                // Out of descriptors: no edge will come for connections already waiting.
                loop_.timers().arm(retry_timer_, loop_.now() + kExhaustedPause);
                return nullptr;
            }
            // ECONNABORTED and other errors of that one connection (accept(2)): take the next.
        }
        return nullptr;
    }

    bool is_closed() const override { return fd_ < 0; }

    void set_acceptor(IoWaiter* waiter) override {
        MESH_ASSERT(waiter == nullptr || acceptor_ == nullptr);
        acceptor_ = waiter;
    }

    void on_events(std::uint32_t /*events*/) override {
        if (acceptor_ != nullptr) acceptor_->retry();
    }

    void run() override { on_events(0); }

    void release() noexcept {
        if (fd_ < 0) return;
        loop_.remove(fd_, *this);
        if (sockets_ != nullptr) sockets_->closed(fd_);
        ::close(std::exchange(fd_, -1));
    }

    static constexpr Duration kExhaustedPause = std::chrono::milliseconds(50);

    struct RetryTimer : Timer {
        explicit RetryTimer(TcpListener& owner) noexcept
            : Timer(&RetryTimer::on_fire), listener(owner) {}

        static void on_fire(Timer& timer) { static_cast<RetryTimer&>(timer).listener.on_events(0); }

        TcpListener& listener;
    };

    EpollLoop& loop_;
    int fd_;
    ListeningSockets* sockets_;
    IoWaiter* acceptor_ = nullptr;
    RetryTimer retry_timer_;
};

// Waits until a socket is connected or refused.
class ConnectAwait final : FdHandler {
  public:
    ConnectAwait(EpollLoop& loop, int fd, Instant deadline)
        : loop_(loop), fd_(fd), deadline_(deadline), timer_(*this) {}

    ConnectAwait(const ConnectAwait&) = delete;
    ConnectAwait& operator=(const ConnectAwait&) = delete;

    ~ConnectAwait() {
        if (added_) loop_.remove(fd_, *this);
    }

    bool await_ready() noexcept {
        error_ = loop_.add(fd_, *this);
        added_ = error_ == 0;
        return !added_;
    }

    void await_suspend(std::coroutine_handle<> waiting) {
        waiting_ = waiting;
        loop_.timers().arm(timer_, deadline_);
    }

    // 0, or an errno.
    int await_resume() noexcept {
        if (added_) loop_.remove(fd_, *this);
        added_ = false;
        return error_;
    }

  private:
    void on_events(std::uint32_t events) override {
        if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0) return;
        socklen_t size = sizeof error_;
        getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error_, &size);
        timer_.cancel();
        waiting_.resume();
    }

    struct Deadline : Timer {
        explicit Deadline(ConnectAwait& owner) noexcept : Timer(&Deadline::on_fire), wait(owner) {}

        static void on_fire(Timer& timer) {
            ConnectAwait& self = static_cast<Deadline&>(timer).wait;
            self.error_ = ETIMEDOUT;
            self.waiting_.resume();
        }

        ConnectAwait& wait;
    };

    EpollLoop& loop_;
    int fd_;
    Instant deadline_;
    Deadline timer_;
    std::coroutine_handle<> waiting_;
    int error_ = 0;
    bool added_ = false;
};

Error connect_error(const SocketAddress& to, int error) {
    return {
        .code = error == ETIMEDOUT ? Code::timeout : Code::unavailable,
        .what = fmt::format("connect to {}: {}", to.to_string(), std::strerror(error)),
        .source = Source::upstream,
        .retryable = true
    };
}

// A descriptor that listens, or a negative errno.
int open_listening(const SocketAddress& at, const ListenOptions& options) noexcept {
    sockaddr_storage raw{};
    const unsigned size = to_sockaddr(at, raw);
    const int on = 1;
    OwnedFd fd(
        ::socket(at.is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
    );
    if (fd.get() < 0) return -errno;
    setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (options.reuse_port) setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (at.is_v6) setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&raw), size) != 0) return -errno;
    if (::listen(fd.get(), options.backlog) != 0) return -errno;
    return fd.release();
}

}  // namespace

KernelNetwork::KernelNetwork(EpollLoop& loop, ListeningSockets* sockets)
    : loop_(loop), sockets_(sockets) {}

KernelNetwork::~KernelNetwork() = default;

Task<Result<StreamPtr>> KernelNetwork::connect(SocketAddress to, Instant deadline) {
    sockaddr_storage raw{};
    const unsigned size = to_sockaddr(to, raw);
    OwnedFd fd(
        ::socket(to.is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
    );
    if (fd.get() < 0) {
        const int error = errno;
        co_return Error{
            .code = Code::exhausted, .what = fmt::format("socket: {}", std::strerror(error))
        };
    }
    if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&raw), size) != 0) {
        if (errno != EINPROGRESS) co_return connect_error(to, errno);
        const int error = co_await ConnectAwait(loop_, fd.get(), deadline);
        if (error != 0) co_return connect_error(to, error);
    }
    auto stream = std::make_unique<TcpStream>(loop_, fd.release(), to);
    if (const int error = stream->start(); error != 0) co_return connect_error(to, error);
    co_return StreamPtr(std::move(stream));
}

Result<std::unique_ptr<Listener>> KernelNetwork::listen(
    const SocketAddress& at, const ListenOptions& options
) {
    const auto failed = [&](int error) {
        return Error{
            .code = error == EADDRINUSE ? Code::conflict : Code::invalid,
            .what = fmt::format(
                "listen on {}: {}{}",
                at.to_string(),
                std::strerror(error),
                error == EADDRINUSE ? " (see who has it: ss -ltnp)" : ""
            )
        };
    };
    const int on = 1;
    OwnedFd fd(sockets_ == nullptr ? -1 : sockets_->take(at));
    if (fd.get() >=
        0) {  // it is bound and listens; the process before may not have shared the port
        if (options.reuse_port) setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    } else {
        const int opened = open_listening(at, options);
        if (opened < 0) return failed(-opened);
        fd.reset(opened);
    }
    auto listener = std::make_unique<TcpListener>(loop_, fd.release(), sockets_);
    if (const int error = listener->start(); error != 0) return failed(error);
    return std::unique_ptr<Listener>(std::move(listener));
}

Result<DatagramPtr> KernelNetwork::open_datagram(
    const SocketAddress& at, const DatagramOptions& options
) {
    return open_udp(loop_, at, options);
}

Task<Result<std::vector<SocketAddress>>> KernelNetwork::resolve(
    std::string host, std::uint16_t port, Instant deadline
) {
    if (auto literal = parse_ip(host, port); literal) {
        co_return std::vector<SocketAddress>{*literal};
    }
    // getaddrinfo would stop at a zero byte and ask for another name than was given.
    constexpr std::size_t kNameBytesMax = 253;  // RFC 1035
    if (host.empty() || host.size() > kNameBytesMax || host.find('\0') != std::string::npos) {
        co_return Error{
            .code = Code::invalid, .what = fmt::format("\"{:.80}\" is not a host name", host)
        };
    }
    if (resolver_ == nullptr) resolver_ = std::make_unique<ResolverThread>();
    auto addresses = co_await resolver_->resolve(loop_, host, port, deadline);
    co_return std::move(addresses);
}

}  // namespace datapunk::mesh::io
