#pragma once

// MeshCore: what is behind ServiceMesh: the callers' half, on any thread, and the thread that runs
// the control half.
//
//   callers ── find service (epoch) ── policies ── attempt ──► never wait for the control thread
//      │                                                       once a service is known
//      └─ Done ── post ──► control thread: Control (discovery, registrations, watches, ticks)
//
// The user's functions run on delivery threads (delivery.h), not on the control thread.
//
// stop(): no new calls; sleepers and waiters leave with Code::aborted; registrations are withdrawn;
// calls, leases and callbacks that are out are waited for, up to stop_timeout; the thread ends. If
// some are out even then, the owner must leave this object behind rather than free it under them.
//
// Threads: any, but the destructor.

#include <datapunk/mesh/mesh.h>

#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "core/log.h"
#include "mesh/call_run.h"
#include "mesh/control.h"
#include "mesh/delivery.h"
#include "mesh/done.h"
#include "mesh/gate.h"
#include "mesh/hedger.h"
#include "mesh/registrar.h"
#include "mesh/service_table.h"
#include "mesh/watch_state.h"
#include "mesh/world.h"
#include "metrics/metric_registry.h"
#include "metrics/process_metrics.h"

namespace datapunk::mesh::internal {

class MeshCore;

// How things that may outlive their mesh find it. Null once it stops.
struct MeshLink {
    std::mutex mutex;
    MeshCore* core = nullptr;
};

// What a Lease holds.
struct LeaseState {
    policy::HeldEndpoint attempt;
    const io::ThreadClock* clock;
};

class RegistrationState {
  public:
    RegistrationState(
        std::shared_ptr<MeshLink> link, ServiceConfig config, Registrar::Ticket ticket
    )
        : link_(std::move(link)), config_(std::move(config)), ticket_(ticket) {}

    const ServiceConfig& config() const noexcept { return config_; }

    Result<> set_health(Health health, std::string_view note);
    Result<> deregister();
    void detach();

  private:
    template <class Use>
    Result<> with_core(const Use& use, Result<> otherwise);

    const std::shared_ptr<MeshLink> link_;
    const ServiceConfig config_;
    const Registrar::Ticket ticket_;
    std::mutex mutex_;
    bool is_over_ = false;
};

class MeshCore final : private CallWorld {
  public:
    // `options` are checked.
    MeshCore(World world, MeshOptions options);
    ~MeshCore();  // after stop()
    MeshCore(const MeshCore&) = delete;
    MeshCore& operator=(const MeshCore&) = delete;

    Result<ServiceRegistration> register_service(ServiceConfig config);
    void register_service_async(
        ServiceConfig config, std::function<void(Result<ServiceRegistration>)> callback
    );
    Result<> deregister_service(std::string_view id);
    Result<> withdraw(Registrar::Ticket ticket);
    Result<> set_health(Registrar::Ticket ticket, Health health, std::string_view note);
    void forget(Registrar::Ticket ticket);

    Result<EndpointSetPtr> discover_service(
        std::string_view name, const DiscoveryFilter& filter, bool use_cache
    );
    void discover_service_async(
        std::string_view name, std::function<void(Result<EndpointSetPtr>)> callback
    );
    Result<Watch> watch_service(
        std::string_view name, const DiscoveryFilter& filter, WatchCallback callback
    );

    Result<Service> service(std::string_view name, const ServicePolicy* policy);
    Result<> set_policy(std::string_view name, const ServicePolicy& policy);
    Result<> set_policy(ServiceState& service, const ServicePolicy& policy);
    Result<Lease> lease(std::string_view name);
    Result<Lease> lease(ServiceState& service);
    Result<> run(std::string_view name, const CallOptions& options, const AttemptFunction& attempt);
    Result<> run(ServiceState& service, const CallOptions& options, const AttemptFunction& attempt);

    Result<> force_breaker(ServiceState& service, BreakerForce how, std::string_view endpoint);

    Result<> readiness() const;
    std::string metrics_text();

    // False in a child made by fork(): nothing of this is its own.
    bool is_ours() const noexcept;

    // Whether everyone has left. Not from a callback.
    bool stop();

  private:
    friend class RegistrationState;

    Result<ServiceState*> use(std::string_view name, const ServicePolicy* policy);
    Result<> may_ask() const;
    // Runs `start` on the loop with a Done, and waits for its answer.
    template <class T, class Start>
    Result<T> ask(Start start);

    // Of CallWorld.
    io::ThreadClock& clock() override { return *world_.clock; }

    Hedger& hedger() override { return hedger_; }

    bool sleep_until(Instant until) override;
    std::optional<policy::NoEndpoint> wait_for_place(
        policy::ServicePolicies& policies, policy::CallState& call, Instant now
    ) override;

    bool is_stopping() override { return gate_.is_closed(); }

    bool drain(Instant deadline);
    bool is_own_thread() const noexcept;
    // `callback` for an answer of the control loop, called on a delivery thread.
    template <class T>
    Done<T> delivered(std::function<void(Result<T>)> callback);
    void unlink_watch(const std::shared_ptr<WatchState>& watch);

    const MeshOptions options_;
    const int process_id_;
    core::Logger log_;
    metrics::MetricRegistry metrics_;
    Delivery delivery_;  // before what may still answer when it is destroyed
    World world_;
    metrics::ProcessMetrics process_metrics_;
    ServiceTable services_;
    std::mutex collect_mutex_;
    std::shared_ptr<MeshLink> link_ = std::make_shared<MeshLink>();
    Gate gate_;
    std::mutex sleep_mutex_;
    std::condition_variable woken_;  // by stop() only
    Hedger hedger_;
    std::unique_ptr<Control> control_;
    std::thread thread_;
};

}  // namespace datapunk::mesh::internal
