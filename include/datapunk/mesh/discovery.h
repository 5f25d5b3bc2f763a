#pragma once

// How services are looked up and followed: ServiceDiscoveryConfig, and Watch, the handle of a
// subscription. Values; docs/config.md has the reasons.

#include <datapunk/mesh/export.h>
#include <datapunk/mesh/policy.h>
#include <datapunk/mesh/result.h>
#include <datapunk/mesh/time.h>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

namespace datapunk::mesh {

// A Redis server in which the processes of a site share what they have learned. Off without a host.
// It is never waited for while calls are placed, and nothing depends on it: without it, or when it
// fails, every process works with what it knows itself.
struct SharedCacheConfig {
    std::string host{};
    std::uint16_t port = 6379;
    std::string username{};  // empty: Redis' default user
    std::string password{};
    std::uint32_t database = 0;
    bool tls = false;
    // Certificates and keys are PEM text or the path of a file, read once.
    std::string tls_ca{};           // empty: the system's roots
    std::string tls_certificate{};  // ours, for a server that asks for one; needs tls_private_key
    std::string tls_private_key{};
    std::string tls_server_name{};  // what its certificate must be for; empty = the host
    // In front of every key and channel. Processes that ask different registries need different
    // ones. 1 to 64 printable bytes
    std::string prefix = "dpmesh:";
    // What a look-up may cost a service's first question, at most. 5 ms .. 5 s
    Duration timeout = std::chrono::milliseconds(100);
    // How long a set is kept there unconfirmed, for those that cannot ask the registry. 1 min .. 7
    // d
    Duration keep = std::chrono::hours(24);

    friend bool operator==(const SharedCacheConfig&, const SharedCacheConfig&) = default;
};

struct ServiceDiscoveryConfig {
    // Off: every discover() asks the registry. Watches work all the same, and an answer is kept to
    // survive an outage.
    bool enable_caching = true;
    // How long an answer is served without asking; a watched service is read again that often even
    // if no change was announced. Each one is jittered by up to a fifth. 1 s .. 10 min
    Duration cache_ttl = std::chrono::seconds(30);
    // How long "there is none" and failures are served without asking again: stops a stampede, and
    // hides a service's first endpoint for no longer than this. 0 .. 1 min
    Duration negative_ttl = std::chrono::seconds(1);
    // One question to the registry that is not a blocking one. 100 ms .. 1 min
    Duration query_timeout = std::chrono::seconds(10);
    // How long a service is still followed after its last watch has stopped. 0 .. 1 h
    Duration linger = std::chrono::minutes(1);
    // How long an answer that nobody uses is kept; during an outage, until it is over. 1 min .. 24
    // h
    Duration idle_ttl = std::chrono::minutes(10);

    // An answer without endpoints, or that has lost more than this share of them at once, is not
    // believed until a second one confirms it removal_grace later. Additions count at once.
    double removal_share_max = 0.5;                    // 0 .. 1; 1 = only when all are gone
    Duration removal_grace = std::chrono::seconds(3);  // 0 .. 10 min; 0 = believe everything
    Duration reset_grace = std::chrono::seconds(30);   // the same, for any removal, after the
                                                       // registry was away or lost its data
    // Between tries while the registry fails.
    BackoffConfig reconnect{
        .base = std::chrono::milliseconds(100), .max = std::chrono::seconds(30)
    };
    // In front of the registry: one that keeps failing is left in peace for open_for, then probed.
    CircuitBreakerConfig registry_breaker{
        .window_calls = 50,
        .consecutive = 5,
        .open_for = std::chrono::seconds(1),
        .open_max = std::chrono::seconds(10),  // heartbeats wait for it, too
        .half_open_probes = 1
    };
    // Bounds on what one busy service may ask of the registry: questions a second, after a burst of
    // two. Changes in between come together. 0.1 .. 1000
    double queries_per_second = 10;
    // How long the first answer about a service may take before an older one is used meanwhile,
    // from the shared cache or the disk. 10 ms .. 1 min
    Duration fallback_after = std::chrono::milliseconds(250);
    SharedCacheConfig shared_cache{};
    // A file for the last good sets, so that a restart while the registry is away still routes.
    // Empty: none. Its directory must exist; one process, one file.
    std::string snapshot_file{};
    Duration snapshot_delay = std::chrono::seconds(1);  // changes within it are one write. 10 ms ..
                                                        // 1 min
    Duration snapshot_max_age = std::chrono::hours(24);  // older sets are not used. 1 min .. 30 d
    std::uint32_t services_max = 10'000;  // 1 .. 1000000: known at a time; beyond: refused

    friend bool operator==(const ServiceDiscoveryConfig&, const ServiceDiscoveryConfig&) = default;
};

// Every field in its range? The error names all that are not.
[[nodiscard]] DATAPUNK_MESH_API Result<> check(const ServiceDiscoveryConfig& config);

// A running subscription; dropping it ends it. Ended from inside its own callback, that call is the
// last. Not thread-safe itself; what stop() may be called from is said where it is made.
//
// Callbacks of ServiceMesh::watch_service come on delivery threads of the mesh, one at a time for
// each watch, and may block: calls, discovery and other watches go on. Changes that come while one
// runs are told together by the next, as the difference to what it was told; none is missed, and
// the last one always comes.
class Watch {
  public:
    Watch() = default;

    explicit Watch(std::function<void()> stop) : stop_(std::move(stop)) {}

    Watch(Watch&& other) noexcept : stop_(std::exchange(other.stop_, nullptr)) {}

    Watch& operator=(Watch&& other) noexcept {
        if (this != &other) {
            stop();
            stop_ = std::exchange(other.stop_, nullptr);
        }
        return *this;
    }

    ~Watch() { stop(); }

    bool is_active() const noexcept { return stop_ != nullptr; }

    void stop() {
        if (auto stop = std::exchange(stop_, nullptr)) stop();
    }

  private:
    std::function<void()> stop_;
};

}  // namespace datapunk::mesh
