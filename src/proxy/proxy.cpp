#include "proxy/proxy.h"

#include <fmt/format.h>

#include "http/date.h"
#include "http/message_reader.h"
#include "metrics/names.h"
#include "proxy/exchange.h"
#include "wire/traceparent.h"

namespace datapunk::mesh::proxy {

using http::HeadRead;

namespace {

constexpr Duration kSweepInterval = std::chrono::seconds(1);
// After refusing a request its sender may still be writing: read that far before closing, or the
// reset would destroy the answer.
constexpr std::size_t kLingerBytesMax = 64UL * 1024;

}  // namespace

// One caller's connection: its requests in turn.
class Proxy::Connection : public core::ListNode {
  public:
    Connection(Proxy& proxy, ListenerState& listener, io::StreamPtr stream)
        : proxy_(proxy),
          listener_(listener),
          stream_(std::move(stream)),
          reader_(*stream_, {.head_bytes_max = listener.config.head_bytes_max}) {}

    io::Task<void> run();

    bool is_idle() const noexcept { return idle_; }

    void close() { stream_->close(); }

    void reset() { stream_->reset(); }

  private:
    io::Task<void> refuse(int status, ReplyReason reason, std::string_view text);

    Proxy& proxy_;
    ListenerState& listener_;
    io::StreamPtr stream_;
    http::MessageReader reader_;
    wire::http1::RequestHead head_;
    std::string scratch_;
    bool idle_ = true;
};

io::Task<void> Proxy::Connection::run() {
    const ListenerConfig& config = listener_.config;
    io::Loop& loop = proxy_.loop();
    for (;;) {
        idle_ = true;
        if (reader_.is_between_messages()) {
            reader_.release();
            auto ready = co_await stream_->readable(loop.now() + config.idle_timeout);
            if (!ready) break;
        }
        if (proxy_.draining_) break;
        idle_ = false;
        const Instant head_deadline = loop.now() + config.head_timeout;
        const HeadRead read = co_await reader_.read_request(head_, head_deadline);
        if (read == HeadRead::rejected) {
            const wire::http1::Reject why = reader_.why();
            proxy_.count_bad_request(listener_, why);
            const std::string text =
                fmt::format("the request is not acceptable HTTP/1.1: {}", to_string(why));
            co_await refuse(wire::http1::http_status(why), ReplyReason::malformed_request, text);
            break;
        }
        if (read == HeadRead::failed && reader_.error().code == Code::timeout) {
            co_await refuse(408, ReplyReason::request_timeout, "the request head took too long");
            break;
        }
        if (read != HeadRead::done) break;
        Exchange exchange(proxy_, listener_, reader_, head_, scratch_);
        const bool more = co_await exchange.run();
        if (!more) {
            if (!reader_.body_done()) co_await refuse(0, ReplyReason::malformed_request, {});
            break;
        }
        if (proxy_.draining_) break;
    }
    stream_->close();
}

// Says why (status 0: that has been said already) and closes so that the answer arrives.
io::Task<void> Proxy::Connection::refuse(int status, ReplyReason reason, std::string_view text) {
    io::Loop& loop = proxy_.loop();
    if (status != 0) {
        scratch_.clear();
        append_reply(
            scratch_, status, reason, text, http::http_date(loop.wall_now()), false, false
        );
        const io::Slices slices(scratch_);
        auto written = co_await stream_->write(slices, loop.now() + listener_.config.head_timeout);
        if (!written) co_return;
    }
    stream_->shutdown_write();
    const Instant deadline = loop.now() + std::chrono::seconds(1);
    std::size_t drained = 0;
    while (drained < kLingerBytesMax) {
        reader_.input().consume(reader_.input().data().size());
        auto got = co_await reader_.input().fill(http::kBlockBytes, deadline);
        if (!got || *got == 0) co_return;
        drained += *got;
    }
}

Proxy::Proxy(io::Network& network, const ProxyShared& shared)
    : network_(network),
      shared_(shared),
      shard_(shared.metrics.claim_shard()),
      pool_(network, shared.pool),
      idle_(network.loop()) {
    idle_.set();
    tasks_.spawn(sweep_loop());
}

Proxy::~Proxy() = default;

Result<io::SocketAddress> Proxy::listen(
    const ListenerConfig& config, const io::ListenOptions& options
) {
    auto address = io::parse_ip(config.address, config.port);
    if (!address) return std::move(address).error();
    auto listener = network_.listen(*address, options);
    if (!listener) return std::move(listener).error();
    auto state = std::make_unique<ListenerState>(
        config, ListenerMetrics(shared_.metrics, shard_, config.name)
    );
    state->listener = *std::move(listener);
    const io::SocketAddress local = state->listener->local();
    listeners_.push_back(std::move(state));
    tasks_.spawn(accept_loop(*listeners_.back()));
    return local;
}

io::Task<void> Proxy::accept_loop(ListenerState& listener) {
    for (;;) {
        auto stream = co_await listener.listener->accept();
        if (!stream) co_return;
        listener.metrics.connections.add();
        if (listener.open >= listener.config.connections_max) {
            (*stream)->reset();
            shared_.metrics
                .counter(
                    metrics::names::kBadRequests,
                    {listener.config.name, "too_many_connections"},
                    shard_
                )
                .add();
            continue;
        }
        tasks_.spawn(serve(listener, *std::move(stream)));
    }
}

io::Task<void> Proxy::serve(ListenerState& listener, io::StreamPtr stream) {
    struct Open {
        Open(Proxy& p, ListenerState& l, io::StreamPtr s)
            : proxy(p), listener(l), connection(p, l, std::move(s)) {
            proxy.open_.push_back(connection);
            ++proxy.open_count_;
            ++listener.open;
            listener.metrics.connections_open.add(1);
            proxy.idle_.clear();
        }

        ~Open() {
            --listener.open;
            listener.metrics.connections_open.add(-1);
            if (--proxy.open_count_ == 0) proxy.idle_.set();
        }

        Proxy& proxy;
        ListenerState& listener;
        Connection connection;
    };
    Open open(*this, listener, std::move(stream));
    co_await open.connection.run();
}

io::Task<void> Proxy::sweep_loop() {
    for (;;) {
        co_await io::sleep_for(loop(), kSweepInterval);
        pool_.sweep();
    }
}

io::Task<void> Proxy::drain(Instant deadline) {
    draining_ = true;
    for (const auto& listener : listeners_) listener->listener->close();
    open_.for_each([](Connection& connection) {
        if (connection.is_idle()) connection.close();
    });
    const bool drained = co_await idle_.wait(deadline);
    if (!drained) {
        shared_.log.warn(
            "drain deadline passed: cutting connections", {{"connections", open_count_}}
        );
        open_.for_each([](Connection& connection) { connection.reset(); });
    }
    pool_.clear();
}

Proxy::Routed Proxy::route(const ListenerState& listener, const wire::http1::RequestHead& request) {
    const routing::RouteRequest asked{
        .listener = listener.config.name,
        .host = request.host,
        .path = request.path,
        .method = request.method_text,
        .fields = request.fields
    };
    const routing::RouteMatch match = shared_.routes->find(asked);
    if (!match)
        return {
            .why_not = routing::explain(asked, match.why),
            .wrong_method = match.why == routing::NoRoute::method
        };
    Routed routed{.route = match.route};
    routed.service = shared_.services.find(match.split->pick(loop().rng()));
    if (match.route->rewrite_prefix) routed.target = routing::rewritten(*match.route, request.path);
    return routed;
}

ServiceMetrics& Proxy::metrics_of(const policy::ServicePolicies& service) {
    std::unique_ptr<ServiceMetrics>& metrics = service_metrics_[&service];
    if (metrics == nullptr) {
        metrics = std::make_unique<ServiceMetrics>(shared_.metrics, shard_, service.name());
    }
    return *metrics;
}

void Proxy::count_rejection(const policy::ServicePolicies& service, ReplyReason reason) {
    shared_.metrics
        .counter(metrics::names::kRequestsRejected, {service.name(), to_string(reason)}, shard_)
        .add();
}

void Proxy::count_bad_request(const ListenerState& listener, wire::http1::Reject why) {
    shared_.metrics
        .counter(metrics::names::kBadRequests, {listener.config.name, to_string(why)}, shard_)
        .add();
}

std::string Proxy::continue_trace(std::string_view received, bool& starts_trace) {
    const auto parent = wire::parse_traceparent(received);
    starts_trace = !parent.has_value();
    const wire::TraceParent ours =
        parent ? parent->child(loop().rng()) : wire::TraceParent::root(loop().rng(), false);
    std::string text;
    text.reserve(wire::TraceParent::kTextBytes);
    wire::append_traceparent(text, ours);
    return text;
}

}  // namespace datapunk::mesh::proxy
