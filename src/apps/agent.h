#pragma once

// Agent: what `dpmesh agent` is made of, put together in plain sight: the control loop with
// registry, discovery and admin API, and the workers with their proxies. Control loop's object.
//
//   start():  log -> services' policies -> workers listen -> admin -> registry -> discovery
//   stop():   not ready -> deregister -> workers drain -> the registry's doors close

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "admin/admin_handler.h"
#include "apps/agent_pages.h"
#include "apps/certificates.h"
#include "apps/local_registry.h"
#include "apps/worker_pool.h"
#include "config/difference.h"
#include "config/load.h"
#include "core/log.h"
#include "discovery/discovery_collector.h"
#include "discovery/service_discovery.h"
#include "discovery/shared_cache.h"
#include "http/server.h"
#include "io/epoll_loop.h"
#include "io/files.h"
#include "io/handover.h"
#include "io/listening_sockets.h"
#include "io/process.h"
#include "io/tcp.h"
#include "mesh/observed_backend.h"
#include "mesh/own_writes.h"
#include "mesh/registrar.h"
#include "mesh/shared_breakers.h"
#include "mesh/shared_tokens.h"
#include "metrics/clock_watch.h"
#include "metrics/metric_registry.h"
#include "policy/collector.h"
#include "proxy/upstream_service.h"
#include "registry/breaker_backend.h"
#include "telemetry/metrics_page.h"

namespace datapunk::mesh::apps {

// What the agent asks of whoever runs it.
struct AgentHooks {
    // The configuration as it is written now. An error: it cannot be read at all.
    std::function<Result<config::Loaded>()> read_config;
    std::function<void(core::Level)> set_log_level;
};

// What a reload came to.
struct ReloadResult {
    enum class Kind : std::uint8_t { applied, unchanged, would_apply, refused, busy };

    Kind kind = Kind::refused;
    std::string why;  // refused, busy
    std::vector<config::Difference> changes{};
};

// What start() would find wrong with a config on any machine: routes, addresses.
Result<> check_startable(const config::Config& config);

class Agent {
  public:
    // `loaded` holds a config. Loop and sockets must outlive the agent.
    Agent(
        io::EpollLoop& loop,
        config::Loaded loaded,
        bool dev,
        io::ListeningSockets& sockets,
        core::Logger log,
        AgentHooks hooks
    );
    ~Agent();

    // Everything that can be wrong with this machine shows here: ports in use, bad state files.
    // With a predecessor: takes its sockets, learns where the services are before it accepts, and
    // only then sends it away; after an error the predecessor goes on as before.
    Result<> start(io::HandoverClient* predecessor);
    // Everything in flight ends, or the drain timeout does.
    io::Task<void> stop();

    // Set when another process has taken over: time to stop().
    io::Event& taken_over() noexcept { return taken_over_; }

    // Where it listens, for the log and for whoever started it with port 0.
    const std::vector<BoundListener>& listeners() const noexcept { return listeners_; }

    // Reads the configuration anew and applies it as a whole, or not at all. Connections and
    // requests go on; what needs a new process is named and refused. `dry`: only says what would
    // be.
    io::Task<ReloadResult> reload(bool dry);
    // As after SIGHUP.
    void reload_certificates() { certificates_.reload(); }
    // As after SIGUSR1, and SIGHUP: the access log under its name anew, after a rotation.
    void reopen_access_log();

    io::SocketAddress admin_address() const { return admin_server_.local(); }

  private:
    const config::Config& config() const noexcept { return *loaded_.config; }

    Result<> wait_for_services();
    Result<> follow(io::HandoverClient& predecessor);
    Result<> listen_for_follower();
    void release_registry();
    Result<> make_services();
    Result<policy::ServicePolicies*> make_service(
        const config::Config& config, const std::string& name, bool speaks_tcp
    );
    static bool has_fixed_endpoints(const config::Config& config, const std::string& service);
    void use_fixed_endpoints(const config::Config& config, policy::ServicePolicies& service);
    // In place of the one in force, whose rate limits it goes on with.
    Result<std::shared_ptr<const routing::RouteTable>> route_table(const config::Config& config
    ) const;
    Result<Certificates::Slot> listener_certificates(const config::ListenerSection& section);
    static Result<proxy::ListenerConfig> listener_config(
        const config::ListenerSection& section, const Certificates::Slot& slot
    );
    Result<> open_access_log();
    void count_access_log();
    void note_listening(const BoundListener& listener) const;
    // agent_reload.cpp
    struct Change;
    struct Reloading;
    io::Task<void> run_reload(bool dry, std::shared_ptr<Reloading> reloading);
    io::Task<ReloadResult> try_reload(bool dry);
    void note_reload(const ReloadResult& result);
    io::Task<Result<>> apply(std::shared_ptr<Change> change);
    Result<> plan_listeners(Change& change);
    Result<> plan_services(Change& change);
    io::Task<void> wait_until_known(std::set<std::string> services);
    void undo(const Change& change);
    void settle(Change& change);
    void settle_certificates(const config::Config& before);
    void set_service(const config::Config& config, policy::ServicePolicies& service);
    void remove_service(const std::string& name);
    void forget_removed();
    void note_config();
    std::string config_page() const;
    void add_reload_pages();
    io::Task<http::Response> reload_page(http::Request request);
    Result<> start_workers();
    Result<> start_admin();
    http::Response explain(const http::Request& request) const;
    Result<> start_sharing();
    Result<> start_registry();
    Result<std::unique_ptr<registry::Backend>> connect_registry(config::RegistryKind kind);
    Result<std::unique_ptr<registry::Backend>> connect_merged();
    Result<std::unique_ptr<registry::Backend>> start_local_registry();
    void follow_services();
    void follow_service(policy::ServicePolicies& service);
    void on_change(const policy::ServicePolicies& service, const EndpointChange& change);
    io::Task<void> ask_until_answered();
    io::Task<void> announce(ServiceConfig registration);
    void collect();
    void add_pages();
    http::Response endpoints_page(const http::Request& request) const;
    io::Task<void> tick_loop();
    void note_registry();
    void note_event(policy::PolicyEvent event);
    std::vector<Unready> unready() const;

    io::EpollLoop& loop_;
    config::Loaded loaded_;
    std::shared_ptr<const routing::RouteTable> routes_;  // in force; null until workers start
    bool dev_;
    core::Logger log_;
    AgentHooks hooks_;
    io::ListeningSockets& sockets_;
    io::KernelNetwork network_;
    io::KernelFiles files_;
    io::KernelProcesses processes_;
    metrics::MetricRegistry metrics_;
    metrics::ClockWatch clock_watch_{metrics_};
    Certificates certificates_;
    proxy::UpstreamServices services_;
    proxy::LoopGuard loops_;  // outlives the workers
    proxy::RequestLog requests_;
    std::unique_ptr<proxy::AccessLog> access_log_;
    std::uint64_t access_written_ = 0;  // as counted last
    std::uint64_t access_dropped_ = 0;
    std::map<std::string, std::unique_ptr<policy::ServiceCollector>> collectors_;  // by service
    std::unique_ptr<internal::SharedBreakers> shared_breakers_;                    // null: no Redis
    std::unique_ptr<internal::SharedTokens> shared_tokens_;                        // null: no Redis
    std::unique_ptr<LocalRegistry> local_registry_;
    std::unique_ptr<registry::BreakerBackend> backend_;     // null: fixed endpoints only
    internal::ObservedBackend* observed_ = nullptr;         // behind the breaker
    std::unique_ptr<discovery::SharedCache> shared_cache_;  // null: none configured
    std::unique_ptr<discovery::ServiceDiscovery> discovery_;
    std::unique_ptr<discovery::DiscoveryCollector> discovery_collector_;
    std::unique_ptr<internal::OwnWrites> own_writes_;
    std::unique_ptr<internal::Registrar> registrar_;
    std::map<std::string, Watch> watches_;    // by service
    std::map<std::string, Instant> removed_;  // services, and since when
    std::unique_ptr<WorkerPool> workers_;
    std::vector<BoundListener> listeners_;
    telemetry::MetricsPage metrics_page_;
    admin::AdminHandler admin_;
    http::Server admin_server_;
    std::deque<TimedEvent> events_;
    io::Event taken_over_;
    std::unique_ptr<io::HandoverServer> handover_;  // null: no upgrade.socket
    struct ConfigVersion {
        std::uint64_t number = 0;
        std::uint64_t hash = 0;
        WallTime loaded_at{};
        metrics::Gauge number_gauge{};
        metrics::Gauge loaded_gauge{};
    };

    ConfigVersion version_;
    bool is_reloading_ = false;
    bool draining_ = false;
    bool is_handed_over_ = false;   // the registrations are the follower's now
    bool registry_answers_ = true;  // as noted last
    io::TaskGroup tasks_;           // last: destroyed first
};

}  // namespace datapunk::mesh::apps
