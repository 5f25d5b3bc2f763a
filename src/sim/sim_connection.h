#pragma once

// SimConnection: one simulated TCP connection, owned by its world until both ends are closed and
// nothing is on its way. SimStream is what one end's user holds.
//
//     write_some -> in_flight (segments with arrival times, in order) -> arrived -> read_some
//                   '------- at most plan.buffer_bytes in both --------'
//
// As in Linux: closing with unread bytes resets; bytes that arrive at a closed end are answered
// with a reset; what arrived before a reset can still be read.

#include <deque>
#include <string>

#include "io/stream.h"
#include "io/timer_wheel.h"
#include "sim/sim_world.h"

namespace datapunk::mesh::sim {

class SimStream;

class SimConnection {
  public:
    SimConnection(SimWorld& world, io::SocketAddress client, io::SocketAddress server);

    // side: 0 the client's, 1 the server's.
    std::unique_ptr<SimStream> make_stream(int side);

    bool is_open() const noexcept { return ends_[0].open || ends_[1].open; }

    // Nobody can see it any more.
    bool is_finished() const noexcept;
    bool touches(const io::SocketAddress& ip) const;
    void reset_both();
    // The machine of this end is gone.
    void kill_end(const io::SocketAddress& ip);

  private:
    friend class SimStream;

    enum class Kind : std::uint8_t { data, fin, rst };

    struct Segment {
        Kind kind = Kind::data;
        std::string bytes;
        Instant sent;
        Instant arrives;
    };

    // What travels to one end.
    struct Flow : io::Timer {
        Flow(SimConnection& c, int side)
            : Timer([](Timer& timer) {
                  auto& self = static_cast<Flow&>(timer);
                  self.connection.arrive(self.to);
              }),
              connection(c),
              to(side) {}

        SimConnection& connection;
        int to;
        std::deque<Segment> in_flight;
        std::string arrived;
        std::size_t bytes = 0;  // in flight and arrived
        Instant line_free{};    // when the sender's line has sent what it has (bandwidth)
        bool ended = false;     // the peer's FIN has arrived
    };

    struct End {
        io::SocketAddress address;
        SimStream* stream = nullptr;
        bool open = true;
        bool has_finished = false;  // has sent FIN or RST
        int error = 0;
    };

    void send(int from, Kind kind, std::string bytes);
    void arrive(int to);
    bool hold_if_cut(Flow& flow);
    void deliver(Flow& flow, Segment segment);
    void fail(int side, int error);
    void drop_flow(int to);
    void close_end(int side, bool hard);
    void wake(int side);
    io::IoResult read_some(int side, std::span<char> into);
    io::IoResult write_some(int side, const iovec* pieces, std::size_t count);
    void note(int from, std::string_view what, std::size_t bytes);
    const FaultPlan& plan() const;

    SimWorld& world_;
    End ends_[2];
    Flow flows_[2];  // flows_[i] goes to ends_[i]
};

class SimStream final : public io::Stream {
  public:
    SimStream(SimConnection& connection, int side)
        : connection_(connection), side_(side), on_read_(*this), on_write_(*this) {}

    ~SimStream() override;

    io::IoResult read_some(std::span<char> into) override;
    io::IoResult write_some(const iovec* pieces, std::size_t count) override;
    bool maybe_readable() override;
    void set_reader(io::IoWaiter* waiter) override;
    void set_writer(io::IoWaiter* waiter) override;
    void shutdown_write() override;
    void close() override;
    void reset() override;
    io::SocketAddress peer() const override;
    io::SocketAddress local() const override;
    io::Loop& loop() override;

    void wake();

  private:
    struct OnRead final : io::Ready {
        explicit OnRead(SimStream& s) : stream(s) {}

        void run() override {
            if (stream.reader_ != nullptr) stream.reader_->retry();
        }

        SimStream& stream;
    };

    struct OnWrite final : io::Ready {
        explicit OnWrite(SimStream& s) : stream(s) {}

        void run() override {
            if (stream.writer_ != nullptr) stream.writer_->retry();
        }

        SimStream& stream;
    };

    SimConnection& connection_;
    int side_;
    bool closed_ = false;
    io::IoWaiter* reader_ = nullptr;
    io::IoWaiter* writer_ = nullptr;
    OnRead on_read_;
    OnWrite on_write_;
};

}  // namespace datapunk::mesh::sim
