// What must hold between the fields of a Config, beyond the range of each.

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "config/load.h"
#include "config/routes.h"
#include "config/schema.h"
#include "core/metadata.h"
#include "core/shared_fields.h"
#include "routing/check_route.h"
#include "routing/route_table.h"
#include "wire/spiffe_id.h"

namespace datapunk::mesh::config {

namespace {

class Checks {
  public:
    Checks(const Config& config, const Tree& tree, std::vector<Problem>& problems)
        : config_(config), tree_(tree), problems_(problems) {}

    void run() {
        node();
        admin();
        registry();
        redis();
        listeners();
        routes();
        registrations();
        services();
        ports();
    }

  private:
    void fail(const std::string& path, std::string text, std::string hint = {}) {
        problems_.push_back(
            problem_at(nearest(tree_, path).place, path, std::move(text), std::move(hint))
        );
    }

    static bool is_loopback(const std::string& address) {
        return address == "localhost" || address == "::1" || address.starts_with("127.");
    }

    // What one listens on is an address: a name may mean several, and another tomorrow.
    void listen_address(const std::string& address, const std::string& path) {
        in6_addr parsed{};
        const bool is_ip = inet_pton(AF_INET, address.c_str(), &parsed) == 1 ||
                           inet_pton(AF_INET6, address.c_str(), &parsed) == 1;
        if (is_ip) return;
        fail(
            path,
            fmt::format("\"{}\" is not an IP address", address),
            address == "localhost" ? "write 127.0.0.1" : "0.0.0.0 listens on all"
        );
    }

    void node() {
        const auto problem = core::meta_problem(meta_key::zone, config_.node.zone);
        if (!problem.empty()) fail("node.zone", problem);
    }

    void admin() {
        listen_address(config_.admin.address, "admin.address");
        if (config_.admin.token.empty() && !is_loopback(config_.admin.address)) {
            fail(
                "admin.address",
                fmt::format(
                    "\"{}\" is not loopback: whoever reaches it could change traffic",
                    config_.admin.address
                ),
                "set admin.token"
            );
        }
    }

    static bool is_label(std::string_view label) {
        return !label.empty() && label.size() <= 63 &&
               std::all_of(label.begin(), label.end(), [](char c) {
                   return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || c == '-' || c == '_';
               });
    }

    void dns_door(const EmbeddedDnsSection& dns) {
        if (!dns.enabled) return;
        const std::string at = "registry.embedded.dns";
        if (!dns.address.empty()) listen_address(dns.address, at + ".address");
        std::string_view domain = dns.domain;
        if (domain.ends_with('.')) domain.remove_suffix(1);
        const auto labels = core::split(domain, '.');
        const bool is_domain =
            domain.size() <= 100 && std::all_of(labels.begin(), labels.end(), is_label);
        if (!is_domain)
            fail(
                at + ".domain",
                fmt::format("\"{}\" is not a domain name", dns.domain.substr(0, 100))
            );
        if (dns.ttl % std::chrono::seconds(1) != Duration::zero())
            fail(at + ".ttl", "must be whole seconds, as DNS has no others");
    }

    void registry() {
        const RegistryBreakerSection& breaker = config_.registry.breaker;
        if (breaker.open_max < breaker.open_for)
            fail("registry.breaker.open_max", "must not be below open_for");
        if (config_.registry.kind == RegistryKind::merged) merged();
        if (config_.registry.uses(RegistryKind::embedded)) {
            listen_address(config_.registry.embedded.address, "registry.embedded.address");
            dns_door(config_.registry.embedded.dns);
            listener_tls(config_.registry.embedded.tls, "registry.embedded.tls");
        }
        const AclSection& acl = config_.registry.acl;
        if (acl.enabled && !config_.registry.uses(RegistryKind::embedded)) {
            fail("registry.acl.enabled", "only the embedded registry has access control of ours");
        }
        if (!acl.enabled && !acl.initial_management.empty()) {
            fail(
                "registry.acl.initial_management",
                "has no effect while registry.acl.enabled is false",
                "set registry.acl.enabled"
            );
        }
        if (config_.registry.uses(RegistryKind::file) && config_.registry.file.path.empty())
            fail("registry.file.path", "must say where the services are written");
        const DnsSection& dns = config_.registry.dns;
        if (dns.ttl_max < dns.ttl_min)
            fail("registry.dns.ttl_max", "must be at least registry.dns.ttl_min");
        if (config_.registry.uses(RegistryKind::dns) && dns.records == Dns::Records::address &&
            dns.port == 0)
            fail("registry.dns.port", "is needed for records: address");
    }

    void merged() {
        const MergedSection& merged = config_.registry.merged;
        const std::string at = "registry.merged.members";
        if (merged.members.size() < 2) fail(at, "must name two registries at least");
        std::set<RegistryKind> seen;
        bool is_writer_there = merged.register_with.empty();
        for (const RegistryKind kind : merged.members) {
            const std::string_view name = name_of(kind);
            if (kind == RegistryKind::merged || kind == RegistryKind::fixed)
                fail(at, fmt::format("\"{}\" cannot be one of several", name));
            if (!seen.insert(kind).second) fail(at, fmt::format("\"{}\" is here twice", name));
            is_writer_there = is_writer_there || name == merged.register_with;
        }
        if (!is_writer_there) {
            fail(
                "registry.merged.register_with",
                fmt::format("\"{}\" is not among the members", merged.register_with)
            );
        }
    }

    void redis() {
        const RedisSection& redis = config_.redis;
        if (!redis.username.empty() && redis.password.empty())
            fail("redis.username", "needs a password", "set redis.password");
        const std::pair<const char*, bool> with_tls[] = {
            {"redis.tls_ca", !redis.tls_ca.empty()},
            {"redis.tls_certificate", !redis.tls_certificate.empty()},
            {"redis.tls_private_key", !redis.tls_private_key.empty()},
            {"redis.tls_server_name", !redis.tls_server_name.empty()},
        };
        for (const auto& [field, is_set] : with_tls) {
            if (is_set && !redis.tls)
                fail(field, "has no effect without redis.tls", "set redis.tls: true");
        }
        if (redis.tls_certificate.empty() != redis.tls_private_key.empty())
            fail("redis.tls_private_key", "tls_certificate and tls_private_key need each other");
        const bool is_printable = std::all_of(redis.prefix.begin(), redis.prefix.end(), [](char c) {
            return c > ' ' && c <= '~';
        });
        if (redis.prefix.empty() || redis.prefix.size() > 64 || !is_printable)
            fail("redis.prefix", "must have 1 to 64 printable bytes");
    }

    // Adds what is not there yet; a second one of the same name is a problem.
    void unique(std::set<std::string>& seen, const std::string& name, const std::string& path) {
        if (name.empty()) fail(path, "must not be empty");
        if (!name.empty() && !seen.insert(name).second)
            fail(path, fmt::format("\"{}\" is here twice", name));
    }

    void listeners() {
        std::set<std::string> seen;
        for (std::size_t i = 0; i < config_.listeners.size(); ++i) {
            const std::string at = fmt::format("listeners[{}]", i);
            unique(seen, config_.listeners[i].name, at + ".name");
            listen_address(config_.listeners[i].address, at + ".address");
            listener_tls(config_.listeners[i].tls, at + ".tls");
            listener_tcp(config_.listeners[i], at);
            listener_capture(config_.listeners[i], at + ".capture");
            listener_upgrade(config_.listeners[i].upgrade, at + ".upgrade.protocols");
        }
    }

    void listener_tcp(const ListenerSection& listener, const std::string& at) {
        const ListenerTcpSection& tcp = listener.tcp;
        if (listener.protocol != ListenerProtocol::tcp) {
            if (tcp != ListenerTcpSection())
                fail(at + ".tcp", "has no effect with protocol: http", "set protocol: tcp");
            return;
        }
        if (tcp.service.empty() && tcp.sni.empty() && !listener.capture.enabled)
            fail(at + ".tcp.service", "must say where connections go");
        if (!tcp.service.empty()) tcp_service(tcp.service, at + ".tcp.service");
        for (std::size_t i = 0; i < tcp.sni.size(); ++i) {
            const std::string path = fmt::format("{}.tcp.sni[{}]", at, i);
            tcp_service(tcp.sni[i].service, path + ".service");
            if (tcp.sni[i].names.empty()) fail(path + ".names", "must have one at least");
            for (const std::string& name : tcp.sni[i].names) server_name(name, path + ".names");
        }
    }

    void listener_capture(const ListenerSection& listener, const std::string& at) {
        const ListenerCaptureSection& capture = listener.capture;
        if (!capture.enabled) {
            if (capture != ListenerCaptureSection())
                fail(at, "has no effect while it is not enabled", "set " + at + ".enabled");
            return;
        }
        // What would be passed on is no longer what the caller has said: its TLS ended here.
        if (capture.pass_on && listener.tls.is_on())
            fail(at + ".pass_on", "cannot be with certificates", "set " + at + ".pass_on: false");
        if (listener.protocol != ListenerProtocol::tcp && !capture.destinations.empty())
            fail(at + ".destinations", "has no effect with protocol: http: routes decide");
        for (std::size_t i = 0; i < capture.destinations.size(); ++i) {
            const std::string path = fmt::format("{}.destinations[{}]", at, i);
            tcp_service(capture.destinations[i].service, path + ".service");
            const auto& ports = capture.destinations[i].ports;
            if (std::find(ports.begin(), ports.end(), 0) != ports.end())
                fail(path + ".ports", "0 is no port");
        }
    }

    void listener_upgrade(const ListenerUpgradeSection& upgrade, const std::string& path) {
        for (const std::string& protocol : upgrade.protocols) {
            const bool is_name = !protocol.empty() && protocol.size() <= 32 &&
                                 std::all_of(protocol.begin(), protocol.end(), [](char c) {
                                     return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                                            c == '-' || c == '.' || c == '/' || c == '_';
                                 });
            if (!is_name) {
                fail(path, fmt::format("\"{:.100}\" is no protocol in lower case", protocol));
            } else if (protocol.starts_with("h2") || protocol.starts_with("http") ||
                       protocol.starts_with("tls")) {
                // Endpoints would read what follows as requests that nobody has looked at.
                fail(path, fmt::format("\"{}\" would carry requests past the routes", protocol));
            }
        }
    }

    void tcp_service(const std::string& name, const std::string& path) {
        service_name(name, path);
        if (config_.registry.kind == RegistryKind::fixed && !config_.services.contains(name))
            fail(path, fmt::format("services has no \"{}\", which kind static needs", name));
    }

    void server_name(std::string_view name, const std::string& path) {
        const std::string whole(name);
        if (name.starts_with("*.")) name.remove_prefix(2);
        const bool is_lower =
            std::none_of(name.begin(), name.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
        const auto labels = core::split(name, '.');
        if (!is_lower || !std::all_of(labels.begin(), labels.end(), is_label))
            fail(path, fmt::format("\"{:.100}\" is no host name in lower case", whole));
    }

    void listener_tls(const ListenerTlsSection& tls, const std::string& at) {
        if (!tls.is_on()) {
            if (tls != ListenerTlsSection())
                fail(at, "has no effect without certificates", "set " + at + ".certificates");
            return;
        }
        constexpr std::size_t kCertificatesMax = 1'000;  // they are looked through one by one
        if (tls.certificates.size() > kCertificatesMax)
            fail(at + ".certificates", fmt::format("has more than {}", kCertificatesMax));
        const bool is_default = tls.client_certificate == ListenerTlsSection().client_certificate;
        if (tls.client_ca.empty() && tls.client_certificate != ClientCertificate::none &&
            !is_default)
            fail(at + ".client_certificate", "has no effect without client_ca", "set client_ca");
        if (!tls.client_ca.empty() && tls.client_certificate == ClientCertificate::none)
            fail(at + ".client_ca", "has no effect with client_certificate: none");
        if (!tls.allow.empty() && tls.client_ca.empty())
            fail(at + ".allow", "needs client_ca: nobody has proved who he is", "set client_ca");
        for (std::size_t i = 0; i < tls.allow.size(); ++i) {
            const Result<> verdict = wire::check_spiffe_pattern(tls.allow[i]);
            if (!verdict) fail(fmt::format("{}.allow[{}]", at, i), verdict.error().what);
        }
    }

    void service_tls(const ServiceTlsSection& tls, const std::string& at) {
        ServiceTlsSection off = tls;
        off.enabled = false;
        if (!tls.enabled && off != ServiceTlsSection() && at != "defaults.tls")
            fail(at, "has no effect while it is not enabled", "set " + at + ".enabled: true");
        if (tls.certificate.empty() != tls.private_key.empty())
            fail(at + ".private_key", "certificate and private_key need each other");
        for (std::size_t i = 0; i < tls.identities.size(); ++i) {
            const auto id = wire::parse_spiffe_id(tls.identities[i]);
            if (!id || id->path.empty())
                fail(
                    fmt::format("{}.identities[{}]", at, i),
                    fmt::format("\"{:.200}\" is no SPIFFE id", tls.identities[i]),
                    "such as spiffe://mesh.example/web"
                );
        }
        if (!tls.verify && !tls.identities.empty())
            fail(at + ".identities", "has no effect with verify: false");
        if (!tls.verify && !tls.ca.empty()) fail(at + ".ca", "has no effect with verify: false");
    }

    void routes() {
        std::vector<std::string_view> listeners;
        for (const auto& listener : config_.listeners) listeners.push_back(listener.name);
        std::set<std::string> seen;
        const std::size_t before = problems_.size();
        const std::vector<routing::Route> routes = routes_of(config_);
        for (std::size_t i = 0; i < routes.size(); ++i) {
            const routing::Route& route = routes[i];
            const std::string at = fmt::format("routes[{}]", i);
            unique(seen, route.name, at + ".name");
            for (const routing::RouteProblem& problem : problems_of(route))
                fail(join_path(at, problem.key), problem.text);
            route_services(route, at);
            const bool known =
                std::find(listeners.begin(), listeners.end(), route.listener) != listeners.end();
            const bool is_tcp = std::any_of(
                config_.listeners.begin(),
                config_.listeners.end(),
                [&](const auto& listener) {
                    return listener.name == route.listener &&
                           listener.protocol == ListenerProtocol::tcp;
                }
            );
            if (is_tcp)
                fail(at + ".listener", "speaks tcp: its tcp.service says where connections go");
            if (!route.listener.empty() && !known) {
                fail(
                    at + ".listener",
                    fmt::format("there is no listener \"{}\"", route.listener),
                    suggestion(route.listener, listeners)
                );
            }
        }
        if (problems_.size() > before) return;
        if (auto table = routing::RouteTable::create(routes); !table)
            fail("routes", table.error().what);
    }

    // With static endpoints, a service that is not written here is nowhere.
    void route_services(const routing::Route& route, const std::string& at) {
        std::vector<std::string_view> services;
        for (const auto& [name, section] : config_.services) services.push_back(name);
        for (const routing::RouteTarget& target : routing::targets_of(route)) {
            const std::string where = join_path(at, target.key);
            const auto known = config_.services.find(target.service);
            if (known == config_.services.end()) {
                if (config_.registry.kind != RegistryKind::fixed || target.service.empty())
                    continue;
                fail(
                    where,
                    fmt::format("services has no \"{}\", which kind static needs", target.service),
                    suggestion(target.service, services)
                );
                continue;
            }
            if (!target.subset.empty() && !known->second.endpoints.empty())
                fail(where, "has endpoints here, which have no metadata: it has no subsets");
        }
        for (const routing::RouteTarget& target : routing::targets_of(route))
            route_policy(route, target, at);
    }

    // With what the route says, the service's policy must still be one.
    void route_policy(
        const routing::Route& route, const routing::RouteTarget& target, const std::string& at
    ) {
        ServicePolicy policy = config_.policy_of(target.name());
        if (!check(policy)) return;  // told where it stands
        for (const auto& [key, value] : target.subset) {
            const auto wanted = policy.subset.metadata.find(key);
            if (wanted->second == value) continue;
            fail(
                join_path(at, target.key),
                fmt::format(
                    "the policy of {} wants {}={} of all endpoints: none has {}={}",
                    target.service,
                    key,
                    wanted->second,
                    key,
                    value
                )
            );
        }
        if (route.rate_limit) policy.limits.rate = *route.rate_limit;
        if (const Result<> verdict = check(policy); !verdict)
            fail(at + ".rate_limit", verdict.error().what);
        if (!route.retry) return;
        policy.retry = route.retry->over(policy.retry);
        if (const Result<> verdict = check(policy); !verdict)
            fail(at + ".retry", verdict.error().what);
    }

    void service_name(const std::string& name, const std::string& path) {
        if (const Result<> verdict = check_service_name(name); !verdict)
            fail(path, verdict.error().what);
    }

    void registrations() {
        if (config_.registry.kind == RegistryKind::fixed && !config_.registrations.empty())
            fail("register", "there is no registry to announce to when registry.kind is static");
        const bool is_catalog = config_.registry.kind == RegistryKind::consul &&
                                config_.registry.consul.destination == ConsulDestination::catalog;
        if (is_catalog && (config_.node.name.empty() || config_.node.address.empty()))
            fail("registry.consul.destination", "catalog needs node.name and node.address");
        std::set<std::string> ids;
        for (std::size_t i = 0; i < config_.registrations.size(); ++i) {
            const std::string at = fmt::format("register[{}]", i);
            const Result<ServiceConfig> verdict = checked(config_.registrations[i]);
            if (!verdict) {
                fail(at, verdict.error().what);
            } else {
                unique(ids, verdict.value().id, at + ".id");
            }
        }
    }

    void services() {
        policy(config_.defaults.policy, "defaults.policy");
        service_tls(config_.defaults.tls, "defaults.tls");
        for (const auto& [name, service] : config_.services) {
            const std::string at = join_path("services", name);
            service_name(name, at);
            policy(service.policy, at + ".policy");
            service_tls(service.tls, at + ".tls");
            if (config_.registry.kind == RegistryKind::fixed && service.endpoints.empty())
                fail(at + ".endpoints", "must be written here when registry.kind is static");
        }
    }

    void policy(const ServicePolicy& one, const std::string& path) {
        const Result<> verdict = check(config_.in_own_zone(one));
        if (!verdict) fail(path, verdict.error().what);
        if (config_.redis.enabled) return;
        for (const std::string_view field : core::fields_that_need_redis(one))
            fail(fmt::format("{}.{}", path, field), "needs Redis", "set redis.enabled");
    }

    struct Door {
        std::string address;
        std::uint16_t port;
        std::string path;
    };

    static bool is_wildcard(const std::string& address) {
        return address == "0.0.0.0" || address == "::" || address.empty();
    }

    void ports() {
        std::vector<Door> doors = {{config_.admin.address, config_.admin.port, "admin.port"}};
        if (config_.registry.uses(RegistryKind::embedded)) {
            const EmbeddedSection& embedded = config_.registry.embedded;
            doors.push_back({embedded.address, embedded.port, "registry.embedded.port"});
            const EmbeddedDnsSection& dns = embedded.dns;
            const std::string& address = dns.address.empty() ? embedded.address : dns.address;
            if (dns.enabled) doors.push_back({address, dns.port, "registry.embedded.dns.port"});
        }
        for (std::size_t i = 0; i < config_.listeners.size(); ++i) {
            const ListenerSection& listener = config_.listeners[i];
            doors.push_back({listener.address, listener.port, fmt::format("listeners[{}].port", i)}
            );
        }
        for (std::size_t i = 0; i < doors.size(); ++i) {
            for (std::size_t k = 0; k < i; ++k) {
                if (doors[i].port == 0 || doors[i].port != doors[k].port) continue;
                if (doors[i].address != doors[k].address && !is_wildcard(doors[i].address) &&
                    !is_wildcard(doors[k].address))
                    continue;
                fail(
                    doors[i].path,
                    fmt::format("port {} is taken by {}", doors[i].port, doors[k].path)
                );
                break;
            }
        }
    }

    const Config& config_;
    const Tree& tree_;
    std::vector<Problem>& problems_;
};

}  // namespace

void check_semantics(const Config& config, const Tree& tree, std::vector<Problem>& problems) {
    Checks(config, tree, problems).run();
}

}  // namespace datapunk::mesh::config
