#include "apps/local_registry.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/hash.h"
#include "registry/embedded/open_log.h"

namespace datapunk::mesh::apps {

namespace {

// The machine's name as a DNS label: the catalog's node name.
std::string machine_name() {
    char name[256] = {};
    if (gethostname(name, sizeof name - 1) != 0 || name[0] == 0) return "localhost";
    return name;
}

// Consul's nodes have a UUID; this one is the same for the same name, as the state on disk wants
// it.
std::string node_uuid(std::string_view name) {
    const std::uint64_t high = core::hash64(name, 1);
    const std::uint64_t low = core::hash64(name, 2);
    return fmt::format(
        "{:08x}-{:04x}-8{:03x}-{:04x}-{:012x}",  // version 8: made by own rules (RFC 9562 5.8)
        high >> 32U,
        (high >> 16U) & 0xffffU,
        high & 0xfffU,
        ((low >> 48U) & 0x3fffU) | 0x8000U,
        low & 0xffff'ffff'ffffU
    );
}

}  // namespace

Result<std::unique_ptr<LocalRegistry>> LocalRegistry::start(
    io::Network& network, const LocalRegistryConfig& config, core::Logger log
) {
    // The state may hold tokens: for its owner's eyes only.
    const mode_t mask = ::umask(0077);
    auto command_log = registry::embedded::open_command_log(config.data_dir);
    ::umask(mask);
    if (!command_log) return std::move(command_log).error();
    auto address = io::parse_ip(config.address, config.port);
    if (!address) return std::move(address).error();
    registry::embedded::EmbeddedConfig embedded;
    embedded.node.name = config.node_name.empty() ? machine_name() : config.node_name;
    embedded.node.id = node_uuid(embedded.node.name);
    embedded.node.address = config.node_address.empty() ? config.address : config.node_address;
    embedded.deregister_after_min = config.deregister_after_min;
    embedded.exec_checks = config.processes != nullptr;
    auto opened = registry::embedded::EmbeddedRegistry::open(
        network.loop(), *std::move(command_log), embedded, log
    );
    if (!opened) return std::move(opened).error();
    std::unique_ptr<LocalRegistry> local(new LocalRegistry());
    local->registry_ = *std::move(opened);
    server::RegistryServerConfig door;
    door.acl = config.acl;
    local->door_ = std::make_unique<server::RegistryServer>(*local->registry_, door);
    // Each blocked query holds a connection.
    const http::ServerConfig server{
        .connections_max = catalog::kWaitersMax,
        .connections_per_client_max = config.connections_per_client,
        .tls = config.tls,
        .handshake_timeout = config.handshake_timeout,
        .handshakes_max = config.handshakes_max,
        .admits = config.admits
    };
    local->http_ = std::make_unique<http::Server>(network, *local->door_, server, log);
    auto listening = local->http_->listen(*address);
    if (!listening) {
        Error error = std::move(listening).error();
        error.what = "registry: " + error.what;
        return error;
    }
    if (config.dns.enabled) {
        auto opened_dns = local->open_dns(network, config, log);
        if (!opened_dns) return std::move(opened_dns).error();
    }
    local->checks_ = std::make_unique<registry::embedded::CheckRunner>(
        *local->registry_, network, log, config.processes
    );
    log.info(
        "registry",
        {{"address", local->http_->local().to_string()},
         {"protocol", config.tls == nullptr ? "http" : "https"},
         {"data_dir",
          config.data_dir.empty() ? std::string_view("(memory)") : std::string_view(config.data_dir)
         }}
    );
    return local;
}

Result<> LocalRegistry::open_dns(
    io::Network& network, const LocalRegistryConfig& config, core::Logger log
) {
    const LocalDnsConfig& dns = config.dns;
    const auto address = io::parse_ip(dns.address.empty() ? config.address : dns.address, dns.port);
    if (!address) return address.error();
    server::dns::DnsDoorConfig config_of_door = dns.door;
    config_of_door.acl = door_->config().acl;
    config_of_door.datacenter = door_->config().datacenter;
    auto door = server::dns::DnsDoor::open(network, *registry_, *address, config_of_door, log);
    if (door) {
        dns_ = *std::move(door);
        if (config.metrics != nullptr) dns_->count_into(*config.metrics);
        return Ok{};
    }
    if (door.error().code == Code::conflict && dns.port == LocalDnsConfig::kUsualPort) {
        log.warn("the registry runs without DNS", {{"reason", door.error().what}});
        return Ok{};
    }
    return Error{.code = door.error().code, .what = "registry DNS: " + door.error().what};
}

io::Task<void> LocalRegistry::drain(Instant deadline) {
    registry_->end_waits();  // blocking queries may have minutes to go
    co_await http_->drain(deadline);
}

}  // namespace datapunk::mesh::apps
