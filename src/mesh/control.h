#pragma once

// Control: the half of a mesh that lives on its loop: follows the services in use, keeps
// registrations, calls watchers, ticks the policies. Knows nothing of threads: everything is called
// on the loop, and answers come through Done. Runs the same on a simulated loop.

#include <datapunk/mesh/discovery.h>
#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/registration.h>
#include <datapunk/mesh/result.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/log.h"
#include "discovery/discovery_collector.h"
#include "discovery/endpoint_index.h"
#include "discovery/service_discovery.h"
#include "discovery/shared_cache.h"
#include "io/files.h"
#include "io/loop.h"
#include "io/task.h"
#include "mesh/done.h"
#include "mesh/observed_backend.h"
#include "mesh/own_writes.h"
#include "mesh/registrar.h"
#include "mesh/service_table.h"
#include "mesh/shared_breakers.h"
#include "mesh/shared_tokens.h"
#include "mesh/watch_state.h"
#include "metrics/clock_watch.h"
#include "metrics/metric_registry.h"
#include "registry/breaker_backend.h"

namespace datapunk::mesh::internal {

struct ControlParts {
    io::Loop& loop;
    std::unique_ptr<registry::Backend> backend;
    core::Logger log;
    metrics::MetricRegistry& metrics;
    ServiceTable& services;
    std::mutex& collect_mutex;  // guards the services' collectors
    const ServiceDiscoveryConfig& discovery;
    Duration timeout;
    Duration drain_delay{};
    Ownership who{};
    // As RegistrarParts::elsewhere.
    Elsewhere elsewhere{};
    io::Network* network = nullptr;  // for the shared cache; null: none
};

class Control {
  public:
    explicit Control(ControlParts parts);
    Control(const Control&) = delete;
    Control& operator=(const Control&) = delete;

    void start();
    // Discovers the service for as long as the mesh lives.
    void follow(ServiceState& service);

    void discover(
        std::string name, DiscoveryFilter filter, bool use_cache, Done<EndpointSetPtr> done
    );
    Result<> watch(
        const std::string& name,
        const DiscoveryFilter& filter,
        const std::shared_ptr<WatchState>& watch
    );
    void unwatch(const WatchState* watch);

    void register_service(ServiceConfig config, Done<Registrar::Ticket> done);
    void withdraw(Registrar::Ticket ticket, Done<Ok> done);
    void withdraw_id(std::string id, Done<Ok> done);

    void set_health(Registrar::Ticket ticket, Health health, std::string note, Done<Ok> done);

    Registrar& registrar() noexcept { return registrar_; }

    // Cancels what is under way, ends all watches, deregisters everything. `done` by `deadline`.
    void stop(Instant deadline, Done<Ok> done);
    // Destroys the tasks that are left. On the loop's thread, outside of it.
    void cancel();

    Result<> readiness() const { return observed_->readiness(); }

  private:
    io::Task<void> tick_each_second();
    io::Task<void> ask_until_answered();
    io::Task<void> learn_first(ServiceState* service);
    io::Task<void> answer_discover(
        std::string name, DiscoveryFilter filter, bool use_cache, Done<EndpointSetPtr> done
    );
    EndpointSetPtr select(EndpointSetPtr set, const DiscoveryFilter& filter);
    io::Task<void> answer_register(ServiceConfig config, Done<Registrar::Ticket> done);
    io::Task<void> answer_set_health(
        Registrar::Ticket ticket, Health health, std::string note, Done<Ok> done
    );
    io::Task<void> see_gone(ServiceConfig config);
    io::Task<void> answer_withdraw(Registrar::Ticket ticket, Done<Ok> done);
    io::Task<void> answer_withdraw_id(std::string id, Done<Ok> done);
    io::Task<void> answer_stop(Instant deadline, Done<Ok> done);

    void tick(ServiceState& service);
    static void deliver(const Elsewhere& elsewhere, const std::shared_ptr<WatchState>& watch);
    void add_cache_levels(io::Network* network, const ServiceDiscoveryConfig& config);

    Instant deadline() const { return loop_.now() + timeout_; }

    // A withdrawal may drain first.
    Instant withdrawal_deadline() const { return loop_.now() + timeout_ + drain_delay_ * 5 / 4; }

    io::Loop& loop_;
    core::Logger log_;
    ServiceTable& services_;
    std::mutex& collect_mutex_;
    Duration timeout_;
    Duration drain_delay_;
    Elsewhere elsewhere_;
    metrics::MetricRegistry& metrics_;
    metrics::ClockWatch clock_watch_{metrics_};
    ObservedBackend* observed_;  // behind the breaker
    registry::BreakerBackend backend_;
    io::KernelFiles files_;
    std::unique_ptr<discovery::SharedCache> shared_cache_;  // null: none
    std::unique_ptr<SharedBreakers> shared_breakers_;       // null: no Redis
    std::unique_ptr<SharedTokens> shared_tokens_;           // null: no Redis
    discovery::ServiceDiscovery discovery_;
    discovery::DiscoveryCollector discovery_collector_;
    OwnWrites own_writes_;
    Registrar registrar_;
    std::map<std::string, discovery::EndpointIndex, std::less<>> indexes_;  // by service
    std::vector<Watch> followed_;
    std::map<const WatchState*, Watch> watches_;
    bool is_stopping_ = false;
    // Last: destroyed first.
    io::TaskGroup stopping_;
    io::TaskGroup tasks_;
};

}  // namespace datapunk::mesh::internal
