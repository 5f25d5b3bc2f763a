#pragma once

// SimDatagram: a simulated UDP socket, and the messages on their way between them. A message is
// lost, doubled, cut or overtaken by the link's FaultPlan; a full socket loses what comes.

#include <deque>
#include <string>

#include "io/datagram.h"
#include "io/timer_wheel.h"
#include "sim/sim_world.h"

namespace datapunk::mesh::sim {

// One message between two sockets.
struct DatagramFlight : io::Timer {
    explicit DatagramFlight(SimWorld& in)
        : Timer([](Timer& timer) {
              auto& self = static_cast<DatagramFlight&>(timer);
              self.world.land(self);
          }),
          world(in) {}

    SimWorld& world;
    io::SocketAddress from;
    io::SocketAddress to;
    std::string bytes;
    bool is_refusal = false;  // the news that nobody listens at `from`
    bool is_over = false;
};

class SimDatagram final : public io::DatagramSocket {
  public:
    SimDatagram(SimNetwork& host, io::SocketAddress at, std::optional<io::SocketAddress> peer);
    ~SimDatagram() override;

    Result<> send(
        std::string_view message, const io::SocketAddress& to, const io::SocketAddress& from
    ) override;
    void close() override;

    io::SocketAddress local() const override { return at_; }

    io::Loop& loop() override { return host_.loop(); }

    void arrive(const DatagramFlight& flight);

  private:
    struct OnReceive final : io::Ready {
        explicit OnReceive(SimDatagram& s) : socket(s) {}

        void run() override {
            if (socket.receiver_ != nullptr) socket.receiver_->retry();
        }

        SimDatagram& socket;
    };

    struct Message {
        io::SocketAddress from;
        io::SocketAddress to;
        std::string bytes;
    };

    // About what a default receive buffer holds.
    static constexpr std::size_t kWaitingMax = 256;

    io::IoResult receive_some(std::span<char> into, io::Received& out) override;
    void set_receiver(io::IoWaiter* waiter) override;

    SimNetwork& host_;
    io::SocketAddress at_;
    std::optional<io::SocketAddress> peer_;
    std::deque<Message> waiting_;
    bool is_refused_ = false;
    bool closed_ = false;
    io::IoWaiter* receiver_ = nullptr;
    OnReceive on_receive_{*this};
};

}  // namespace datapunk::mesh::sim
