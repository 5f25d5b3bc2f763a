#include "proxy/proxy.h"

#include <algorithm>

#include "core/block_pool.h"
#include "http/input.h"
#include "metrics/names.h"
#include "proxy/affinity.h"
#include "proxy/exchange.h"
#include "proxy/http_connection.h"
#include "proxy/identity.h"
#include "proxy/mirrors.h"
#include "proxy/proxy_header.h"
#include "proxy/tcp_session.h"
#include "proxy/tunnel.h"
#include "wire/http2/session.h"
#include "wire/spiffe_id.h"
#include "wire/traceparent.h"

namespace datapunk::mesh::proxy {

namespace {

constexpr Duration kSweepInterval = std::chrono::seconds(1);
routing::RouteRequest asked_of(
    const ListenerState& listener, const wire::http1::RequestHead& request
) {
    return {
        .listener = listener.config.name,
        .host = request.host,
        .path = request.path,
        .method = request.method_text,
        .fields = request.fields,
        .preflight_method = routing::preflight_method(request)
    };
}

}  // namespace

// What is relayed: connections of listeners that speak tcp, and those that were upgraded.
class Proxy::TcpTable {
  public:
    core::IntrusiveList<TcpSession> sessions;
    core::IntrusiveList<Tunnel> tunnels;
};

namespace {

// Once a connection: none of it changes.
void identify(const io::TlsStream& stream, ConnectionInfo& info) {
    const io::TlsPeer peer = stream.peer_identity();
    info.identity = identity_of(peer);
    info.certificate = forwarded_certificate(peer, info.identity);
}

}  // namespace

// Counts a connection for as long as it lives, its handshake included.
class Proxy::Open {
  public:
    Open(Proxy& proxy, ListenerState& listener) : proxy_(proxy), listener_(listener) {
        ++proxy_.open_count_;
        ++listener_.open;
        listener_.metrics.connections_open.add(1);
        proxy_.idle_.clear();
    }

    Open(const Open&) = delete;
    Open& operator=(const Open&) = delete;

    ~Open() {
        --listener_.open;
        listener_.metrics.connections_open.add(-1);
        if (--proxy_.open_count_ == 0) proxy_.idle_.set();
    }

  private:
    Proxy& proxy_;
    ListenerState& listener_;
};

Proxy::Proxy(io::Network& network, const ProxyShared& shared)
    : network_(network),
      shared_(shared),
      requests_(shared.requests == nullptr ? nullptr : &shared.requests->add_worker()),
      access_log_(shared.access_log == nullptr ? nullptr : shared.access_log->add_worker()),
      shard_(shared.metrics.claim_shard()),
      unrouted_{
          .metrics = ServiceMetrics(shared.metrics, shard_, "-"),
          .use = upstream_use(shared.metrics, shard_, "-")
      },
      pool_(network, shared.pool),
      mirrors_(std::make_unique<Mirrors>(*this)),
      tcp_(std::make_unique<TcpTable>()),
      idle_(network.loop()) {
    use_routes(shared.routes);
    idle_.set();
    tasks_.spawn(sweep_loop());
}

Proxy::~Proxy() = default;

Result<io::SocketAddress> Proxy::listen(
    const ListenerConfig& config, const io::ListenOptions& options
) {
    auto address = prepare(config, options);
    if (address) begin_accepting(*listeners_.back());
    return address;
}

Result<io::SocketAddress> Proxy::prepare(
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
    if (config.tls.contexts != nullptr) {
        state->tls = std::make_unique<TlsDoor>(state->config, shared_.metrics, shard_, shared_.log);
    }
    const io::SocketAddress local = state->listener->local();
    listeners_.push_back(std::move(state));
    return local;
}

void Proxy::begin_accepting(ListenerState& listener) {
    listener.is_prepared = false;
    listener.is_accepting = true;
    tasks_.spawn(accept_loop(listener));
}

void Proxy::abandon_prepared() {
    std::erase_if(listeners_, [](const auto& listener) { return listener->is_prepared; });
}

void Proxy::apply(const ProxyChange& change) {
    use_routes(change.routes);
    if (draining_) return;  // all listeners close
    for (const auto& listener : listeners_) {
        if (listener->is_prepared || listener->is_closing) continue;
        const std::string& name = listener->config.name;
        for (const ListenerConfig& changed : change.changed) {
            if (changed.name == name) listener->config = changed;
        }
        const auto& removed = change.removed;
        if (std::find(removed.begin(), removed.end(), name) == removed.end()) continue;
        listener->is_closing = true;
        listener->cut_at = change.cut_at;
        listener->listener->close();
        close_idle_of(*listener, false);
    }
    // What is prepared comes after what it replaces. While this loop turns, nothing is added.
    for (const auto& listener : listeners_) {
        if (listener->is_prepared) begin_accepting(*listener);
    }
}

// A reference count of its own: workers that share one would pass its cache line to and fro.
void Proxy::use_routes(const RoutesPtr& routes) {
    routes_ = RoutesPtr(routes.get(), [routes](const routing::RouteTable*) {});
}

void Proxy::close_idle_of(const ListenerState& listener, bool fresh_too) {
    open_.for_each([&](HttpConnection& connection) {
        if (!connection.is_of(listener)) return;
        if (fresh_too || !connection.is_fresh()) connection.close_if_idle();
    });
}

// Those that are no longer configured, once a second.
void Proxy::sweep_listeners() {
    for (const auto& listener : listeners_) {
        if (!listener->is_closing || listener->open == 0) continue;
        close_idle_of(*listener, true);
        if (loop().now() < listener->cut_at) continue;
        shared_.log.warn(
            "a removed listener's drain deadline passed: cutting connections",
            {{"listener", listener->config.name}, {"connections", listener->open}}
        );
        open_.for_each([&](HttpConnection& connection) {
            if (connection.is_of(*listener)) connection.reset();
        });
        tcp_->sessions.for_each([&](TcpSession& session) {
            if (session.is_of(*listener)) session.cut();
        });
        tcp_->tunnels.for_each([&](Tunnel& tunnel) { tunnel.cut_if_of(*listener); });
    }
    std::erase_if(listeners_, [](const auto& listener) {
        return listener->is_closing && listener->open == 0 && !listener->is_accepting;
    });
}

io::Task<void> Proxy::accept_loop(ListenerState& listener) {
    for (;;) {
        auto stream = co_await listener.listener->accept();
        if (!stream) break;
        listener.metrics.connections.add();
        if (listener.open >= listener.config.connections_max) {
            (*stream)->reset();
            count_bad_request(listener, "too_many_connections");
            continue;
        }
        tasks_.spawn(serve(listener, *std::move(stream)));
    }
    listener.is_accepting = false;  // the last touch: one that is closing may go
}

io::Task<void> Proxy::serve(ListenerState& listener, io::StreamPtr stream) {
    const Open open(*this, listener);
    ConnectionInfo info;
    LoopGuard::Token token;
    const bool is_others = co_await take_captured(listener, *stream, info, token);
    if (!is_others) co_return;
    const bool is_met = co_await meet(listener, stream, info);
    if (!is_met) co_return;
    std::optional<std::string> early;
    if (!listener.config.tcp.is_on) {
        const auto connection = std::make_unique<HttpConnection>(*this, listener, *stream, info);
        open_.push_back(*connection);
        co_await connection->run();
        if (!connection->goes_elsewhere()) co_return;
        early = connection->take_early();
    }
    co_await relay(listener, stream, info, early);
}

// A frame of its own, and nothing in serve()'s: idle connections are to be small.
io::Task<void> Proxy::relay(
    ListenerState& listener,
    io::StreamPtr& stream,
    ConnectionInfo& info,
    std::optional<std::string>& early
) {
    TcpSession session(*this, listener, std::move(stream), std::move(info));
    tcp_->sessions.push_back(session);
    if (early) {
        co_await session.run_on(*std::move(early));
    } else {
        co_await session.run();
    }
}

// Who has come, by PROXY header, then by TLS, as the listener wants it.
io::Task<bool> Proxy::meet(ListenerState& listener, io::StreamPtr& stream, ConnectionInfo& info) {
    info.from = stream->peer();
    if (listener.config.tcp.send_proxy != SendProxy::none && !info.is_captured)
        info.to = stream->local();
    const auto& proxies = listener.config.proxy_from;
    const bool is_proxied = std::any_of(proxies.begin(), proxies.end(), [&](const auto& range) {
        return range.contains(info.from);
    });
    if (is_proxied) {
        const Instant deadline = loop().now() + listener.config.head_timeout;
        auto header = co_await read_proxy_header(*stream, deadline);
        if (!header) {
            count_bad_request(listener, "proxy_protocol");
            stream->reset();
            co_return false;
        }
        if (header->source) info.from = to_socket_address(*header->source);
        if (header->destination && !info.is_captured)
            info.to = to_socket_address(*header->destination);
    }
    info.ip = info.from.ip_text();
    if (listener.tls == nullptr) co_return true;
    auto secure = co_await listener.tls->enter(std::move(stream), info.ip);
    if (secure == nullptr) co_return false;
    info.is_secure = true;
    info.protocol = secure->alpn();
    info.server_name = secure->server_name();
    identify(*secure, info);
    stream = std::move(secure);
    co_return true;
}

io::Task<void> Proxy::sweep_loop() {
    for (;;) {
        co_await io::sleep_for(loop(), kSweepInterval);
        pool_.sweep();
        shelf_.sweep();
        core::sweep_blocks();
        http::sweep_free_blocks();
        wire::http2::sweep_kept_streams();
        io::sweep_relay_buffers();
        sweep_listeners();
        tcp_->sessions.for_each([](TcpSession& session) { session.count_bytes(); });
        tcp_->tunnels.for_each([](Tunnel& tunnel) { tunnel.count_bytes(); });
    }
}

void Proxy::follow(Tunnel& tunnel) {
    tcp_->tunnels.push_back(tunnel);
}

io::Task<void> Proxy::drain(Instant deadline) {
    draining_ = true;
    for (const auto& listener : listeners_) listener->listener->close();
    // Who has had an answer knows that an idle connection may be closed. Who has just connected has
    // its first request on the way.
    open_.for_each([](HttpConnection& connection) {
        if (!connection.is_fresh()) connection.close_if_idle();
    });
    bool drained = co_await idle_.wait(std::min(deadline, loop().now() + kCutTime));
    if (!drained) {
        open_.for_each([](HttpConnection& connection) { connection.close_if_idle(); });
        drained = co_await idle_.wait(deadline);
    }
    if (!drained) {
        shared_.log.warn(
            "drain deadline passed: cutting connections", {{"connections", open_count_}}
        );
        tcp_->tunnels.for_each([](Tunnel& tunnel) { tunnel.cut(); });
        open_.for_each([](HttpConnection& connection) { connection.reset(); });
        tcp_->sessions.for_each([](TcpSession& session) { session.cut(); });
        // Their exchanges notice it and end.
        co_await idle_.wait(loop().now() + kCutTime);
    }
    pool_.clear();
}

bool Proxy::knows_host(const ListenerState& listener, const wire::http1::RequestHead& request)
    const {
    return routes_->find(asked_of(listener, request)).why != routing::NoRoute::host;
}

Proxy::Routed Proxy::route(
    const ListenerState& listener, const wire::http1::RequestHead& request, std::string_view peer_ip
) {
    const routing::RouteRequest asked = asked_of(listener, request);
    const routing::RouteMatch match = routes_->find(asked);
    if (!match)
        return {
            .why_not = routing::explain(asked, match.why),
            .wrong_method = match.why == routing::NoRoute::method
        };
    Routed routed{.route = match.route, .extras = match.extras};
    if (match.split == nullptr) return routed;
    const auto key = affinity_hash(match.route->sticky, request, peer_ip);
    const std::string& target = key ? match.split->pick(*key) : match.split->pick(loop().rng());
    routed.service = shared_.services.find(target);
    return routed;
}

UpstreamState& Proxy::state_of(const policy::ServicePolicies& service) {
    std::unique_ptr<UpstreamState>& state = states_[&service];
    if (state == nullptr) {
        state = std::make_unique<UpstreamState>(UpstreamState{
            .metrics = ServiceMetrics(shared_.metrics, shard_, service.name()),
            .use = upstream_use(shared_.metrics, shard_, service.name())
        });
        state->use.quota = &shared_.services.connections_of(service);
        if (const UpstreamTls& tls = shared_.services.tls_of(service); tls.contexts != nullptr) {
            state->use.tls =
                std::make_unique<UpstreamTlsUse>(tls, shared_.metrics, shard_, service.name());
        }
    }
    return *state;
}

void Proxy::count_reply(
    const ListenerState& listener, const policy::ServicePolicies* service, ReplyReason reason
) {
    switch (reason) {
        case ReplyReason::malformed_request:
        case ReplyReason::body_too_large:
        case ReplyReason::request_timeout:
        case ReplyReason::method_not_proxied:
            count_bad_request(listener, to_string(reason));
            return;
        case ReplyReason::redirect:
        case ReplyReason::direct_response:
        case ReplyReason::fault:
        case ReplyReason::fallback:
        case ReplyReason::cors_preflight:
        case ReplyReason::cors_refused:
            return;  // count_route_action()
        default:
            break;
    }
    const std::string_view name =
        service == nullptr ? std::string_view("-") : std::string_view(service->name());
    shared_.metrics.counter(metrics::names::kRequestsRejected, {name, to_string(reason)}, shard_)
        .add();
}

void Proxy::count_bad_request(const ListenerState& listener, std::string_view why) {
    shared_.metrics.counter(metrics::names::kBadRequests, {listener.config.name, why}, shard_)
        .add();
}

void Proxy::count_route_action(const routing::Route& route, std::string_view action) {
    shared_.metrics.counter(metrics::names::kRouteActions, {route.name, action}, shard_).add();
}

void Proxy::count_grpc(
    const policy::ServicePolicies& service, std::string_view method, std::string_view status
) {
    grpc_.add(shared_.metrics, shard_, service.name(), method, status);
}

bool Proxy::continue_trace(std::string_view received, std::string& out) {
    const auto parent = wire::parse_traceparent(received);
    const wire::TraceParent ours =
        parent ? parent->child(loop().rng()) : wire::TraceParent::root(loop().rng(), false);
    wire::append_traceparent(out, ours);
    return !parent.has_value();
}

}  // namespace datapunk::mesh::proxy
