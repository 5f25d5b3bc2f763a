#include "sim/sim_connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

namespace datapunk::mesh::sim {

using io::IoResult;
using io::SocketAddress;

namespace {

SocketAddress host_of(SocketAddress address) {
    address.port = 0;
    return address;
}

}  // namespace

SimConnection::SimConnection(SimWorld& world, SocketAddress client, SocketAddress server)
    : world_(world),
      ends_{{.address = client}, {.address = server}},
      flows_{{*this, 0}, {*this, 1}} {}

std::unique_ptr<SimStream> SimConnection::make_stream(int side) {
    auto stream = std::make_unique<SimStream>(*this, side);
    ends_[side].stream = stream.get();
    return stream;
}

const FaultPlan& SimConnection::plan() const {
    return world_.plan(host_of(ends_[0].address), host_of(ends_[1].address));
}

bool SimConnection::is_finished() const noexcept {
    return ends_[0].stream == nullptr && ends_[1].stream == nullptr &&
           flows_[0].in_flight.empty() && flows_[1].in_flight.empty();
}

bool SimConnection::touches(const SocketAddress& ip) const {
    return host_of(ends_[0].address) == ip || host_of(ends_[1].address) == ip;
}

void SimConnection::note(int from, std::string_view what, std::size_t bytes) {
    world_.note(fmt::format(
        "{}>{} {} {}",
        ends_[from].address.to_string(),
        ends_[1 - from].address.to_string(),
        what,
        bytes
    ));
}

void SimConnection::wake(int side) {
    if (ends_[side].stream != nullptr) ends_[side].stream->wake();
}

void SimConnection::fail(int side, int error) {
    if (ends_[side].error == 0) ends_[side].error = error;
    drop_flow(1 - side);
    wake(side);
}

// What was on its way to `to` never comes.
void SimConnection::drop_flow(int to) {
    Flow& flow = flows_[to];
    for (const Segment& segment : flow.in_flight) flow.bytes -= segment.bytes.size();
    flow.in_flight.clear();
    flow.cancel();
}

void SimConnection::reset_both() {
    if (!is_open()) return;
    note(0, "reset", 0);
    for (const int side : {0, 1}) fail(side, ECONNRESET);
}

void SimConnection::kill_end(const SocketAddress& ip) {
    for (const int side : {0, 1}) {
        if (host_of(ends_[side].address) != ip) continue;
        ends_[side].open = false;
        ends_[side].has_finished = true;
        fail(side, ECONNRESET);
    }
}

void SimConnection::send(int from, Kind kind, std::string bytes) {
    const FaultPlan& faults = plan();
    core::Rng& rng = world_.rng();
    Flow& flow = flows_[1 - from];
    const Instant now = world_.loop().now();
    const auto spread =
        static_cast<std::uint64_t>((faults.latency_max - faults.latency_min).count());
    Duration latency =
        faults.latency_min + Duration(static_cast<std::int64_t>(rng.below(spread + 1)));
    Instant leaves = now;
    if (faults.bytes_per_second > 0) {
        leaves = std::max(now, flow.line_free);
        const double seconds =
            static_cast<double>(bytes.size()) / static_cast<double>(faults.bytes_per_second);
        leaves += std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
        flow.line_free = leaves;
    }
    while (rng.chance(faults.loss) && latency < faults.give_up) {
        note(from, "lost", bytes.size());
        latency += faults.retransmit;
    }
    Instant arrives = leaves + latency;
    if (!flow.in_flight.empty()) arrives = std::max(arrives, flow.in_flight.back().arrives);
    const bool was_idle = flow.in_flight.empty();
    flow.bytes += bytes.size();
    flow.in_flight.push_back(
        {.kind = kind, .bytes = std::move(bytes), .sent = now, .arrives = arrives}
    );
    if (was_idle) world_.loop().timers().arm(flow, arrives);
}

// A cut line keeps the sender repeating itself, until it gives up.
bool SimConnection::hold_if_cut(Flow& flow) {
    const int from = 1 - flow.to;
    if (!world_.is_cut(host_of(ends_[0].address), host_of(ends_[1].address))) return false;
    const Instant now = world_.loop().now();
    if (now - flow.in_flight.front().sent >= plan().give_up) {
        note(from, "gave up", flow.in_flight.front().bytes.size());
        fail(from, ETIMEDOUT);
        return true;
    }
    note(from, "cut", flow.in_flight.front().bytes.size());
    flow.in_flight.front().arrives = now + plan().retransmit;
    return true;
}

void SimConnection::arrive(int to) {
    Flow& flow = flows_[to];
    const Instant now = world_.loop().now();
    while (!flow.in_flight.empty() && flow.in_flight.front().arrives <= now) {
        if (hold_if_cut(flow)) break;
        Segment segment = std::move(flow.in_flight.front());
        flow.in_flight.pop_front();
        deliver(flow, std::move(segment));
    }
    if (!flow.in_flight.empty()) {
        world_.loop().timers().arm(flow, flow.in_flight.front().arrives);
    }
}

void SimConnection::deliver(Flow& flow, Segment segment) {
    const int to = flow.to;
    note(
        1 - to,
        segment.kind == Kind::data  ? "data"
        : segment.kind == Kind::fin ? "fin"
                                    : "rst",
        segment.bytes.size()
    );
    if (!ends_[to].open) {
        flow.bytes -= segment.bytes.size();
        if (segment.kind == Kind::data) {
            drop_flow(to);
            send(to, Kind::rst, {});
        }
        return;
    }
    if (segment.kind == Kind::rst) {
        fail(to, ECONNRESET);
        return;
    }
    if (segment.kind == Kind::fin) flow.ended = true;
    flow.arrived += segment.bytes;
    wake(to);
}

void SimConnection::close_end(int side, bool hard) {
    End& end = ends_[side];
    if (!end.open) return;
    end.open = false;
    Flow& incoming = flows_[side];
    const bool unread = !incoming.arrived.empty();
    incoming.bytes -= incoming.arrived.size();
    incoming.arrived.clear();
    if (end.error != 0) return;
    if (hard || unread) {
        drop_flow(1 - side);  // an abort discards what was not sent
        send(side, Kind::rst, {});
    } else if (!end.has_finished) {
        send(side, Kind::fin, {});
    }
    end.has_finished = true;
}

IoResult SimConnection::read_some(int side, std::span<char> into) {
    Flow& flow = flows_[side];
    if (flow.arrived.empty()) {
        if (const int error = ends_[side].error; error != 0) {
            return {.state = IoResult::State::failed, .error = error};
        }
        if (flow.ended) return {};
        return {.state = IoResult::State::would_block};
    }
    std::size_t take = std::min(into.size(), flow.arrived.size());
    if (world_.rng().chance(plan().short_read)) take = 1 + world_.rng().below(take);
    std::copy_n(flow.arrived.begin(), take, into.begin());
    flow.arrived.erase(0, take);
    flow.bytes -= take;
    wake(1 - side);  // there is room again
    return {.bytes = take};
}

IoResult SimConnection::write_some(int side, const iovec* pieces, std::size_t count) {
    if (const int error = ends_[side].error; error != 0) {
        return {.state = IoResult::State::failed, .error = error};
    }
    if (ends_[side].has_finished) return {.state = IoResult::State::failed, .error = EPIPE};
    const FaultPlan& faults = plan();
    const Flow& flow = flows_[1 - side];
    if (flow.bytes >= faults.buffer_bytes) return {.state = IoResult::State::would_block};
    std::size_t room = faults.buffer_bytes - flow.bytes;
    if (world_.rng().chance(faults.short_write)) room = 1 + world_.rng().below(room);
    std::string bytes;
    for (std::size_t i = 0; i < count && bytes.size() < room; ++i) {
        bytes.append(
            static_cast<const char*>(pieces[i].iov_base),
            std::min(pieces[i].iov_len, room - bytes.size())
        );
    }
    for (std::size_t at = 0; at < bytes.size(); at += faults.segment_bytes_max) {
        send(side, Kind::data, bytes.substr(at, faults.segment_bytes_max));
        if (world_.rng().chance(faults.reset)) {
            reset_both();
            break;
        }
    }
    return {.bytes = bytes.size()};
}

SimStream::~SimStream() {
    MESH_ASSERT(reader_ == nullptr && writer_ == nullptr);
    if (!closed_) connection_.close_end(side_, false);
    connection_.ends_[side_].stream = nullptr;
}

IoResult SimStream::read_some(std::span<char> into) {
    if (closed_) return {.state = IoResult::State::failed, .error = ECANCELED};
    return connection_.read_some(side_, into);
}

IoResult SimStream::write_some(const iovec* pieces, std::size_t count) {
    if (closed_) return {.state = IoResult::State::failed, .error = ECANCELED};
    return connection_.write_some(side_, pieces, count);
}

bool SimStream::maybe_readable() {
    const auto& flow = connection_.flows_[side_];
    return closed_ || !flow.arrived.empty() || flow.ended || connection_.ends_[side_].error != 0;
}

void SimStream::set_reader(io::IoWaiter* waiter) {
    MESH_ASSERT(waiter == nullptr || reader_ == nullptr);
    reader_ = waiter;
}

void SimStream::set_writer(io::IoWaiter* waiter) {
    MESH_ASSERT(waiter == nullptr || writer_ == nullptr);
    writer_ = waiter;
}

void SimStream::shutdown_write() {
    auto& end = connection_.ends_[side_];
    if (closed_ || end.has_finished || end.error != 0) return;
    end.has_finished = true;
    connection_.send(side_, SimConnection::Kind::fin, {});
}

void SimStream::close() {
    if (closed_) return;
    closed_ = true;
    connection_.close_end(side_, false);
    wake();
}

void SimStream::reset() {
    if (closed_) return;
    closed_ = true;
    connection_.close_end(side_, true);
    wake();
}

SocketAddress SimStream::peer() const {
    return connection_.ends_[1 - side_].address;
}

SocketAddress SimStream::local() const {
    return connection_.ends_[side_].address;
}

io::Loop& SimStream::loop() {
    return connection_.world_.loop();
}

void SimStream::wake() {
    if (reader_ != nullptr) loop().make_ready(on_read_);
    if (writer_ != nullptr) loop().make_ready(on_write_);
}

}  // namespace datapunk::mesh::sim
