#pragma once

// Proxy: one worker's data plane: listeners, connections from callers, pools to endpoints. Workers
// share the route table (immutable) and the services' policies (thread-safe); everything else is
// the worker's own. One loop's object.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/log.h"
#include "io/network.h"
#include "metrics/metric_registry.h"
#include "proxy/access_log.h"
#include "proxy/exchange_buffers.h"
#include "proxy/listener_config.h"
#include "proxy/replies.h"
#include "proxy/request_log.h"
#include "proxy/service_metrics.h"
#include "proxy/tls_door.h"
#include "proxy/upstream_pool.h"
#include "proxy/upstream_service.h"
#include "routing/route_table.h"
#include "wire/http1/message.h"

namespace datapunk::mesh::proxy {

struct ListenerState {
    ListenerState(ListenerConfig c, ListenerMetrics m)
        : config(std::move(c)), metrics(std::move(m)) {}

    ListenerConfig config;
    ListenerMetrics metrics;
    std::unique_ptr<io::Listener> listener;
    std::unique_ptr<TlsDoor> tls;  // null: callers speak plain text
    std::size_t open = 0;
    bool is_prepared = true;  // not accepting yet
    bool is_accepting = false;
    bool is_closing = false;  // no longer configured: what is open ends
    Instant cut_at = kNever;  // and what is left of that then is cut
};

// What is different after a change of configuration, for one worker.
struct ProxyChange {
    std::shared_ptr<const routing::RouteTable> routes;
    std::vector<ListenerConfig> changed;  // of listeners that stay; name, address, TLS or not and
                                          // protocol are as before
    std::vector<std::string> removed;     // listeners; they drain
    Instant cut_at = kNever;              // the end of that
};

class HttpConnection;
class Mirrors;

// What every worker is given.
struct ProxyShared {
    std::shared_ptr<const routing::RouteTable> routes;  // to begin with
    UpstreamServices& services;
    metrics::MetricRegistry& metrics;
    core::Logger log;
    UpstreamPoolConfig pool;
    RequestLog* requests = nullptr;   // to be explained; null: none are kept
    AccessLog* access_log = nullptr;  // null: nothing is written, whatever listeners say
};

class Tunnel;

class Proxy {
  public:
    // For what is idle, or almost, when it has to end.
    static constexpr Duration kCutTime = std::chrono::seconds(1);

    Proxy(io::Network& network, const ProxyShared& shared);
    ~Proxy();

    // Port 0 takes a free one; the address in use is returned.
    Result<io::SocketAddress> listen(
        const ListenerConfig& config, const io::ListenOptions& options
    );

    // A change of configuration while requests are under way, in two steps, so that nothing has
    // changed when another worker cannot: first what may fail, then all at once. Listeners that are
    // new take no connection in between; a removed one may be prepared anew under its name.
    // Requests in flight keep the route that they began with.
    Result<io::SocketAddress> prepare(
        const ListenerConfig& config, const io::ListenOptions& options
    );
    void abandon_prepared();
    void apply(const ProxyChange& change);

    // Stops accepting; idle connections close, exchanges in flight end and say `connection: close`.
    // What is left at the deadline is cut.
    io::Task<void> drain(Instant deadline);

    std::size_t connections() const noexcept { return open_count_; }

    // For Exchange and Http2Connection:
    struct Routed {
        const routing::Route* route = nullptr;         // null: none, see why_not
        const routing::RouteExtras* extras = nullptr;  // null: it only leads to a service
        policy::ServicePolicies* service = nullptr;  // null: the route has none, or it is not here
        std::string why_not;
        bool wrong_method = false;
    };

    // Kept by each request, so that its route stays while it lasts.
    using RoutesPtr = std::shared_ptr<const routing::RouteTable>;

    const RoutesPtr& routes() const noexcept { return routes_; }

    // Whether some route is for the request's host, whatever else it asks for.
    bool knows_host(const ListenerState& listener, const wire::http1::RequestHead& request) const;

    // `peer_ip`: the caller's.
    Routed route(
        const ListenerState& listener,
        const wire::http1::RequestHead& request,
        std::string_view peer_ip
    );
    UpstreamState& state_of(const policy::ServicePolicies& service);

    // Of requests that no service was found for: the label is "-".
    UpstreamState& unrouted() noexcept { return unrouted_; }

    // Counts an answer of our own: a bad request, or a rejection (of `service`, if one was found).
    void count_reply(
        const ListenerState& listener, const policy::ServicePolicies* service, ReplyReason reason
    );
    void count_bad_request(const ListenerState& listener, std::string_view why);
    void count_route_action(const routing::Route& route, std::string_view action);
    void count_grpc(
        const policy::ServicePolicies& service, std::string_view method, std::string_view status
    );
    // Appends the traceparent for the next hop; true if the caller sent none that is valid.
    bool continue_trace(std::string_view received, std::string& out);

    UpstreamPool& pool() noexcept { return pool_; }

    Mirrors& mirrors() noexcept { return *mirrors_; }

    BufferShelf& shelf() noexcept { return shelf_; }

    io::Loop& loop() noexcept { return network_.loop(); }

    // For TcpSession:
    io::Network& network() noexcept { return network_; }

    const ProxyShared& shared() const noexcept { return shared_; }

    metrics::Shard shard() const noexcept { return shard_; }

    std::uint64_t& tcp_connections() noexcept { return tcp_connections_; }

    const core::Logger& log() const noexcept { return shared_.log; }

    // A line for a request that took so long, if it is among those that are logged; `tell` is given
    // the share of such requests that are.
    template <class Tell>
    void log_access(bool failed, Duration took, const Tell& tell) {
        if (access_log_ == nullptr) return;
        const double share = access_log_->share_of(failed, took, loop().rng());
        if (share > 0) tell(*access_log_, share);
    }

    // Counted while it moves, and cut by the drain deadline.
    void follow(Tunnel& tunnel);

    // Null if requests are not kept.
    RequestRing* requests() noexcept { return requests_; }

    // Of this listener's connections: each ends after what it is doing.
    bool is_draining(const ListenerState& listener) const noexcept {
        return draining_ || listener.is_closing;
    }

  private:
    class Open;
    class TcpTable;

    void begin_accepting(ListenerState& listener);
    io::Task<void> accept_loop(ListenerState& listener);
    io::Task<void> serve(ListenerState& listener, io::StreamPtr stream);
    io::Task<void> relay(
        ListenerState& listener,
        io::StreamPtr& stream,
        ConnectionInfo& info,
        std::optional<std::string>& early
    );
    io::Task<bool> take_captured(
        ListenerState& listener, io::Stream& stream, ConnectionInfo& info, LoopGuard::Token& token
    );
    io::Task<bool> meet(ListenerState& listener, io::StreamPtr& stream, ConnectionInfo& info);
    io::Task<void> sweep_loop();
    void sweep_listeners();
    void use_routes(const RoutesPtr& routes);
    void close_idle_of(const ListenerState& listener, bool fresh_too);

    io::Network& network_;
    ProxyShared shared_;
    RoutesPtr routes_;  // counted by this worker alone
    RequestRing* requests_;
    std::unique_ptr<AccessLog::Worker> access_log_;
    metrics::Shard shard_;
    BufferShelf shelf_;
    UpstreamState unrouted_;
    std::unordered_map<const policy::ServicePolicies*, std::unique_ptr<UpstreamState>> states_;
    UpstreamPool pool_;
    std::unique_ptr<Mirrors> mirrors_;
    std::vector<std::unique_ptr<ListenerState>> listeners_;
    core::IntrusiveList<HttpConnection> open_;
    std::unique_ptr<TcpTable> tcp_;
    std::uint64_t tcp_connections_ = 0;  // to endpoints
    GrpcCounters grpc_;
    std::size_t open_count_ = 0;
    io::Event idle_;
    bool draining_ = false;
    io::TaskGroup tasks_;  // last: destroyed first
};

}  // namespace datapunk::mesh::proxy
