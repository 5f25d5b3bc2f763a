// The agent's registry: the one that its configuration names, in this process or outside.

#include <fmt/format.h>

#include "apps/agent.h"
#include "apps/discovery_settings.h"
#include "mesh/connect.h"
#include "proxy/identity.h"
#include "registry/embedded/embedded_backend.h"
#include "registry/merged/merged_backend.h"
#include "wire/spiffe_id.h"

namespace datapunk::mesh::apps {

namespace {

RegistryTls tls_of(const config::TlsSection& section) {
    return {
        .enabled = section.enabled,
        .verify = section.verify,
        .server_name = section.server_name,
        .ca = section.ca,
        .certificate = section.certificate,
        .private_key = section.private_key.reveal()
    };
}

Consul choice_of(const config::ConsulSection& section, const config::NodeSection& node) {
    const bool is_catalog = section.destination == config::ConsulDestination::catalog;
    return {
        .host = section.address.host,
        .port = section.address.port,
        .tls = tls_of(section.tls),
        .token = section.token.reveal(),
        .token_file = section.token_file,
        .datacenter = section.datacenter,
        .stale = section.stale,
        .filter = section.filter,
        .near = section.near,
        .catalog_node = is_catalog ? node.name : "",
        .catalog_address = is_catalog ? node.address : "",
        .use_environment = section.environment,
        .wait_max = section.wait
    };
}

Etcd choice_of(const config::EtcdSection& section) {
    return {
        .endpoints = section.endpoints,
        .tls = tls_of(section.tls),
        .user = section.user,
        .password = section.password.reveal(),
        .prefix = section.prefix,
        .lease_ttl = section.lease_ttl
    };
}

Zookeeper choice_of(const config::ZookeeperSection& section) {
    return {
        .servers = section.servers,
        .user = section.user,
        .password = section.password.reveal(),
        .prefix = section.prefix,
        .session_timeout = section.session_timeout
    };
}

Dns choice_of(const config::DnsSection& section) {
    return {
        .servers = section.servers,
        .name = section.name,
        .records = section.records,
        .port = section.port,
        .ttl_min = section.ttl_min,
        .ttl_max = section.ttl_max,
        .notify_address = section.notify.address,
        .notify_port = section.notify.port,
        .notify_from = section.notify.from,
        .notify_key_name = section.notify.key_name,
        .notify_key_secret = section.notify.key_secret.reveal()
    };
}

// Whom the certificates' identities let in; empty: nobody is asked who he is.
std::function<bool(const io::TlsPeer&)> admits_of(const config::ListenerTlsSection& section) {
    if (section.allow.empty()) return {};
    return [allow = section.allow](const io::TlsPeer& peer) {
        return wire::spiffe_matches_any(allow, proxy::identity_of(peer));
    };
}

LocalDnsConfig dns_of(const config::EmbeddedDnsSection& section) {
    LocalDnsConfig dns{
        .enabled = section.enabled, .address = section.address, .port = section.port, .door = {}
    };
    dns.door.domain = section.domain;
    dns.door.ttl = section.ttl;
    dns.door.only_passing = section.only_passing;
    dns.door.udp_answer_limit = section.udp_answer_limit;
    dns.door.enable_truncate = section.enable_truncate;
    return dns;
}

}  // namespace

Result<std::unique_ptr<registry::Backend>> Agent::connect_merged() {
    const config::MergedSection& section = config().registry.merged;
    std::vector<registry::merged::MergeMember> members;
    for (const config::RegistryKind kind : section.members) {
        auto backend = connect_registry(kind);
        if (!backend) return std::move(backend).error();
        auto observed =
            std::make_unique<internal::ObservedBackend>(loop_, *std::move(backend), metrics_);
        members.push_back(
            {.name = std::string(config::name_of(kind)),
             .backend = std::make_unique<registry::BreakerBackend>(
                 loop_, std::move(observed), breaker_of(config()), metrics_, log_
             )}
        );
    }
    registry::merged::MergeConfig merge{.register_with = section.register_with};
    merge.rules.mode = section.mode == config::MergedMode::all
                           ? registry::merged::MergeMode::all
                           : registry::merged::MergeMode::priority;
    merge.rules.health = section.health == config::MergedHealth::first
                             ? registry::merged::MergeHealth::first
                             : registry::merged::MergeHealth::worst;
    merge.rules.failover_after = section.failover_after;
    auto made =
        registry::merged::MergedBackend::create(loop_, std::move(members), std::move(merge));
    if (!made) return std::move(made).error();
    return std::unique_ptr<registry::Backend>(*std::move(made));
}

Result<std::unique_ptr<registry::Backend>> Agent::connect_registry(config::RegistryKind kind) {
    const config::RegistrySection& section = config().registry;
    const internal::ConnectParts parts{
        .loop = loop_, .network = network_, .log = log_, .metrics = &metrics_
    };
    switch (kind) {
        case config::RegistryKind::consul:
            return connect(parts, choice_of(section.consul, config().node));
        case config::RegistryKind::etcd:
            return connect(parts, choice_of(section.etcd));
        case config::RegistryKind::zookeeper:
            return connect(parts, choice_of(section.zookeeper));
        case config::RegistryKind::dns:
            return connect(parts, choice_of(section.dns));
        case config::RegistryKind::file:
            return connect(parts, File{.path = section.file.path, .poll = section.file.poll});
        case config::RegistryKind::merged:
            return connect_merged();
        case config::RegistryKind::embedded:
        case config::RegistryKind::fixed:
            break;
    }
    return start_local_registry();
}

Result<std::unique_ptr<registry::Backend>> Agent::start_local_registry() {
    const auto& section = config().registry.embedded;
    if (section.data_dir.empty() && !dev_) {
        return Error{
            .code = Code::invalid,
            .what =
                "registry.embedded.data_dir is not set: say where the registry's state goes, "
                "or --dev to keep it in memory"
        };
    }
    const config::NodeSection& node = config().node;
    const config::AclSection& acl = config().registry.acl;
    Certificates::Slot tls;
    if (section.tls.is_on()) {
        auto made = certificates_.put("registry", tls_config_of(section.tls, Alpn::http1));
        if (!made) return std::move(made).error();
        tls = *std::move(made);
    }
    auto local = LocalRegistry::start(
        network_,
        {.address = section.address,
         .port = section.port,
         .data_dir = section.data_dir,
         .node_name = section.node_name.empty() ? node.name : section.node_name,
         .node_address = node.address,
         .connections_per_client = section.connections_per_client,
         .acl =
             {.enabled = acl.enabled,
              .is_default_allow = acl.default_policy == config::AclDefault::allow,
              .initial_management = acl.initial_management.reveal()},
         .tls = std::move(tls),
         .handshake_timeout = section.tls.handshake_timeout,
         .handshakes_max = section.tls.handshakes_max,
         .admits = admits_of(section.tls),
         .deregister_after_min = dev_ ? kDevDeregisterAfterMin : std::chrono::minutes(1),
         .dns = dns_of(section.dns),
         .processes = config().registry.exec_checks ? &processes_ : nullptr,
         .metrics = &metrics_},
        log_
    );
    if (!local) return std::move(local).error();
    local_registry_ = *std::move(local);
    return std::unique_ptr<registry::Backend>(
        std::make_unique<registry::embedded::EmbeddedBackend>(local_registry_->registry())
    );
}

}  // namespace datapunk::mesh::apps
