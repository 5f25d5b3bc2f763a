#pragma once

// SimWorld: several simulated hosts on one SimLoop, and everything that can go wrong between them.
// All luck comes from one seed, and every event goes into a trace: the same seed gives the same
// trace.
//
//     SimWorld world(seed_for_test(1));
//     SCOPED_TRACE(world.hint());
//     SimNetwork& a = world.host("10.0.0.1");           // an io::Network
//     world.set_plan("10.0.0.1", "10.0.0.2", {.loss = 0.1, .short_read = 0.5});
//     world.partition("10.0.0.1", "10.0.0.2");
//     ASSERT_TRUE(world.loop().run_until(done, deadline));
//
// Outlives every stream and listener made from it. One thread.

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/rng.h"
#include "io/network.h"
#include "sim/fault_plan.h"
#include "sim/sim_loop.h"

namespace datapunk::mesh::sim {

class SimConnection;
class SimDatagram;
class SimListener;
class SimWorld;
struct DatagramFlight;

// One host's view of the world.
class SimNetwork final : public io::Network {
  public:
    SimNetwork(SimWorld& world, io::SocketAddress self) : world_(world), self_(self) {}

    io::Task<Result<io::StreamPtr>> connect(io::SocketAddress to, Instant deadline) override;
    Result<std::unique_ptr<io::Listener>> listen(
        const io::SocketAddress& at, const io::ListenOptions& options
    ) override;
    Result<io::DatagramPtr> open_datagram(
        const io::SocketAddress& at, const io::DatagramOptions& options
    ) override;
    io::Task<Result<std::vector<io::SocketAddress>>> resolve(
        std::string host, std::uint16_t port, Instant deadline
    ) override;
    io::Loop& loop() override;

    std::string ip() const { return self_.ip_text(); }

  private:
    friend class SimDatagram;
    friend class SimListener;
    friend class SimWorld;

    SimListener* listener_for(const io::SocketAddress& to, bool from_here) const;
    std::uint16_t free_port();

    SimWorld& world_;
    io::SocketAddress self_;  // port 0
    std::map<std::uint16_t, SimListener*> listeners_;
    std::map<std::uint16_t, SimDatagram*> datagrams_;
    std::uint16_t next_port_ = 49'152;
    bool is_down_ = false;
};

class SimWorld {
  public:
    explicit SimWorld(std::uint64_t seed);
    ~SimWorld();

    SimLoop& loop() noexcept { return loop_; }

    core::Rng& rng() noexcept { return rng_; }

    std::uint64_t seed() const noexcept { return seed_; }

    std::string hint() const;  // "replay with SEED=…", for SCOPED_TRACE

    // The host with this address; made at first use.
    SimNetwork& host(std::string_view ip);

    // Names that every host resolves, and how long that takes. No addresses: the name is unknown.
    void set_name(std::string name, const std::vector<std::string_view>& ips);
    // Queries are not answered at all while true.
    void set_names_silent(bool silent) { names_silent_ = silent; }

    void set_default_plan(const FaultPlan& plan) { default_plan_ = plan; }
    // Both directions of the link; a host with itself has no latency unless set here.
    void set_plan(std::string_view a, std::string_view b, const FaultPlan& plan);
    const FaultPlan& plan(const io::SocketAddress& a, const io::SocketAddress& b) const;

    // Nothing passes; connections stay open and recover when healed in time.
    void partition(std::string_view a, std::string_view b);
    void heal(std::string_view a, std::string_view b);
    // Power off: silence. Its connections are gone; after revive() their peers meet a reset.
    void kill(std::string_view ip);
    void revive(std::string_view ip);
    // Every connection of this host sees a reset, now.
    void reset_connections(std::string_view ip);

    // A message that says it comes from `from`, whoever sent it. Arrives at once.
    void forge_datagram(
        const io::SocketAddress& from, const io::SocketAddress& to, std::string bytes
    );

    // Connections of which at least one end is still open.
    std::size_t open_connections() const;

    void note(std::string line);

    // Of every line so far, in order.
    std::uint64_t trace_hash() const noexcept { return trace_hash_; }

    // The last kTraceLinesMax lines.
    const std::deque<std::string>& trace() const noexcept { return trace_; }

    static constexpr std::size_t kTraceLinesMax = 2'000;

  private:
    friend class SimConnection;
    friend class SimDatagram;
    friend class SimNetwork;
    friend struct DatagramFlight;

    // Between addresses with ports cleared.
    bool is_cut(const io::SocketAddress& a, const io::SocketAddress& b) const;
    SimNetwork* find(const io::SocketAddress& address) const;
    SimConnection& make_connection(const io::SocketAddress& from, const io::SocketAddress& to);
    // sim_datagram.cpp
    void send_datagram(
        const io::SocketAddress& from, const io::SocketAddress& to, std::string_view bytes
    );
    void fly(io::SocketAddress from, io::SocketAddress to, std::string bytes, Duration latency);
    void land(DatagramFlight& flight);

    std::uint64_t seed_;
    core::Rng rng_;
    SimLoop loop_;
    FaultPlan default_plan_;
    FaultPlan local_plan_{.latency_min = {}, .latency_max = {}};
    using Link = std::pair<io::SocketAddress, io::SocketAddress>;  // smaller first
    static Link link(io::SocketAddress a, io::SocketAddress b);
    static Link link(std::string_view a, std::string_view b);
    std::map<Link, FaultPlan> plans_;
    std::set<Link> cuts_;
    std::map<io::SocketAddress, std::unique_ptr<SimNetwork>> hosts_;
    std::map<std::string, std::vector<io::SocketAddress>> names_;
    bool names_silent_ = false;
    std::vector<std::unique_ptr<SimConnection>> connections_;
    std::vector<std::unique_ptr<DatagramFlight>> flights_;
    std::deque<std::string> trace_;
    std::uint64_t trace_hash_ = 0;
};

}  // namespace datapunk::mesh::sim
