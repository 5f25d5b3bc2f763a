#include "mesh/connect.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "io/file_watch.h"
#include "io/files.h"
#include "mesh/custom_backend.h"
#include "mesh/fixed_backend.h"
#include "registry/consul/consul_backend.h"
#include "registry/dns/dns_backend.h"
#include "registry/etcd/etcd_backend.h"
#include "registry/file/file_backend.h"

namespace datapunk::mesh::internal {

namespace {

template <class T>
Connected as_backend(Result<std::unique_ptr<T>> made) {
    if (!made) return std::move(made).error();
    return std::unique_ptr<registry::Backend>(*std::move(made));
}

// "host", "host:port", "[v6]:port".
Result<registry::etcd::EtcdMember> member_of(const std::string& text) {
    registry::etcd::EtcdMember member;
    const std::size_t bracket = text.rfind(']');
    const std::size_t colon = text.rfind(':');
    const bool has_port =
        colon != std::string::npos && (bracket == std::string::npos || colon > bracket);
    member.host = text.substr(0, has_port ? colon : std::string::npos);
    if (member.host.size() > 2 && member.host.front() == '[' && member.host.back() == ']') {
        member.host = member.host.substr(1, member.host.size() - 2);
    }
    if (has_port) {
        const char* const end = text.data() + text.size();
        const auto read = std::from_chars(text.data() + colon + 1, end, member.port);
        if (read.ec != std::errc() || read.ptr != end) member.port = 0;
    }
    if (member.host.empty() || member.port == 0) {
        return Error{
            .code = Code::invalid,
            .what = fmt::format("etcd: endpoint \"{}\" is not host:port", text.substr(0, 80))
        };
    }
    return member;
}

registry::consul::Environment environment() {
    registry::consul::Environment all;
    for (char** at = environ; at != nullptr && *at != nullptr; ++at) {
        const std::string_view entry(*at);
        const std::size_t equals = entry.find('=');
        if (equals == std::string_view::npos) continue;
        all.emplace(entry.substr(0, equals), entry.substr(equals + 1));
    }
    return all;
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
        auto changed = registry::consul::with_environment(std::move(config), environment());
        if (!changed) return std::move(changed).error();
        config = *std::move(changed);
    }
    return as_backend(registry::consul::ConsulBackend::create(parts.network, std::move(config)));
}

Connected connect(const ConnectParts& parts, const Etcd& choice) {
    registry::etcd::EtcdConfig config;
    config.endpoints.clear();
    for (const std::string& text : choice.endpoints) {
        auto member = member_of(text);
        if (!member) return std::move(member).error();
        config.endpoints.push_back(*std::move(member));
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
        parts.log
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

}  // namespace datapunk::mesh::internal
