#pragma once

// Start here. ServiceMesh registers this process's services, finds others and runs calls to them
// under their policies: balancing, circuit breaking, outlier ejection, retries with a budget,
// deadlines. No proxy, no globals: several meshes may live in one process.
//
//     auto mesh = datapunk::mesh::ServiceMesh::create({.registry = Consul{.port = 8500}});
//     auto me   = mesh->register_service({.name = "web", .host = "10.0.0.5", .port = 8080});
//     auto body = mesh->call<std::string>("api_service", [](const ServiceEndpoint& e, Attempt& a) {
//         return fetch(e.address(), a.remaining());          // the transport stays yours
//     });
//
// Threads: every function may be called from any thread at any time. A mesh runs one thread of its
// own (registry, watches, checks); callbacks come on it and must not block. Functions without a
// deadline argument wait at most MeshOptions::timeout.

#include <datapunk/mesh/discovery.h>
#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/export.h>
#include <datapunk/mesh/policy.h>
#include <datapunk/mesh/registration.h>
#include <datapunk/mesh/result.h>
#include <datapunk/mesh/time.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace datapunk::mesh {

// --- which registry
// ---------------------------------------------------------------------------------

// A Consul agent, or `dpmesh registry`, which speaks the same API.
struct Consul {
    std::string host = "127.0.0.1";
    std::uint16_t port = 8500;
    std::string token;       // X-Consul-Token; never logged
    std::string datacenter;  // empty = the agent's own
};

// A registry inside this process: for tests, and for programs that are alone. Nobody else sees it.
struct Embedded {
    std::string data_dir;  // durable there; empty = in memory
};

// No registry: these endpoints, always. Registering is refused.
struct Fixed {
    std::map<std::string, std::vector<ServiceEndpoint>> services;
};

using RegistryChoice = std::variant<Consul, Embedded, Fixed>;

enum class LogLevel : std::uint8_t { debug, info, warn, error, off };

struct MeshOptions {
    RegistryChoice registry;
    ServicePolicy policy;                           // of services without one of their own
    std::map<std::string, ServicePolicy> services;  // policies by service name
    ServiceDiscoveryConfig discovery;
    Duration timeout = std::chrono::seconds(5);        // of functions that wait
    Duration stop_timeout = std::chrono::seconds(10);  // for draining and deregistering at the end
    LogLevel log_level = LogLevel::warn;
    // One line per record, without newline; any thread. Default: stderr.
    std::function<void(LogLevel, std::string_view line)> log;
};

class ServiceMesh;
namespace internal {
class MeshCore;
class LeaseState;
class WatchState;
class RegistrationState;
}  // namespace internal

// --- what the functions return
// ----------------------------------------------------------------------

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
    explicit ServiceRegistration(std::unique_ptr<internal::RegistrationState> state) noexcept;

    std::unique_ptr<internal::RegistrationState> state_;
};

// How an attempt ended: what the policies learn from it.
enum class Outcome : std::uint8_t {
    success,          // an answer that does not blame the endpoint
    server_error,     // an answer that does: HTTP 5xx or its like
    connect_failure,  // never reached the endpoint
    refused,          // the endpoint says that it did not start
    timeout,          // no answer in time
    reset,            // connection lost before the answer was complete
    cancelled,        // given up by the caller: says nothing about the endpoint
};

// An endpoint held for one attempt: pick, use, report. Dropped without a report it counts as
// abandoned: neither success nor failure. Movable; use from one thread at a time. Must not outlive
// its mesh.
class DATAPUNK_MESH_API Lease {
  public:
    Lease(Lease&&) noexcept;
    Lease& operator=(Lease&&) noexcept;
    ~Lease();

    const ServiceEndpoint& endpoint() const noexcept;
    // Ends the lease. `latency` zero: the time since it was taken.
    void report(Outcome outcome, Duration latency = Duration::zero()) noexcept;

  private:
    friend class internal::MeshCore;
    explicit Lease(std::unique_ptr<internal::LeaseState> state) noexcept;

    std::unique_ptr<internal::LeaseState> state_;
};

// A subscription; destroying or stopping it ends it. After that no callback begins; one that is
// running on the mesh's thread is waited for, unless it is that callback which stops it. Movable.
class DATAPUNK_MESH_API Watch {
  public:
    Watch(Watch&&) noexcept;
    Watch& operator=(Watch&&) noexcept;
    ~Watch();

    void stop() noexcept;

  private:
    friend class internal::MeshCore;
    explicit Watch(std::shared_ptr<internal::WatchState> state) noexcept;

    std::shared_ptr<internal::WatchState> state_;
};

using WatchCallback = std::function<void(const EndpointChange&)>;

// --- calls under policies
// ---------------------------------------------------------------------------

// What an attempt function is told, and can tell.
class DATAPUNK_MESH_API Attempt {
  public:
    // Time left for this attempt; never negative.
    Duration remaining() const noexcept;

    std::uint32_t number() const noexcept { return number_; }  // 1 for the first

    // Call before returning an Error to say how it failed; otherwise its Code decides:
    // unavailable = connect_failure, timeout = timeout, aborted = cancelled, others = server_error
    // (conflict, invalid, not_found, denied are answers: success as far as the endpoint goes).
    void failed_as(Outcome outcome) noexcept { outcome_ = outcome; }

    // Nothing of the request reached the endpoint: it may be tried again even if not idempotent.
    void not_sent() noexcept { sent_ = false; }

    // The endpoint asked to be left alone for that long (Retry-After).
    void retry_after(Duration wait) noexcept { retry_after_ = wait; }

  private:
    friend class internal::MeshCore;

    Attempt(std::uint32_t number, Instant deadline) noexcept
        : deadline_(deadline), number_(number) {}

    Instant deadline_;
    std::uint32_t number_;
    std::optional<Outcome> outcome_;
    std::optional<Duration> retry_after_;
    bool sent_ = true;
};

struct CallOptions {
    Duration deadline = Duration::zero();  // of the whole call; zero = the service's policy
    bool idempotent = true;                // may be repeated although it may have had an effect
};

// The attempt function of call(), without its type.
using AttemptFunction = std::function<Result<>(const ServiceEndpoint&, Attempt&)>;

// --- the mesh
// ---------------------------------------------------------------------------------------

class DATAPUNK_MESH_API ServiceMesh {
  public:
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
    // Calls back at once with what is known, then after every real change.
    Result<Watch> watch_service(std::string_view name, WatchCallback callback);

    // One endpoint, picked under the service's policies. The first call for a service waits for
    // discovery; later ones take well under a microsecond. The error says why there is none.
    Result<Lease> get_service_instance(std::string_view name);

    // Runs `attempt` until it succeeds or the policies say stop. `attempt` may run several times,
    // on the calling thread.
    Result<> run(std::string_view name, const CallOptions& options, const AttemptFunction& attempt);

    // The same for a function that returns Result<T>.
    template <class T, class Function>
    Result<T> call(std::string_view name, const CallOptions& options, Function&& attempt) {
        std::optional<T> value;
        auto done =
            run(name, options, [&](const ServiceEndpoint& endpoint, Attempt& a) -> Result<> {
                Result<T> result = attempt(endpoint, a);
                if (!result) return std::move(result).error();
                value.emplace(*std::move(result));
                return Ok{};
            });
        if (!done) return std::move(done).error();
        return *std::move(value);
    }

    template <class T, class Function>
    Result<T> call(std::string_view name, Function&& attempt) {
        return call<T>(name, CallOptions{}, std::forward<Function>(attempt));
    }

    // Callbacks beside the blocking faces; they come on the mesh's thread.
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
