#include "sim/sim_world.h"

#include <fmt/format.h>

#include "core/assert.h"
#include "core/hash.h"
#include "sim/run.h"
#include "sim/sim_connection.h"
#include "sim/sim_datagram.h"

namespace datapunk::mesh::sim {

using io::SocketAddress;

namespace {

// The test's own text: a wrong one is a defect of the test.
SocketAddress address_of(std::string_view ip) {
    const auto address = io::parse_ip(ip, 0);
    MESH_ASSERT(address.ok());
    return *address;
}

}  // namespace

SimWorld::SimWorld(std::uint64_t seed) : seed_(seed), rng_(seed), loop_(seed + 1) {}

SimWorld::~SimWorld() = default;

std::string SimWorld::hint() const {
    return seed_hint(seed_);
}

SimNetwork& SimWorld::host(std::string_view ip) {
    const SocketAddress address = address_of(ip);
    auto& host = hosts_[address];
    if (host == nullptr) host = std::make_unique<SimNetwork>(*this, address);
    return *host;
}

SimNetwork* SimWorld::find(const SocketAddress& address) const {
    const auto found = hosts_.find(address);
    return found == hosts_.end() ? nullptr : found->second.get();
}

void SimWorld::set_name(std::string name, const std::vector<std::string_view>& ips) {
    std::vector<SocketAddress> addresses;
    for (const std::string_view ip : ips) addresses.push_back(address_of(ip));
    names_[std::move(name)] = std::move(addresses);
}

SimWorld::Link SimWorld::link(SocketAddress a, SocketAddress b) {
    return a < b ? Link(a, b) : Link(b, a);
}

SimWorld::Link SimWorld::link(std::string_view a, std::string_view b) {
    return link(address_of(a), address_of(b));
}

void SimWorld::set_plan(std::string_view a, std::string_view b, const FaultPlan& plan) {
    plans_[link(a, b)] = plan;
}

const FaultPlan& SimWorld::plan(const SocketAddress& a, const SocketAddress& b) const {
    const auto found = plans_.find(link(a, b));
    if (found != plans_.end()) return found->second;
    return a == b ? local_plan_ : default_plan_;
}

void SimWorld::partition(std::string_view a, std::string_view b) {
    note(fmt::format("partition {} {}", a, b));
    cuts_.insert(link(a, b));
}

void SimWorld::heal(std::string_view a, std::string_view b) {
    note(fmt::format("heal {} {}", a, b));
    cuts_.erase(link(a, b));
}

bool SimWorld::is_cut(const SocketAddress& a, const SocketAddress& b) const {
    if (cuts_.contains(link(a, b))) return true;
    for (const SocketAddress& end : {a, b}) {
        const SimNetwork* host = find(end);
        if (host == nullptr || host->is_down_) return true;
    }
    return false;
}

void SimWorld::kill(std::string_view ip) {
    note(fmt::format("kill {}", ip));
    SimNetwork& dead = host(ip);
    dead.is_down_ = true;
    for (const auto& connection : connections_) connection->kill_end(dead.self_);
}

void SimWorld::revive(std::string_view ip) {
    note(fmt::format("revive {}", ip));
    host(ip).is_down_ = false;
}

void SimWorld::reset_connections(std::string_view ip) {
    const SocketAddress address = address_of(ip);
    for (const auto& connection : connections_) {
        if (connection->touches(address)) connection->reset_both();
    }
}

std::size_t SimWorld::open_connections() const {
    std::size_t open = 0;
    for (const auto& connection : connections_) open += connection->is_open() ? 1U : 0U;
    return open;
}

SimConnection& SimWorld::make_connection(const SocketAddress& from, const SocketAddress& to) {
    std::erase_if(connections_, [](const auto& connection) { return connection->is_finished(); });
    connections_.push_back(std::make_unique<SimConnection>(*this, from, to));
    return *connections_.back();
}

void SimWorld::note(std::string line) {
    const auto since = loop_.now().time_since_epoch();
    line = fmt::format(
        "{:>7}ms {}", std::chrono::duration_cast<std::chrono::milliseconds>(since).count(), line
    );
    trace_hash_ = core::hash64(line, trace_hash_);
    trace_.push_back(std::move(line));
    if (trace_.size() > kTraceLinesMax) trace_.pop_front();
}

}  // namespace datapunk::mesh::sim
