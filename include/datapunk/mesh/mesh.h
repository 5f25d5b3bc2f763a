#pragma once

// Start here. ServiceMesh registers this process's services, finds others and runs calls to them
// under their policies: balancing, circuit breaking, outlier ejection, retries with a budget,
// deadlines. No proxy, no globals: several meshes may live in one process.
//
//     auto mesh = datapunk::mesh::ServiceMesh::create({.registry = Consul{.port = 8500}});
//     auto me   = mesh->register_service({.name = "web", .host = "10.0.0.5", .port = 8080});
//     auto api  = mesh->service("api_service").value();        // looked up once
//     auto body = api.call<std::string>([](const ServiceEndpoint& e, Attempt& a) {
//         return fetch(e.address(), a.remaining());            // the transport stays yours
//     });
//
// Threads: every function may be called from any thread at any time. A mesh runs one thread of its
// own (registry, discovery, checks), up to eight for your callbacks and up to 32 for hedges: these
// may take their time and call all here but the mesh's destructor. A watch is called by one at a
// time; one that is slow holds up no other, and hears of what changed meanwhile in one call.
// Functions that the mesh asks (checks, a registry of yours) run on its own thread and must return
// at once. Functions without a deadline argument wait at most MeshOptions::timeout, registering
// after Readiness::timeout, withdrawing after MeshOptions::drain_delay. A Service, Lease or call
// must end before its mesh does; registrations and watches may outlive it, and are then over.
//
// After fork() the child's copy of a mesh is nobody's: it registers, discovers and watches nothing,
// and does not deregister what its parent announced. Create one after forking.

#include <datapunk/mesh/call.h>
#include <datapunk/mesh/discovery.h>
#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/export.h>
#include <datapunk/mesh/filter.h>
#include <datapunk/mesh/policy.h>
#include <datapunk/mesh/registration.h>
#include <datapunk/mesh/registries.h>
#include <datapunk/mesh/result.h>
#include <datapunk/mesh/time.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace datapunk::mesh {

enum class LogLevel : std::uint8_t { debug, info, warn, error, off };

struct MeshOptions {
    RegistryChoice registry{};
    ServicePolicy policy{};                           // of services without one of their own
    std::map<std::string, ServicePolicy> services{};  // policies by service name
    ServiceDiscoveryConfig discovery{};
    // Names what runs here, in the metadata of what it registers (meta_key::owner): what an earlier
    // run left behind when it was killed is removed. Setting it is a promise that only one run of
    // it exists at a time, wherever; empty = the host's name, and then only what runs left that
    // this kernel knows to have ended is removed. Up to 128 bytes of printable text.
    std::string owner{};
    Duration timeout = std::chrono::seconds(5);        // of functions that wait
    Duration stop_timeout = std::chrono::seconds(10);  // for draining and deregistering at the end
    // A withdrawal first tells the registry that the service is critical, and deregisters it so
    // long after: time for callers everywhere to hear of it while it still answers. Zero: at once.
    // At most 5 min; at the end, no longer than stop_timeout.
    Duration drain_delay{};
    LogLevel log_level = LogLevel::warn;
    // One line per record, without newline; any thread. Default: stderr.
    std::function<void(LogLevel, std::string_view line)> log{};
};

namespace internal {
class RegistrationState;
}

// A service that is announced for as long as this object lives. Movable.
class DATAPUNK_MESH_API ServiceRegistration {
  public:
    ServiceRegistration(ServiceRegistration&&) noexcept;
    ServiceRegistration& operator=(ServiceRegistration&&) noexcept;
    ~ServiceRegistration();  // deregisters, waiting at most MeshOptions::timeout

    const std::string& id() const noexcept;
    const ServiceConfig& config() const noexcept;

    // For checks of kind ttl: what the mesh reports from now on. Default passing.
    Result<> set_health(Health health, std::string_view note);
    // Withdraws it now; the error says what the registry answered. Idempotent.
    Result<> deregister();
    // Leaves it announced when this object goes. It is then nobody's to renew.
    void detach() noexcept;

  private:
    friend class internal::MeshCore;
    explicit ServiceRegistration(std::shared_ptr<internal::RegistrationState> state) noexcept;

    std::shared_ptr<internal::RegistrationState> state_;
};

using WatchCallback = std::function<void(const EndpointChange&)>;

class DATAPUNK_MESH_API ServiceMesh {
  public:
    static constexpr std::size_t kServicesMax = 10'000;  // in use by one mesh

    // Fails on bad options only: a registry that is down is connected to later (is_ready()).
    static Result<ServiceMesh> create(MeshOptions options);

    ServiceMesh(ServiceMesh&&) noexcept;
    ServiceMesh& operator=(ServiceMesh&&) noexcept;
    ~ServiceMesh();  // drains and deregisters; waits at most MeshOptions::stop_timeout

    // Validates, announces with its health check, reads back. On an error nothing stays behind.
    // The registration is renewed, and made again if the registry lost it.
    Result<ServiceRegistration> register_service(ServiceConfig config);
    Result<> deregister_service(std::string_view id);

    // The endpoints as known now; `use_cache` false asks the registry. Last known good while the
    // registry is away (EndpointSet::stale).
    Result<EndpointSetPtr> discover_service(std::string_view name, bool use_cache = true);
    // Those of them that match. Found by an index, not by looking at each.
    Result<EndpointSetPtr> discover_service(
        std::string_view name, const DiscoveryFilter& filter, bool use_cache = true
    );
    // Calls back at once with what is known, then after every real change. Watch::stop() may be
    // called from any thread; when it has returned no callback runs or begins, except that a
    // callback may stop its own watch: that call is then the last.
    Result<Watch> watch_service(std::string_view name, WatchCallback callback);
    // Of those that match: an endpoint that begins to match was added, one that ceases was removed.
    Result<Watch> watch_service(
        std::string_view name, const DiscoveryFilter& filter, WatchCallback callback
    );

    // The handle of a service, under MeshOptions::services[name] or else MeshOptions::policy.
    // Starts to discover it; waits for nothing. Fails on a bad name, or beyond kServicesMax.
    Result<Service> service(std::string_view name);
    // Under a policy of its own. Code::conflict if the service is already in use under another.
    Result<Service> service(std::string_view name, const ServicePolicy& policy);
    // Another policy for a service, whether it is in use already or not: Service::set_policy().
    Result<> set_policy(std::string_view name, const ServicePolicy& policy);

    // The same as on the Service, with a look-up of the name (~20 ns).
    Result<Lease> get_service_instance(std::string_view name);
    Result<> run(std::string_view name, const CallOptions& options, const AttemptFunction& attempt);

    template <class T, class Function>
    Result<T> call(std::string_view name, const CallOptions& options, Function&& attempt) {
        return internal::call_with<T>(
            [&](const AttemptFunction& f) { return run(name, options, f); }, attempt
        );
    }

    template <class T, class Function>
    Result<T> call(std::string_view name, Function&& attempt) {
        return call<T>(name, CallOptions{}, attempt);
    }

    // Callbacks beside the blocking faces.
    void discover_service_async(
        std::string_view name, std::function<void(Result<EndpointSetPtr>)> callback
    );
    void register_service_async(
        ServiceConfig config, std::function<void(Result<ServiceRegistration>)> callback
    );

    // Whether the registry answered last time, and if not, why.
    Result<> is_ready() const;

    // Prometheus text of everything measured here.
    std::string metrics_text() const;

  private:
    explicit ServiceMesh(std::unique_ptr<internal::MeshCore> core) noexcept;

    std::unique_ptr<internal::MeshCore> core_;
};

}  // namespace datapunk::mesh
