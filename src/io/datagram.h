#pragma once

// DatagramSocket: UDP: one message in, one message out, any of them may be lost, doubled or come in
// another order. Real (KernelNetwork) or simulated (sim::SimNetwork).
//
//     auto got = co_await socket.receive(buffer, deadline);      // got->bytes, got->from, …
//     auto sent = socket.send(text, got->from, got->to);         // never waits
//
// A socket belongs to one loop. At most one receive waits at a time; close() ends it. Connected to
// one peer it takes messages of that peer only and hears that nobody listens there. A receive that
// finds a message at once does not leave the loop: who serves many should yield now and then.

#include <datapunk/mesh/result.h>

#include <coroutine>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "io/address.h"
#include "io/loop.h"
#include "io/stream.h"

namespace datapunk::mesh::io {

struct DatagramOptions {
    std::optional<SocketAddress> peer;  // connected to it
    bool reuse_port = false;            // several workers share one port
};

struct Received {
    std::size_t bytes = 0;  // what the buffer got of it
    SocketAddress from;
    SocketAddress to;     // which of our addresses it was sent to
    bool is_cut = false;  // it was longer than the buffer
};

class ReceiveAwait;

class DatagramSocket {
  public:
    DatagramSocket() = default;
    DatagramSocket(const DatagramSocket&) = delete;
    DatagramSocket& operator=(const DatagramSocket&) = delete;
    virtual ~DatagramSocket() = default;

    // The next message. Errors: timeout; aborted (closed); unavailable (connected, and the peer's
    // machine says that nobody listens).
    [[nodiscard]] ReceiveAwait receive(std::span<char> into, Instant deadline);

    // Hands it to the network. `from` is the address of ours that it should come from; its port is
    // not looked at, and zeros leave the choice to the system. An error means that it was not
    // sent; success means nothing.
    virtual Result<> send(
        std::string_view message, const SocketAddress& to, const SocketAddress& from
    ) = 0;

    virtual void close() = 0;
    virtual SocketAddress local() const = 0;
    virtual Loop& loop() = 0;

  private:
    friend class ReceiveAwait;

    // done: `out` is filled in; failed: an errno.
    virtual IoResult receive_some(std::span<char> into, Received& out) = 0;
    virtual void set_receiver(IoWaiter* waiter) = 0;
};

using DatagramPtr = std::unique_ptr<DatagramSocket>;

class [[nodiscard]] ReceiveAwait final : IoWaiter {
  public:
    ReceiveAwait(DatagramSocket& socket, std::span<char> into, Instant deadline) noexcept
        : socket_(socket), into_(into), deadline_(deadline), timer_(*this) {}

    ReceiveAwait(const ReceiveAwait&) = delete;
    ReceiveAwait& operator=(const ReceiveAwait&) = delete;

    ~ReceiveAwait() {
        if (waiting_) socket_.set_receiver(nullptr);
    }

    bool await_ready() { return attempt(); }

    void await_suspend(std::coroutine_handle<> waiting);
    Result<Received> await_resume();

  private:
    struct Deadline : Timer {
        explicit Deadline(ReceiveAwait& owner) noexcept : Timer(&Deadline::on_fire), wait(owner) {}

        static void on_fire(Timer& timer) {
            ReceiveAwait& self = static_cast<Deadline&>(timer).wait;
            self.timed_out_ = true;
            self.finish();
        }

        ReceiveAwait& wait;
    };

    bool attempt() {
        result_ = socket_.receive_some(into_, received_);
        return result_.state != IoResult::State::would_block;
    }

    void retry() override {
        if (attempt()) finish();
    }

    void finish() {
        socket_.set_receiver(nullptr);
        timer_.cancel();
        std::exchange(waiting_, {}).resume();
    }

    DatagramSocket& socket_;
    std::span<char> into_;
    Instant deadline_;
    Deadline timer_;
    std::coroutine_handle<> waiting_;
    IoResult result_;
    Received received_;
    bool timed_out_ = false;
};

inline ReceiveAwait DatagramSocket::receive(std::span<char> into, Instant deadline) {
    return {*this, into, deadline};
}

// Lets everything else that is ready have its turn first.
class [[nodiscard]] YieldAwait final : Ready {
  public:
    explicit YieldAwait(Loop& loop) noexcept : loop_(loop) {}

    YieldAwait(const YieldAwait&) = delete;
    YieldAwait& operator=(const YieldAwait&) = delete;
    ~YieldAwait() = default;

    bool await_ready() const noexcept { return false; }

    void await_suspend(std::coroutine_handle<> waiting) noexcept {
        waiting_ = waiting;
        loop_.make_ready(*this);
    }

    void await_resume() const noexcept {}

  private:
    void run() override { waiting_.resume(); }

    Loop& loop_;
    std::coroutine_handle<> waiting_;
};

inline YieldAwait yield_to(Loop& loop) noexcept {
    return YieldAwait(loop);
}

}  // namespace datapunk::mesh::io
