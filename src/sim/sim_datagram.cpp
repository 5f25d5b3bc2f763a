#include "sim/sim_datagram.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace datapunk::mesh::sim {

using io::IoResult;
using io::SocketAddress;

namespace {

SocketAddress host_of(SocketAddress address) {
    address.port = 0;
    return address;
}

bool is_any(const SocketAddress& address) {
    return std::all_of(address.ip.begin(), address.ip.end(), [](auto byte) { return byte == 0; });
}

}  // namespace

SimDatagram::SimDatagram(SimNetwork& host, SocketAddress at, std::optional<SocketAddress> peer)
    : host_(host), at_(at), peer_(peer) {
    host_.datagrams_[at_.port] = this;
}

SimDatagram::~SimDatagram() {
    MESH_ASSERT(receiver_ == nullptr);
    close();
}

void SimDatagram::close() {
    if (closed_) return;
    closed_ = true;
    host_.datagrams_.erase(at_.port);
    waiting_.clear();
    if (receiver_ != nullptr) loop().make_ready(on_receive_);
}

Result<> SimDatagram::send(
    std::string_view message, const SocketAddress& to, const SocketAddress& /*from*/
) {
    if (closed_) return Error{.code = Code::aborted, .what = "send: the socket is closed"};
    SocketAddress source = host_.self_;
    source.port = at_.port;
    SocketAddress target = peer_ ? *peer_ : to;
    if (target.is_loopback()) {
        const std::uint16_t port = target.port;
        target = host_.self_;
        target.port = port;
    }
    host_.world_.send_datagram(source, target, message);
    return Ok{};
}

void SimDatagram::arrive(const DatagramFlight& flight) {
    if (peer_) {
        SocketAddress peer = *peer_;
        if (peer.is_loopback()) peer.ip = host_.self_.ip, peer.is_v6 = host_.self_.is_v6;
        if (flight.from != peer) return;
    }
    if (flight.is_refusal) {
        if (!peer_) return;
        is_refused_ = true;
    } else if (waiting_.size() < kWaitingMax) {
        waiting_.push_back({.from = flight.from, .to = flight.to, .bytes = flight.bytes});
    }
    if (receiver_ != nullptr) loop().make_ready(on_receive_);
}

IoResult SimDatagram::receive_some(std::span<char> into, io::Received& out) {
    if (closed_) return {.state = IoResult::State::failed, .error = ECANCELED};
    if (std::exchange(is_refused_, false)) {
        return {.state = IoResult::State::failed, .error = ECONNREFUSED};
    }
    if (waiting_.empty()) return {.state = IoResult::State::would_block};
    const Message& first = waiting_.front();
    out.bytes = std::min(into.size(), first.bytes.size());
    out.is_cut = first.bytes.size() > into.size();
    out.from = first.from;
    out.to = first.to;
    std::copy_n(first.bytes.begin(), out.bytes, into.begin());
    waiting_.pop_front();
    return {.bytes = out.bytes};
}

void SimDatagram::set_receiver(io::IoWaiter* waiter) {
    MESH_ASSERT(waiter == nullptr || receiver_ == nullptr);
    receiver_ = waiter;
}

Result<io::DatagramPtr> SimNetwork::open_datagram(
    const SocketAddress& at, const io::DatagramOptions& options
) {
    SocketAddress here = host_of(at);
    int error = 0;
    if (!is_any(here) && !here.is_loopback() && here != self_) error = EADDRNOTAVAIL;
    if (error == 0 && at.port != 0 && datagrams_.contains(at.port)) error = EADDRINUSE;
    if (error != 0) {
        return Error{
            .code = error == EADDRINUSE ? Code::conflict : Code::invalid,
            .what = fmt::format("open UDP {}: {}", at.to_string(), std::strerror(error))
        };
    }
    here.port = at.port;
    // As the kernel does it: a port that an answer cannot be forged for without guessing.
    while (here.port == 0 || (at.port == 0 && datagrams_.contains(here.port))) {
        here.port = static_cast<std::uint16_t>(32'768 + world_.rng().below(28'232));
    }
    return io::DatagramPtr(std::make_unique<SimDatagram>(*this, here, options.peer));
}

void SimWorld::send_datagram(
    const SocketAddress& from, const SocketAddress& to, std::string_view bytes
) {
    const FaultPlan& faults = plan(host_of(from), host_of(to));
    const auto latency = [&] {
        const auto spread =
            static_cast<std::uint64_t>((faults.latency_max - faults.latency_min).count());
        return faults.latency_min + Duration(static_cast<std::int64_t>(rng_.below(spread + 1)));
    };
    note(fmt::format("{}>{} datagram {}", from.to_string(), to.to_string(), bytes.size()));
    const int copies = faults.datagram_twice > 0 && rng_.chance(faults.datagram_twice) ? 2 : 1;
    for (int i = 0; i < copies; ++i) {
        if (faults.loss > 0 && rng_.chance(faults.loss)) {
            note("  lost");
            continue;
        }
        std::string arriving(bytes);
        if (faults.datagram_cut > 0 && rng_.chance(faults.datagram_cut) && !bytes.empty()) {
            arriving.resize(rng_.below(bytes.size()));
        }
        fly(from, to, std::move(arriving), latency());
    }
}

void SimWorld::forge_datagram(
    const SocketAddress& from, const SocketAddress& to, std::string bytes
) {
    note(fmt::format("{}>{} forged {}", from.to_string(), to.to_string(), bytes.size()));
    fly(from, to, std::move(bytes), Duration::zero());
}

void SimWorld::fly(SocketAddress from, SocketAddress to, std::string bytes, Duration latency) {
    std::erase_if(flights_, [](const auto& flight) { return flight->is_over; });
    flights_.push_back(std::make_unique<DatagramFlight>(*this));
    DatagramFlight& flight = *flights_.back();
    flight.from = from;
    flight.to = to;
    flight.bytes = std::move(bytes);
    loop_.timers().arm(flight, loop_.now() + latency);
}

void SimWorld::land(DatagramFlight& flight) {
    flight.is_over = true;  // kept until the next one starts
    if (is_cut(host_of(flight.from), host_of(flight.to))) return;
    SimNetwork* host = find(host_of(flight.to));
    if (host == nullptr) return;
    const auto found = host->datagrams_.find(flight.to.port);
    if (found != host->datagrams_.end()) {
        found->second->arrive(flight);
        return;
    }
    if (flight.is_refusal) return;
    const Duration back = plan(host_of(flight.from), host_of(flight.to)).latency_min;
    const SocketAddress from = flight.from;
    const SocketAddress to = flight.to;
    fly(to, from, {}, back);
    flights_.back()->is_refusal = true;
}

}  // namespace datapunk::mesh::sim
