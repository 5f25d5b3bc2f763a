#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>

#include "sim/sim_connection.h"
#include "sim/sim_world.h"

namespace datapunk::mesh::sim {

using io::SocketAddress;

class SimListener final : public io::Listener {
  public:
    SimListener(SimNetwork& host, SocketAddress at, std::size_t backlog)
        : host_(host), at_(at), backlog_max_(std::max<std::size_t>(backlog, 1)), on_accept_(*this) {
        host_.listeners_[at.port] = this;
    }

    ~SimListener() override {
        MESH_ASSERT(acceptor_ == nullptr);
        close();
    }

    void close() override {
        if (closed_) return;
        closed_ = true;
        host_.listeners_.erase(at_.port);
        for (const auto& stream : waiting_) stream->reset();
        waiting_.clear();
        if (acceptor_ != nullptr) loop().make_ready(on_accept_);
    }

    SocketAddress local() const override { return at_; }

    io::Loop& loop() override { return host_.loop(); }

    bool is_full() const noexcept { return waiting_.size() >= backlog_max_; }

    void add(std::unique_ptr<SimStream> stream) {
        waiting_.push_back(std::move(stream));
        if (acceptor_ != nullptr) loop().make_ready(on_accept_);
    }

  private:
    struct OnAccept final : io::Ready {
        explicit OnAccept(SimListener& l) : listener(l) {}

        void run() override {
            if (listener.acceptor_ != nullptr) listener.acceptor_->retry();
        }

        SimListener& listener;
    };

    io::StreamPtr accept_some() override {
        if (waiting_.empty()) return nullptr;
        io::StreamPtr stream = std::move(waiting_.front());
        waiting_.pop_front();
        return stream;
    }

    bool is_closed() const override { return closed_; }

    void set_acceptor(io::IoWaiter* waiter) override {
        MESH_ASSERT(waiter == nullptr || acceptor_ == nullptr);
        acceptor_ = waiter;
    }

    SimNetwork& host_;
    SocketAddress at_;
    std::size_t backlog_max_;
    std::deque<std::unique_ptr<SimStream>> waiting_;
    io::IoWaiter* acceptor_ = nullptr;
    bool closed_ = false;
    OnAccept on_accept_;
};

namespace {

Duration draw_latency(core::Rng& rng, const FaultPlan& plan) {
    const auto spread = static_cast<std::uint64_t>((plan.latency_max - plan.latency_min).count());
    return plan.latency_min + Duration(static_cast<std::int64_t>(rng.below(spread + 1)));
}

bool is_any(const SocketAddress& address) {
    return std::all_of(address.ip.begin(), address.ip.end(), [](auto byte) { return byte == 0; });
}

Error connect_error(const SocketAddress& to, int error) {
    return {
        .code = error == ETIMEDOUT ? Code::timeout : Code::unavailable,
        .what = fmt::format("connect to {}: {}", to.to_string(), std::strerror(error)),
        .source = Source::upstream,
        .retryable = true
    };
}

}  // namespace

io::Loop& SimNetwork::loop() {
    return world_.loop();
}

SimListener* SimNetwork::listener_for(const SocketAddress& to, bool from_here) const {
    const auto found = listeners_.find(to.port);
    if (found == listeners_.end()) return nullptr;
    const SocketAddress at = found->second->local();
    if (at.is_loopback() && !from_here) return nullptr;
    return found->second;
}

std::uint16_t SimNetwork::free_port() {
    do {
        next_port_ = next_port_ == 65'535 ? 49'152 : static_cast<std::uint16_t>(next_port_ + 1);
    } while (listeners_.contains(next_port_));
    return next_port_;
}

io::Task<Result<io::StreamPtr>> SimNetwork::connect(SocketAddress to, Instant deadline) {
    SocketAddress target = to;
    if (to.is_loopback()) target.ip = self_.ip, target.is_v6 = self_.is_v6;
    target.port = 0;
    SocketAddress from = self_;
    from.port = free_port();
    const auto note = [&](std::string_view what) {
        world_.note(fmt::format("{}>{} {}", from.to_string(), to.to_string(), what));
    };
    const Instant gives_up = std::min(deadline, loop().now() + world_.plan(self_, target).give_up);
    const bool unheard = world_.rng().chance(world_.plan(self_, target).blackhole);
    note(unheard ? "connect, unheard" : "connect");
    for (;;) {
        const FaultPlan plan = world_.plan(self_, target);
        const Duration there = draw_latency(world_.rng(), plan);
        const Duration back = draw_latency(world_.rng(), plan);
        co_await io::sleep_until(loop(), std::min(gives_up, loop().now() + there));
        SimNetwork* host = world_.find(target);
        SimListener* listener = host == nullptr ? nullptr : host->listener_for(to, target == self_);
        const bool lost = unheard || world_.is_cut(self_, target) ||
                          (listener != nullptr && listener->is_full()) ||
                          world_.rng().chance(plan.loss);
        if (lost && loop().now() < gives_up) {
            co_await io::sleep_until(loop(), std::min(gives_up, loop().now() + plan.retransmit));
        }
        if (loop().now() >= gives_up) {
            note("connect timed out");
            co_return connect_error(to, ETIMEDOUT);
        }
        if (lost) continue;
        const bool refused = listener == nullptr || world_.rng().chance(plan.refuse);
        if (refused) {
            co_await io::sleep_for(loop(), back);
            note("refused");
            co_return connect_error(to, ECONNREFUSED);
        }
        SocketAddress far_end = target;
        far_end.port = to.port;
        SimConnection& connection = world_.make_connection(from, far_end);
        io::StreamPtr stream = connection.make_stream(0);
        listener->add(connection.make_stream(1));
        co_await io::sleep_for(loop(), back);
        note("connected");
        co_return std::move(stream);
    }
}

Result<std::unique_ptr<io::Listener>> SimNetwork::listen(
    const SocketAddress& at, const io::ListenOptions& options
) {
    SocketAddress here = at;
    here.port = 0;
    int error = 0;
    if (!is_any(here) && !here.is_loopback() && here != self_) error = EADDRNOTAVAIL;
    if (error == 0 && listeners_.contains(at.port)) error = EADDRINUSE;
    if (error != 0) {
        return Error{
            .code = error == EADDRINUSE ? Code::conflict : Code::invalid,
            .what = fmt::format("listen on {}: {}", at.to_string(), std::strerror(error))
        };
    }
    here.port = at.port == 0 ? free_port() : at.port;
    return std::unique_ptr<io::Listener>(
        new SimListener(*this, here, static_cast<std::size_t>(options.backlog))
    );
}

io::Task<Result<std::vector<SocketAddress>>> SimNetwork::resolve(
    std::string host, std::uint16_t port, Instant deadline
) {
    if (auto literal = io::parse_ip(host, port); literal) {
        co_return std::vector<SocketAddress>{*literal};
    }
    if (world_.names_silent_) {
        co_await io::sleep_until(loop(), deadline);
        co_return Error{
            .code = Code::timeout,
            .what = fmt::format("resolve {}: no answer before the deadline", host),
            .source = Source::upstream,
            .retryable = true
        };
    }
    co_await io::sleep_for(loop(), draw_latency(world_.rng(), world_.default_plan_));
    const auto found = world_.names_.find(host);
    if (found == world_.names_.end() || found->second.empty()) {
        co_return Error{
            .code = Code::unavailable,
            .what = fmt::format("resolve {}: Name or service not known", host),
            .source = Source::upstream,
            .retryable = true
        };
    }
    std::vector<SocketAddress> addresses = found->second;
    for (SocketAddress& address : addresses) address.port = port;
    co_return addresses;
}

}  // namespace datapunk::mesh::sim
