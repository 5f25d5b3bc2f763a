#pragma once

// Stream: a two-way flow of bytes: a TCP connection, TLS over one, or a simulated one.
//
//     auto got = co_await stream.read(buffer, deadline);       // 0 bytes = the peer has finished
//     auto sent = co_await stream.write(slices, deadline);     // all of it, or an error
//
// A stream belongs to one loop. At most one reader and one writer wait at a time. close() ends both
// waits; destroying a stream that is waited for is a defect (destroy the waiting tasks first).
// read/write try at once and only wait if they must; a wait costs no system call but the loop's one
// epoll_wait and allocates nothing. An error stays: after it no read pretends a normal end.

#include <datapunk/mesh/result.h>
#include <sys/uio.h>

#include <array>
#include <coroutine>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "core/assert.h"
#include "io/address.h"
#include "io/loop.h"

namespace datapunk::mesh::io {

// Up to six pieces written as one (headers and body in one system call).
class Slices {
  public:
    static constexpr std::size_t kMax = 6;

    Slices() = default;

    explicit Slices(std::string_view one) { add(one); }

    void add(std::string_view piece) {
        if (piece.empty()) return;
        MESH_ASSERT(count_ < kMax);
        // writev's iovec is not const-correct; nothing is written through it.
        pieces_[count_++] = {.iov_base = const_cast<char*>(piece.data()), .iov_len = piece.size()};
        bytes_ += piece.size();
    }

    bool empty() const noexcept { return bytes_ == 0; }

    std::size_t bytes() const noexcept { return bytes_; }

    const iovec* data() const noexcept { return pieces_.data() + first_; }

    std::size_t count() const noexcept { return count_ - first_; }

    // Forgets the first `bytes`, which have been written.
    void consume(std::size_t bytes) noexcept {
        bytes_ -= bytes;
        while (bytes > 0) {
            iovec& piece = pieces_[first_];
            if (bytes < piece.iov_len) {
                piece.iov_base = static_cast<char*>(piece.iov_base) + bytes;
                piece.iov_len -= bytes;
                return;
            }
            bytes -= piece.iov_len;
            ++first_;
        }
    }

  private:
    std::array<iovec, kMax> pieces_{};
    std::size_t first_ = 0;
    std::size_t count_ = 0;
    std::size_t bytes_ = 0;
};

// What one non-blocking attempt came to.
struct IoResult {
    enum class State : std::uint8_t { done, would_block, failed };

    State state = State::done;
    std::size_t bytes = 0;  // done: 0 read bytes = end of stream
    int error = 0;          // failed: an errno
};

// Waits for one direction of a stream. `retry` is called when progress may be possible; it takes
// itself off and resumes its coroutine if the operation is over. `fail` ends it with an errno.
class IoWaiter {
  public:
    virtual void retry() = 0;

  protected:
    ~IoWaiter() = default;
};

class ReadAwait;
class WriteAwait;
class ReadableAwait;

class Stream {
  public:
    Stream() = default;
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;
    virtual ~Stream() = default;

    // Reads what is there, up to the buffer's size (not 0). 0 = end of stream.
    [[nodiscard]] ReadAwait read(std::span<char> into, Instant deadline);
    // Writes everything.
    [[nodiscard]] WriteAwait write(Slices slices, Instant deadline);
    // Until there is something to read or the peer has closed; needs no buffer while idle.
    [[nodiscard]] ReadableAwait readable(Instant deadline);

    // Non-blocking attempts, for the awaiters and for layers.
    virtual IoResult read_some(std::span<char> into) = 0;
    virtual IoResult write_some(const iovec* pieces, std::size_t count) = 0;
    // Whether read_some may find something (bytes, end or error). Asks the kernel only if unknown.
    virtual bool maybe_readable() = 0;
    // One waiter per direction; nullptr takes it off.
    virtual void set_reader(IoWaiter* waiter) = 0;
    virtual void set_writer(IoWaiter* waiter) = 0;

    // Tells the peer that we have finished writing.
    virtual void shutdown_write() = 0;
    // Ends the connection now; waiting operations fail with ECANCELED, later in the turn.
    virtual void close() = 0;
    // As close(), but the peer sees a reset: used where ending normally would look like completion.
    virtual void reset() = 0;

    virtual SocketAddress peer() const = 0;
    virtual SocketAddress local() const = 0;
    virtual Loop& loop() = 0;
    // What a failed attempt's errno means here, for people.
    virtual std::string explain(int error) const;
};

namespace detail {

// Shared part of the awaiters: the deadline and who is resumed.
class StreamWait : public IoWaiter {
  public:
    StreamWait(const StreamWait&) = delete;
    StreamWait& operator=(const StreamWait&) = delete;

  protected:
    enum class Direction : std::uint8_t { read, write };

    StreamWait(Stream& stream, Instant deadline, Direction direction) noexcept
        : timer_(*this), stream_(stream), deadline_(deadline), direction_(direction) {}

    ~StreamWait() {
        if (waiting_) unregister();
    }

    void suspend(std::coroutine_handle<> waiting);
    void finish();  // unregister and resume
    Error failure(int error, const char* verb) const;

    Stream& stream() noexcept { return stream_; }

    bool timed_out_ = false;

  private:
    struct Deadline : Timer {
        explicit Deadline(StreamWait& owner) noexcept : Timer(&Deadline::on_fire), wait(owner) {}

        static void on_fire(Timer& timer) {
            StreamWait& self = static_cast<Deadline&>(timer).wait;
            self.timed_out_ = true;
            self.finish();
        }

        StreamWait& wait;
    };

    void unregister();

    Deadline timer_;
    Stream& stream_;
    Instant deadline_;
    std::coroutine_handle<> waiting_;
    Direction direction_;
};

}  // namespace detail

class [[nodiscard]] ReadAwait final : detail::StreamWait {
  public:
    ReadAwait(Stream& stream, std::span<char> into, Instant deadline) noexcept
        : StreamWait(stream, deadline, Direction::read), into_(into) {}

    bool await_ready() { return attempt(); }

    void await_suspend(std::coroutine_handle<> waiting) { suspend(waiting); }

    Result<std::size_t> await_resume();

  private:
    bool attempt() {
        result_ = stream().read_some(into_);
        return result_.state != IoResult::State::would_block;
    }

    void retry() override {
        if (attempt()) finish();
    }

    std::span<char> into_;
    IoResult result_;
};

class [[nodiscard]] WriteAwait final : detail::StreamWait {
  public:
    WriteAwait(Stream& stream, Slices slices, Instant deadline) noexcept
        : StreamWait(stream, deadline, Direction::write), slices_(slices) {}

    bool await_ready() { return attempt(); }

    void await_suspend(std::coroutine_handle<> waiting) { suspend(waiting); }

    Result<> await_resume();

  private:
    bool attempt();

    void retry() override {
        if (attempt()) finish();
    }

    Slices slices_;
    IoResult result_;
};

class [[nodiscard]] ReadableAwait final : detail::StreamWait {
  public:
    ReadableAwait(Stream& stream, Instant deadline) noexcept
        : StreamWait(stream, deadline, Direction::read) {}

    bool await_ready() { return stream().maybe_readable(); }

    void await_suspend(std::coroutine_handle<> waiting) { suspend(waiting); }

    Result<> await_resume();

  private:
    void retry() override {
        if (stream().maybe_readable()) finish();
    }
};

inline ReadAwait Stream::read(std::span<char> into, Instant deadline) {
    return {*this, into, deadline};
}

inline WriteAwait Stream::write(Slices slices, Instant deadline) {
    return {*this, slices, deadline};
}

inline ReadableAwait Stream::readable(Instant deadline) {
    return {*this, deadline};
}

}  // namespace datapunk::mesh::io
