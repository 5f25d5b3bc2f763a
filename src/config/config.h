#pragma once

// Config: everything dpmesh can be told, as plain data with the product's defaults. What each
// field means is in tables.cpp, from which docs/config.md is made.

#include <datapunk/mesh/policy.h>
#include <datapunk/mesh/registration.h>
#include <datapunk/mesh/registries.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "config/discovery_sections.h"
#include "config/listener_sections.h"
#include "config/secret.h"
#include "config/tls_sections.h"
#include "core/log.h"
#include "routing/route.h"

namespace datapunk::mesh::config {

struct NodeSection {
    std::string name;
    std::string zone;
    std::string address;
    std::string owner;
    friend bool operator==(const NodeSection&, const NodeSection&) = default;
};

struct LogSection {
    core::Level level = core::Level::info;
    core::LogFormat format = core::LogFormat::logfmt;
    friend bool operator==(const LogSection&, const LogSection&) = default;
};

struct AccessLogSection {
    std::string file;  // empty = with the log
    double sample = 1;
    Duration slow = std::chrono::seconds(1);
    friend bool operator==(const AccessLogSection&, const AccessLogSection&) = default;
};

struct AdminSection {
    std::string address = "127.0.0.1";
    std::uint16_t port = 19000;
    Secret token;
    friend bool operator==(const AdminSection&, const AdminSection&) = default;
};

struct UpgradeSection {
    std::string socket;  // path; empty = no take-over
    friend bool operator==(const UpgradeSection&, const UpgradeSection&) = default;
};

struct MetricsSection {
    bool enabled = true;
    friend bool operator==(const MetricsSection&, const MetricsSection&) = default;
};

struct EmbeddedDnsSection {
    bool enabled = true;
    std::string address;
    std::uint16_t port = 8600;
    std::string domain = "consul";
    Duration ttl = Duration::zero();
    bool only_passing = false;
    std::uint32_t udp_answer_limit = 3;
    bool enable_truncate = false;
    friend bool operator==(const EmbeddedDnsSection&, const EmbeddedDnsSection&) = default;
};

struct EmbeddedSection {
    std::string address = "127.0.0.1";
    std::uint16_t port = 8500;
    std::string data_dir;
    std::string node_name;
    std::uint32_t connections_per_client = 2'000;
    EmbeddedDnsSection dns;
    ListenerTlsSection tls;
    friend bool operator==(const EmbeddedSection&, const EmbeddedSection&) = default;
};

enum class AclDefault : std::uint8_t { allow, deny };

struct AclSection {
    bool enabled = false;
    AclDefault default_policy = AclDefault::allow;
    Secret initial_management;
    friend bool operator==(const AclSection&, const AclSection&) = default;
};

// A "host:port" text in its two parts.
struct NetworkAddress {
    std::string host;
    std::uint16_t port = 0;
    friend bool operator==(const NetworkAddress&, const NetworkAddress&) = default;
};

struct TlsSection {
    bool enabled = false;
    bool verify = true;
    std::string server_name;
    std::string ca;
    std::string certificate;
    Secret private_key;
    friend bool operator==(const TlsSection&, const TlsSection&) = default;
};

// Where what this process announces to Consul goes.
enum class ConsulDestination : std::uint8_t { agent, catalog };

struct ConsulSection {
    NetworkAddress address = {.host = "127.0.0.1", .port = 8500};
    Secret token;
    std::string token_file;
    TlsSection tls;
    std::string datacenter;
    Duration wait = std::chrono::seconds(55);
    bool stale = true;
    std::string filter;
    std::string near;
    ConsulDestination destination = ConsulDestination::agent;
    bool environment = false;
    friend bool operator==(const ConsulSection&, const ConsulSection&) = default;
};

struct EtcdSection {
    std::vector<std::string> endpoints = {"127.0.0.1:2379"};
    TlsSection tls;
    std::string user;
    Secret password;
    std::string prefix = "/dpmesh";
    Duration lease_ttl = std::chrono::seconds(15);
    friend bool operator==(const EtcdSection&, const EtcdSection&) = default;
};

struct ZookeeperSection {
    std::vector<std::string> servers = {"127.0.0.1:2181"};
    std::string user;
    Secret password;
    std::string prefix = "/dpmesh";
    Duration session_timeout = std::chrono::seconds(10);
    friend bool operator==(const ZookeeperSection&, const ZookeeperSection&) = default;
};

struct DnsNotifySection {
    std::string address;
    std::uint16_t port = 0;
    std::vector<std::string> from;
    std::string key_name;
    Secret key_secret;
    friend bool operator==(const DnsNotifySection&, const DnsNotifySection&) = default;
};

struct DnsSection {
    std::vector<std::string> servers = {"127.0.0.1:53"};
    std::string name = "{service}.service.consul";
    Dns::Records records = Dns::Records::srv;
    std::uint16_t port = 0;
    Duration ttl_min = std::chrono::seconds(2);
    Duration ttl_max = std::chrono::minutes(5);
    DnsNotifySection notify;
    friend bool operator==(const DnsSection&, const DnsSection&) = default;
};

struct FileSection {
    std::string path;
    Duration poll = std::chrono::seconds(10);
    friend bool operator==(const FileSection&, const FileSection&) = default;
};

enum class RegistryKind : std::uint8_t {
    embedded,
    consul,
    fixed,
    etcd,
    zookeeper,
    dns,
    file,
    merged
};
enum class MergedMode : std::uint8_t { priority, all };
enum class MergedHealth : std::uint8_t { worst, first };

// As it is written: "consul".
std::string_view name_of(RegistryKind kind);

struct MergedSection {
    std::vector<RegistryKind> members;
    MergedMode mode = MergedMode::priority;
    MergedHealth health = MergedHealth::worst;
    Duration failover_after = std::chrono::seconds(30);
    std::string register_with;
    friend bool operator==(const MergedSection&, const MergedSection&) = default;
};

struct RegistrySection {
    RegistryKind kind = RegistryKind::embedded;
    bool exec_checks = false;
    EmbeddedSection embedded;
    AclSection acl;
    ConsulSection consul;
    EtcdSection etcd;
    ZookeeperSection zookeeper;
    DnsSection dns;
    FileSection file;
    MergedSection merged;
    RegistryBreakerSection breaker;

    // Whether one of this kind is used, alone or among others.
    bool uses(RegistryKind wanted) const {
        const auto& members = merged.members;
        return kind == wanted ||
               (kind == RegistryKind::merged &&
                std::find(members.begin(), members.end(), wanted) != members.end());
    }

    friend bool operator==(const RegistrySection&, const RegistrySection&) = default;
};

struct ServiceSection {
    ServicePolicy policy;
    std::vector<NetworkAddress> endpoints;
    ServiceTlsSection tls;
    friend bool operator==(const ServiceSection&, const ServiceSection&) = default;
};

struct DefaultsSection {
    ServicePolicy policy;
    ServiceTlsSection tls;
    friend bool operator==(const DefaultsSection&, const DefaultsSection&) = default;
};

struct RedisSection {
    bool enabled = false;
    NetworkAddress address = {.host = "127.0.0.1", .port = 6379};
    std::string username;
    Secret password;
    std::uint32_t database = 0;
    bool tls = false;
    std::string tls_ca;
    std::string tls_certificate;
    Secret tls_private_key;
    std::string tls_server_name;
    std::string prefix = "dpmesh:";
    Duration timeout = std::chrono::milliseconds(100);
    Duration keep = std::chrono::hours(24);
    friend bool operator==(const RedisSection&, const RedisSection&) = default;
};

struct Config {
    std::uint32_t version = 1;
    NodeSection node;
    LogSection log;
    AccessLogSection access_log;
    AdminSection admin;
    UpgradeSection upgrade;
    MetricsSection metrics;
    RegistrySection registry;
    DiscoverySection discovery;
    RedisSection redis;
    std::uint32_t workers = 1;
    Duration drain_timeout = std::chrono::seconds(30);
    Duration drain_delay{};
    std::vector<ListenerSection> listeners;
    std::vector<routing::Route> routes;
    std::vector<ServiceConfig> registrations;  // key: register
    DefaultsSection defaults;
    std::map<std::string, ServiceSection> services;

    // The policy of a service: its own, or the defaults if the file does not name it. Of a subset
    // (routing::target_name()): that, for its endpoints.
    ServicePolicy policy_of(const std::string& name) const;

    // Callers of this process are where it is, unless the policy says otherwise.
    ServicePolicy in_own_zone(ServicePolicy policy) const {
        if (policy.zones.prefer_own && policy.zones.own.empty()) policy.zones.own = node.zone;
        return policy;
    }

    // Likewise.
    const ServiceTlsSection& tls_of(const std::string& name) const {
        const auto found = services.find(std::string(routing::service_of(name)));
        return found == services.end() ? defaults.tls : found->second.tls;
    }

    friend bool operator==(const Config&, const Config&) = default;
};

}  // namespace datapunk::mesh::config
