#include "mesh/connect.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "io/environment.h"
#include "io/file_watch.h"
#include "io/files.h"
#include "mesh/custom_backend.h"
#include "mesh/fixed_backend.h"
#include "registry/consul/consul_backend.h"
#include "registry/dns/dns_backend.h"
#include "registry/etcd/etcd_backend.h"
#include "registry/file/file_backend.h"
#include "registry/merged/merged_backend.h"
#include "registry/zookeeper/zookeeper_backend.h"

namespace datapunk::mesh::internal {

namespace {

template <class T>
Connected as_backend(Result<std::unique_ptr<T>> made) {
    if (!made) return std::move(made).error();
    return std::unique_ptr<registry::Backend>(*std::move(made));
}

struct Place {
    std::string host;
    std::uint16_t port = 0;
};

// "host", "host:port", "[v6]:port".
Result<Place> place_of(std::string_view kind, const std::string& text, std::uint16_t usual_port) {
    Place place{.host = {}, .port = usual_port};
    const std::size_t bracket = text.rfind(']');
    const std::size_t colon = text.rfind(':');
    const bool has_port =
        colon != std::string::npos && (bracket == std::string::npos || colon > bracket);
    place.host = text.substr(0, has_port ? colon : std::string::npos);
    if (place.host.size() > 2 && place.host.front() == '[' && place.host.back() == ']') {
        place.host = place.host.substr(1, place.host.size() - 2);
    }
    if (has_port) {
        const char* const end = text.data() + text.size();
        const auto read = std::from_chars(text.data() + colon + 1, end, place.port);
        if (read.ec != std::errc() || read.ptr != end) place.port = 0;
    }
    if (place.host.empty() || place.port == 0) {
        return Error{
            .code = Code::invalid,
            .what = fmt::format("{}: \"{}\" is not host:port", kind, text.substr(0, 80))
        };
    }
    return place;
}

io::TlsClientConfig tls_of(const RegistryTls& tls) {
    return {
        .ca = tls.ca,
        .verify_peer = tls.verify,
        .certificate_chain = tls.certificate,
        .private_key = tls.private_key
    };
}

registry::dns::DnsRecords records_of(Dns::Records records) {
    switch (records) {
        case Dns::Records::address:
            return registry::dns::DnsRecords::address;
        case Dns::Records::dns_sd:
            return registry::dns::DnsRecords::dns_sd;
        case Dns::Records::srv:
            break;
    }
    return registry::dns::DnsRecords::srv;
}

}  // namespace

Connected connect(const ConnectParts& parts, const Consul& choice) {
    registry::consul::ConsulConfig config;
    config.host = choice.host;
    config.port = choice.port;
    config.https = choice.tls.enabled;
    config.verify = choice.tls.verify;
    config.server_name = choice.tls.server_name;
    config.ca = choice.tls.ca;
    config.certificate = choice.tls.certificate;
    config.private_key = choice.tls.private_key;
    config.token = choice.token;
    config.token_file = choice.token_file;
    config.datacenter = choice.datacenter;
    config.stale = choice.stale;
    config.filter = choice.filter;
    config.near = choice.near;
    config.wait_max = choice.wait_max;
    if (!choice.catalog_node.empty()) {
        config.registration = registry::consul::ConsulRegistration::catalog;
        config.node = choice.catalog_node;
        config.node_address = choice.catalog_address;
    }
    if (choice.use_environment) {
        auto changed =
            registry::consul::with_environment(std::move(config), io::process_environment());
        if (!changed) return std::move(changed).error();
        config = *std::move(changed);
    }
    return as_backend(registry::consul::ConsulBackend::create(parts.network, std::move(config)));
}

Connected connect(const ConnectParts& parts, const Etcd& choice) {
    registry::etcd::EtcdConfig config;
    config.endpoints.clear();
    for (const std::string& text : choice.endpoints) {
        auto place = place_of("etcd", text, registry::etcd::EtcdMember{}.port);
        if (!place) return std::move(place).error();
        config.endpoints.push_back({.host = place->host, .port = place->port});
    }
    if (choice.tls.enabled) config.tls = tls_of(choice.tls);
    config.tls_server_name = choice.tls.server_name;
    config.user = choice.user;
    config.password = choice.password;
    config.prefix = choice.prefix;
    config.lease_ttl = choice.lease_ttl;
    // The lease is renewed three times in its life.
    config.request_timeout = std::min(config.request_timeout, choice.lease_ttl / 3);
    return as_backend(
        registry::etcd::EtcdBackend::create(parts.network, std::move(config), parts.log)
    );
}

Connected connect(const ConnectParts& parts, const Zookeeper& choice) {
    registry::zookeeper::ZookeeperConfig config;
    const std::uint16_t usual_port = registry::zookeeper::ZookeeperServer{}.port;
    config.servers.clear();
    for (const std::string& text : choice.servers) {
        auto place = place_of("ZooKeeper", text, usual_port);
        if (!place) return std::move(place).error();
        config.servers.push_back({.host = place->host, .port = place->port});
    }
    config.user = choice.user;
    config.password = choice.password;
    config.prefix = choice.prefix;
    config.session_timeout = choice.session_timeout;
    return registry::zookeeper::create_zookeeper(
        parts.loop, parts.network, std::move(config), parts.log
    );
}

Connected connect(const ConnectParts& parts, const Dns& choice) {
    return as_backend(registry::dns::DnsBackend::create(
        parts.network,
        {.servers = choice.servers,
         .name = choice.name,
         .records = records_of(choice.records),
         .port = choice.port,
         .ttl_min = choice.ttl_min,
         .ttl_max = choice.ttl_max,
         .notify =
             {.address = choice.notify_address,
              .port = choice.notify_port,
              .from = choice.notify_from,
              .key_name = choice.notify_key_name,
              .key_secret = choice.notify_key_secret}},
        parts.log,
        parts.metrics
    ));
}

Connected connect(const ConnectParts& parts, const File& choice) {
    auto watch = io::KernelFileWatch::create(parts.loop, choice.path);
    if (!watch) return std::move(watch).error();
    return as_backend(registry::file::FileBackend::create(
        {.loop = parts.loop,
         .files = std::make_unique<io::KernelFiles>(),
         .watch = *std::move(watch),
         .log = parts.log},
        {.path = choice.path, .poll = choice.poll}
    ));
}

Connected connect(const ConnectParts& parts, const Fixed& choice) {
    auto services = FixedBackend::checked(choice.services);
    if (!services) return std::move(services).error();
    return std::unique_ptr<registry::Backend>(
        std::make_unique<FixedBackend>(parts.loop, *std::move(services))
    );
}

Connected connect(const ConnectParts& parts, const Custom& choice) {
    return as_backend(CustomBackend::create(parts.loop, choice.registry));
}

Connected connect(const ConnectParts& parts, const Merged& choice) {
    std::vector<registry::merged::MergeMember> members;
    for (const Merged::Member& one : choice.members) {
        const auto connect_one = [&parts](const auto& registry) {
            return connect(parts, registry);
        };
        auto backend = std::visit(connect_one, one.registry);
        if (!backend) return std::move(backend).error();
        members.push_back({.name = one.name, .backend = *std::move(backend)});
    }
    registry::merged::MergeConfig config{.register_with = choice.register_with};
    config.rules.mode = choice.mode == Merged::Mode::all ? registry::merged::MergeMode::all
                                                         : registry::merged::MergeMode::priority;
    config.rules.health = choice.health == Merged::HealthRule::first
                              ? registry::merged::MergeHealth::first
                              : registry::merged::MergeHealth::worst;
    config.rules.failover_after = choice.failover_after;
    return as_backend(
        registry::merged::MergedBackend::create(parts.loop, std::move(members), std::move(config))
    );
}

}  // namespace datapunk::mesh::internal
