#pragma once

// LocalRegistry: the embedded registry with its HTTP door, as the agent and `dpmesh registry` run
// it:
//
//     store (SQLite file or memory) -> EmbeddedRegistry -> RegistryServer -> http::Server on 8500
//                                  ├── DnsDoor on 8600
//                                  └── HTTP, TCP, gRPC, exec checks: CheckRunner
//
// Control loop's object.

#include <functional>
#include <memory>
#include <string>

#include "core/log.h"
#include "http/server.h"
#include "io/network.h"
#include "io/process.h"
#include "registry/embedded/check_runner.h"
#include "registry/embedded/embedded_registry.h"
#include "server/dns/dns_door.h"
#include "server/registry_server.h"

namespace datapunk::mesh::apps {

// --dev is for trying things out: what died is gone from the registry while one still watches.
inline constexpr Duration kDevDeregisterAfterMin = std::chrono::seconds(5);

// Where its DNS server listens, if it has one.
struct LocalDnsConfig {
    static constexpr std::uint16_t kUsualPort = 8600;

    bool enabled = true;
    std::string address;  // empty: the registry's
    // 0 takes a free one. The usual one is left to whoever has it, with a warning: a second
    // registry on this machine should start.
    std::uint16_t port = kUsualPort;
    server::dns::DnsDoorConfig door;
};

struct LocalRegistryConfig {
    std::string address = "127.0.0.1";
    std::uint16_t port = 8500;                   // 0 takes a free one
    std::string data_dir;                        // empty: in memory
    std::string node_name;                       // empty: this machine's name
    std::string node_address;                    // empty: `address`
    std::size_t connections_per_client = 2'000;  // 0: no limit
    server::AclConfig acl;
    std::shared_ptr<const io::TlsSlot> tls;  // given: HTTPS instead of HTTP; see server_tls()
    Duration handshake_timeout = http::ServerConfig{}.handshake_timeout;
    std::size_t handshakes_max = http::ServerConfig{}.handshakes_max;
    std::function<bool(const io::TlsPeer&)> admits;  // with `tls`: who is let in; empty: all
    // Shorter deregistration times of checks are raised to this (Consul's is a minute).
    Duration deregister_after_min = std::chrono::minutes(1);
    LocalDnsConfig dns;
    io::Processes* processes = nullptr;          // given: checks may run programs
    metrics::MetricRegistry* metrics = nullptr;  // given: it counts into them
};

class LocalRegistry {
  public:
    // Errors: a state file that is damaged or in use, an address in use. Nothing runs then.
    static Result<std::unique_ptr<LocalRegistry>> start(
        io::Network& network, const LocalRegistryConfig& config, core::Logger log
    );

    io::SocketAddress address() const { return http_->local(); }

    // Null: there is none.
    const server::dns::DnsDoor* dns() const noexcept { return dns_.get(); }

    registry::embedded::EmbeddedRegistry& registry() noexcept { return *registry_; }

    io::Task<void> drain(Instant deadline);

  private:
    LocalRegistry() = default;

    Result<> open_dns(io::Network& network, const LocalRegistryConfig& config, core::Logger log);

    std::unique_ptr<registry::embedded::EmbeddedRegistry> registry_;
    std::unique_ptr<registry::embedded::CheckRunner> checks_;
    std::unique_ptr<server::RegistryServer> door_;
    std::unique_ptr<http::Server> http_;
    std::unique_ptr<server::dns::DnsDoor> dns_;
};

}  // namespace datapunk::mesh::apps
