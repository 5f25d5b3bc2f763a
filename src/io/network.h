#pragma once

// Network: how a loop reaches the world: connect, listen, datagrams, resolve. Real (Kernel) or
// simulated (sim::SimNetwork). Belongs to one loop.

#include <datapunk/mesh/result.h>

#include <coroutine>
#include <memory>
#include <string>
#include <vector>

#include "io/address.h"
#include "io/datagram.h"
#include "io/loop.h"
#include "io/stream.h"
#include "io/task.h"

namespace datapunk::mesh::io {

using StreamPtr = std::unique_ptr<Stream>;

class AcceptAwait;

// Accepts connections. At most one accept waits at a time.
class Listener {
  public:
    Listener() = default;
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;
    virtual ~Listener() = default;

    // The next connection; an error only when the listener was closed.
    [[nodiscard]] AcceptAwait accept();

    // Stops accepting; a waiting accept ends with Code::aborted, later in the turn.
    virtual void close() = 0;
    virtual SocketAddress local() const = 0;
    virtual Loop& loop() = 0;

  private:
    friend class AcceptAwait;

    // A connection, or nullptr: none yet (or closed).
    virtual StreamPtr accept_some() = 0;
    virtual bool is_closed() const = 0;
    virtual void set_acceptor(IoWaiter* waiter) = 0;
};

class [[nodiscard]] AcceptAwait final : IoWaiter {
  public:
    explicit AcceptAwait(Listener& listener) noexcept : listener_(listener) {}

    AcceptAwait(const AcceptAwait&) = delete;
    AcceptAwait& operator=(const AcceptAwait&) = delete;

    ~AcceptAwait() {
        if (waiting_) listener_.set_acceptor(nullptr);
    }

    bool await_ready() { return attempt(); }

    void await_suspend(std::coroutine_handle<> waiting) {
        waiting_ = waiting;
        listener_.set_acceptor(this);
    }

    Result<StreamPtr> await_resume() {
        if (stream_ != nullptr) return std::move(stream_);
        return Error{.code = Code::aborted, .what = "the listener was closed"};
    }

  private:
    bool attempt() {
        stream_ = listener_.accept_some();
        return stream_ != nullptr || listener_.is_closed();
    }

    void retry() override {
        if (!attempt()) return;
        listener_.set_acceptor(nullptr);
        std::exchange(waiting_, {}).resume();
    }

    Listener& listener_;
    StreamPtr stream_;
    std::coroutine_handle<> waiting_;
};

inline AcceptAwait Listener::accept() {
    return AcceptAwait(*this);
}

struct ListenOptions {
    int backlog = 4096;       // the kernel caps it at net.core.somaxconn
    bool reuse_port = false;  // several workers accept on one port
};

class Network {
  public:
    virtual ~Network() = default;

    virtual Task<Result<StreamPtr>> connect(SocketAddress to, Instant deadline) = 0;
    // Port 0 takes a free one; see Listener::local().
    virtual Result<std::unique_ptr<Listener>> listen(
        const SocketAddress& at, const ListenOptions& options
    ) = 0;
    // UDP. Port 0 takes a free one, drawn at random; see DatagramSocket::local().
    virtual Result<DatagramPtr> open_datagram(
        const SocketAddress& at, const DatagramOptions& options
    ) = 0;
    // The addresses of a host name or literal, in order of preference; never empty on success.
    virtual Task<Result<std::vector<SocketAddress>>> resolve(
        std::string host, std::uint16_t port, Instant deadline
    ) = 0;

    virtual Loop& loop() = 0;
};

// Resolves, then tries the addresses in turn until one connects.
Task<Result<StreamPtr>> connect_to(
    Network& network, std::string host, std::uint16_t port, Instant deadline
);

}  // namespace datapunk::mesh::io
