// The tables of Config and of every section in config.h, a line a field.

#include "config/tables.h"

#include "config/codecs.h"

namespace datapunk::mesh::config {

using namespace std::chrono_literals;

// In policy_tables.cpp.
template <>
const Table& table_of<ServicePolicy>();
template <>
const Table& table_of<ServiceConfig>();
// In listener_tables.cpp.
template <>
const Table& table_of<ListenerTcpSection>();
// In tls_tables.cpp.
template <>
const Table& table_of<ListenerTlsSection>();
template <>
const Table& table_of<ServiceTlsSection>();

template <>
const EnumNames<core::Level>& names_of<core::Level>() {
    static const EnumNames<core::Level> names = {
        {core::Level::debug, "debug"},
        {core::Level::info, "info"},
        {core::Level::warn, "warn"},
        {core::Level::error, "error"},
    };
    return names;
}

template <>
const EnumNames<core::LogFormat>& names_of<core::LogFormat>() {
    static const EnumNames<core::LogFormat> names = {
        {core::LogFormat::logfmt, "logfmt"}, {core::LogFormat::json, "json"}
    };
    return names;
}

template <>
const EnumNames<RegistryKind>& names_of<RegistryKind>() {
    static const EnumNames<RegistryKind> names = {
        {RegistryKind::embedded, "embedded"},
        {RegistryKind::consul, "consul"},
        {RegistryKind::fixed, "static"},
        {RegistryKind::etcd, "etcd"},
        {RegistryKind::zookeeper, "zookeeper"},
        {RegistryKind::dns, "dns"},
        {RegistryKind::file, "file"},
        {RegistryKind::merged, "merged"},
    };
    return names;
}

std::string_view name_of(RegistryKind kind) {
    for (const auto& [value, name] : names_of<RegistryKind>()) {
        if (value == kind) return name;
    }
    return {};
}

template <>
const EnumNames<MergedMode>& names_of<MergedMode>() {
    static const EnumNames<MergedMode> names = {
        {MergedMode::priority, "priority"}, {MergedMode::all, "all"}
    };
    return names;
}

template <>
const EnumNames<MergedHealth>& names_of<MergedHealth>() {
    static const EnumNames<MergedHealth> names = {
        {MergedHealth::worst, "worst"}, {MergedHealth::first, "first"}
    };
    return names;
}

template <>
const EnumNames<Dns::Records>& names_of<Dns::Records>() {
    static const EnumNames<Dns::Records> names = {
        {Dns::Records::srv, "srv"},
        {Dns::Records::address, "address"},
        {Dns::Records::dns_sd, "dns-sd"},
    };
    return names;
}

template <>
const EnumNames<AclDefault>& names_of<AclDefault>() {
    static const EnumNames<AclDefault> names = {
        {AclDefault::allow, "allow"}, {AclDefault::deny, "deny"}
    };
    return names;
}

template <>
const EnumNames<ConsulDestination>& names_of<ConsulDestination>() {
    static const EnumNames<ConsulDestination> names = {
        {ConsulDestination::agent, "agent"}, {ConsulDestination::catalog, "catalog"}
    };
    return names;
}

template <>
const EnumNames<ListenerProtocol>& names_of<ListenerProtocol>() {
    static const EnumNames<ListenerProtocol> names = {
        {ListenerProtocol::http, "http"}, {ListenerProtocol::tcp, "tcp"}
    };
    return names;
}

// clang-format off
template <>
const Table& table_of<NodeSection>() {
    using N = NodeSection;
    static const Table table =
        TableOf<N>("node", "The machine or container that this process runs on.")
            .field("name", &N::name, "Its name in the embedded registry; empty = the host name.")
            .field("zone", &N::zone, "Where it is, such as a data centre or a rack: that of what `register` announces, unless it has one.")
            .field("address", &N::address, "Address of the node in the embedded registry, for services that give none; empty = the one the registry listens on.")
            .field("owner", &N::owner, "Names what runs here, in the metadata of what `register` announces: what an earlier run left when it was killed is removed. A promise that only one run of it exists at a time, wherever; empty = the host name, and then only what runs left that this kernel knows to have ended.")
            .table();
    return table;
}

template <>
const Table& table_of<LogSection>() {
    using L = LogSection;
    static const Table table =
        TableOf<L>("log", "What is logged, to standard error.")
            .field("level", &L::level, "Least important level that is written.")
            .field("format", &L::format, "logfmt for people, json for collectors.")
            .table();
    return table;
}

template <>
const Table& table_of<AccessLogSection>() {
    using A = AccessLogSection;
    static const Table table =
        TableOf<A>("access_log", "One line for each request of the listeners that say `access_log`. A bounded buffer of each worker holds them until they are written; what does not fit is dropped and counted, and no request waits.")
            .field("file", &A::file, "A file, one JSON object a line, opened again at SIGUSR1 and SIGHUP. Empty: standard error, in the format of the log.")
            .field("sample", &A::sample, "Which share of the requests is logged; a line's `sample` says which share it stands for. Those that failed (5xx, or no whole answer) or were slow always are.", between(0, 1))
            .field("slow", &A::slow, "A request that takes as long is always logged. 0s: none is.", between(0s, 1h))
            .table();
    return table;
}

template <>
const Table& table_of<AdminSection>() {
    using A = AdminSection;
    static const Table table =
        TableOf<A>("admin", "The admin API and the dashboard.")
            .field("address", &A::address, "Address to listen on. Loopback: whoever reaches it can change traffic; others need a token.")
            .field("port", &A::port, "Port; 0 = any free one. Below the kernel's ephemeral range.", between(0, 65535))
            .field("token", &A::token, "Token that callers send as a bearer; required unless the address is loopback.")
            .table();
    return table;
}

template <>
const Table& table_of<UpgradeSection>() {
    using U = UpgradeSection;
    static const Table table =
        TableOf<U>("upgrade", "How a new process takes the place of this one without a refused connection.")
            .field("socket", &U::socket, "Path of the Unix socket over which `dpmesh agent --take-over` is handed the listening sockets; empty = off. Only this user and root are spoken to.")
            .table();
    return table;
}

template <>
const Table& table_of<MetricsSection>() {
    using M = MetricsSection;
    static const Table table =
        TableOf<M>("metrics", "Metrics for Prometheus, at /metrics of the admin API.")
            .field("enabled", &M::enabled, "Whether they are served. Recording costs nanoseconds and stays on.")
            .table();
    return table;
}

template <>
const Table& table_of<EmbeddedDnsSection>() {
    using D = EmbeddedDnsSection;
    static const Table table =
        TableOf<D>("dns", "The embedded registry's DNS server, by UDP and TCP: NAME.service.consul and the like.")
            .field("enabled", &D::enabled, "Whether there is one.")
            .field("address", &D::address, "Address to listen on; empty = the registry's.")
            .field("port", &D::port, "Port; 0 = any free one. 8600 is Consul's; if somebody has it already, the registry runs without DNS and says so. Any other port that is taken is an error.", between(0, 65535))
            .field("domain", &D::domain, "What all names end in.")
            .field("ttl", &D::ttl, "Time to live of the records, in whole seconds; 0 = resolvers ask each time and see a change at once.", between(0s, 24h))
            .field("only_passing", &D::only_passing, "Leave out instances with a warning, not only critical ones.")
            .field("udp_answer_limit", &D::udp_answer_limit, "Most records in an answer of 512 bytes (no EDNS).", between(1, 1000))
            .field("enable_truncate", &D::enable_truncate, "Mark answers that records were left out of, so that resolvers ask again by TCP. Off as in Consul: a few of many are enough for most.")
            .table();
    return table;
}

template <>
const Table& table_of<EmbeddedSection>() {
    using E = EmbeddedSection;
    static const Table table =
        TableOf<E>("embedded", "The registry in this process; speaks Consul's HTTP API.")
            .field("address", &E::address, "Address to listen on.")
            .field("port", &E::port, "Port; 0 = any free one. 8500 is where Consul's clients look.", between(0, 65535))
            .field("data_dir", &E::data_dir, "Where it keeps its state; empty = in memory only, allowed with --dev.")
            .field("node_name", &E::node_name, "Name of the node it reports; empty = node.name.")
            .field("connections_per_client", &E::connections_per_client, "Open connections of one address; more are answered 429. Consul's limit is 200; an agent holds one for each service that it follows. 0 = no limit.", between(0, 65535))
            .field("dns", &E::dns, "Its DNS server.")
            .field("tls", &E::tls, "HTTPS instead of HTTP; without certificates plain text is spoken.")
            .table();
    return table;
}

template <>
const Table& table_of<AclSection>() {
    using A = AclSection;
    static const Table table =
        TableOf<A>("acl", "Access control of the embedded registry: Consul's tokens and policies.")
            .field("enabled", &A::enabled, "Whether it asks for tokens. Off: whoever reaches it may do everything, so keep it on loopback.")
            .field("default_policy", &A::default_policy, "What a token, or a caller without one, may do where no rule speaks of it.")
            .field("initial_management", &A::initial_management, "A token that may do everything. Empty = the first one comes from PUT /v1/acl/bootstrap.")
            .table();
    return table;
}

template <>
const Table& table_of<TlsSection>() {
    using T = TlsSection;
    static const Table table =
        TableOf<T>("tls", "TLS towards the registry. Certificates and keys are PEM text or the path of a file.")
            .field("enabled", &T::enabled, "Whether it is spoken. Off: registries listen on loopback beside us.")
            .field("verify", &T::verify, "Whether the certificate must be good. Off only for debugging: whoever answers is believed.")
            .field("server_name", &T::server_name, "What the certificate must be for; empty = the host.")
            .field("ca", &T::ca, "Who may have signed it, or a directory of PEM files; empty = the system's roots.")
            .field("certificate", &T::certificate, "Our certificate, for a registry that asks for one.")
            .field("private_key", &T::private_key, "Its key.")
            .table();
    return table;
}

template <>
const Table& table_of<ConsulSection>() {
    using C = ConsulSection;
    static const Table table =
        TableOf<C>("consul", "A Consul agent or server, used when kind is consul.")
            .field("address", &C::address, "host:port of its HTTP API.")
            .field("token", &C::token, "ACL token.")
            .field("token_file", &C::token_file, "Holds the token instead; read again every 10 s and when Consul refuses the token, so that it may be replaced.")
            .field("tls", &C::tls, "https to Consul, with certificates.")
            .field("datacenter", &C::datacenter, "Datacenter to ask; empty = the agent's own.")
            .field("stale", &C::stale, "Whether any server may answer questions, not only the leader: they go on through an election.")
            .field("filter", &C::filter, "Only instances that match, in Consul's filter language; empty = all.")
            .field("near", &C::near, "Sort by distance from this node; _agent = the agent's; empty = no.")
            .field("destination", &C::destination, "Where `register` goes. agent: the agent at `address`, which must be beside us and runs the checks. catalog: by way of any agent or server, as node node.name at node.address; we run the checks and renew. See operations.md.")
            .field("environment", &C::environment, "Whether CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN, CONSUL_CACERT and the other variables of Consul's own client count instead of what is written here.")
            .field("wait", &C::wait, "Longest wait of a blocking query. Under a minute: many middleboxes cut idle connections at 60 s.", between(1s, 10min))
            .table();
    return table;
}

template <>
const Table& table_of<EtcdSection>() {
    using E = EtcdSection;
    static const Table table =
        TableOf<E>("etcd", "etcd v3, used when kind is etcd. What is registered hangs on a lease of this process.")
            .field("endpoints", &E::endpoints, "Members of one cluster, host:port, at most 16; the first that answers is used until it fails.")
            .field("tls", &E::tls, "TLS towards them.")
            .field("user", &E::user, "User; empty = no authentication.")
            .field("password", &E::password, "Password.")
            .field("prefix", &E::prefix, "What all keys begin with.")
            .field("lease_ttl", &E::lease_ttl, "How long after this process its registrations end, whole seconds. Shorter makes a busy machine lose them.", between(5s, 1h))
            .table();
    return table;
}

template <>
const Table& table_of<ZookeeperSection>() {
    using Z = ZookeeperSection;
    static const Table table =
        TableOf<Z>("zookeeper", "ZooKeeper, used when kind is zookeeper and the program was built with it. What is registered ends with this process's session.")
            .field("servers", &Z::servers, "Servers of one ensemble, host:port, at most 16; tried in turn.")
            .field("user", &Z::user, "User for digest authentication; empty = none. With one, only this user can read and write what we make.")
            .field("password", &Z::password, "Password.")
            .field("prefix", &Z::prefix, "The path above all nodes.")
            .field("session_timeout", &Z::session_timeout, "How long after this process was last heard of its registrations end; the server keeps it within 2 and 20 of its ticks.", between(1s, 10min))
            .table();
    return table;
}

template <>
const Table& table_of<DnsNotifySection>() {
    using N = DnsNotifySection;
    static const Table table =
        TableOf<N>("notify", "NOTIFY (RFC 1996): the zone's primary says that something changed, and it is asked at once.")
            .field("address", &N::address, "Address to listen on; empty = not at all.")
            .field("port", &N::port, "Port; 0 = any free one. Primaries send to 53 unless told otherwise.", between(0, 65535))
            .field("from", &N::from, "Who may send it, besides the servers: IP addresses.")
            .field("key_name", &N::key_name, "Name of a TSIG key (hmac-sha256). With one, only signed notifications count.")
            .field("key_secret", &N::key_secret, "The key, base64.")
            .table();
    return table;
}

template <>
const Table& table_of<DnsSection>() {
    using D = DnsSection;
    static const Table table =
        TableOf<D>("dns", "DNS servers that know the services, used when kind is dns. Read-only.")
            .field("servers", &D::servers, "ip or ip:port, at most 8; the first that answers is used until it fails.")
            .field("name", &D::name, "The name asked for; {service} stands for the service. For dns-sd the name to browse, such as _{service}._tcp.example.org.")
            .field("records", &D::records, "srv: SRV records; address: A and AAAA, with port; dns-sd: PTR, SRV and TXT (RFC 6763).")
            .field("port", &D::port, "Port of every endpoint, for records: address.", between(0, 65535))
            .field("ttl_min", &D::ttl_min, "A record's time to live counts as at least this: 0 would mean to ask all the time.", between(100ms, 24h))
            .field("ttl_max", &D::ttl_max, "And as at most this: longer would mean not to notice a change.", between(100ms, 24h))
            .field("notify", &D::notify, "Being told of changes.")
            .table();
    return table;
}

template <>
const Table& table_of<FileSection>() {
    using F = FileSection;
    static const Table table =
        TableOf<F>("file", "Services written in a file, used when kind is file; changes are followed. Read-only.")
            .field("path", &F::path, "A .json file, another file (YAML), or a directory of them.")
            .field("poll", &F::poll, "Looked at also without a change being told: network file systems tell none.", between(1s, 1h))
            .table();
    return table;
}

template <>
const Table& table_of<MergedSection>() {
    using M = MergedSection;
    static const Table table =
        TableOf<M>("merged", "Several registries as one, used when kind is merged; each is configured in its own section.")
            .field("members", &M::members, "Their kinds, the most important first: two at least, none twice, not static.")
            .field("mode", &M::mode, "priority: the first that knows endpoints of a service; all: everybody's together, duplicates once.")
            .field("health", &M::health, "Of an endpoint that two know, with mode all: the worse one, or that of the first.")
            .field("failover_after", &M::failover_after, "With mode priority: how long one that fails is believed before the next one steps in. Outlasts a restart.", between(0s, 1h))
            .field("register_with", &M::register_with, "The member to which register announces; empty = the first that can.")
            .table();
    return table;
}

template <>
const Table& table_of<RegistryBreakerSection>() {
    using B = RegistryBreakerSection;
    static const Table table =
        TableOf<B>("breaker", "A circuit breaker in front of the registry: one that keeps failing is left in peace, then probed.")
            .field("enabled", &B::enabled, "Whether it acts.")
            .field("consecutive", &B::consecutive, "Failures in a row that open it; 0 = off.", between(0, 10'000))
            .field("failure_rate", &B::failure_rate, "Share of failures in the last 50 requests that opens it, once there were 20.", between(0.01, 1))
            .field("open_for", &B::open_for, "How long it stays open the first time; doubles each time. A second: the registry's return is waited for.", between(1ms, 24h))
            .field("open_max", &B::open_max, "Longest time open, at least open_for. Ten seconds: heartbeats wait for it, too.", between(1ms, 24h))
            .table();
    return table;
}

template <>
const Table& table_of<RegistrySection>() {
    using R = RegistrySection;
    static const Table table =
        TableOf<R>("registry", "The system of record for services.")
            .field("kind", &R::kind, "embedded needs nothing else; static knows only the endpoints written in services.")
            .field("exec_checks", &R::exec_checks, "Whether checks may run programs on this machine: those registered at the embedded registry, and those of `register` that no registry runs. Off: whoever may register a service could run anything as this user.")
            .field("embedded", &R::embedded, "The embedded registry.")
            .field("acl", &R::acl, "Access control of the embedded registry.")
            .field("consul", &R::consul, "Consul.")
            .field("etcd", &R::etcd, "etcd.")
            .field("zookeeper", &R::zookeeper, "ZooKeeper.")
            .field("dns", &R::dns, "DNS.")
            .field("file", &R::file, "A file.")
            .field("merged", &R::merged, "Several of these at once.")
            .field("breaker", &R::breaker, "Circuit breaker in front of the registry: one that keeps failing is left in peace, then probed.")
            .table();
    return table;
}

template <>
const Table& table_of<SnapshotSection>() {
    using S = SnapshotSection;
    static const Table table =
        TableOf<S>("snapshot", "The last good sets in a file, so that a restart while the registry is away still routes.")
            .field("file", &S::file, "Path; its directory must exist, and no other process may use it. Empty = none.")
            .field("delay", &S::delay, "Changes within it are one write. A write is a few megabytes at most and an fsync.", between(10ms, 1min))
            .field("max_age", &S::max_age, "Sets that no registry has confirmed for so long are not used; addresses are given to others in time. The same for sets from Redis.", between(1min, 720h))
            .table();
    return table;
}

template <>
const Table& table_of<RedisSection>() {
    using R = RedisSection;
    static const Table table =
        TableOf<R>("redis", "A cache that the processes of a site share. Nothing depends on it: without it, or when it fails, every process works with what it knows itself.")
            .field("enabled", &R::enabled, "Whether it is used.")
            .field("address", &R::address, "host:port of the Redis server, 5.0 or later.")
            .field("username", &R::username, "ACL user; empty = the default user.")
            .field("password", &R::password, "Password, for AUTH.")
            .field("database", &R::database, "Number of the database.", between(0, 1023))
            .field("tls", &R::tls, "Whether to speak TLS.")
            .field("tls_ca", &R::tls_ca, "Who may have signed its certificate: PEM text or the path of a file; empty = the system's roots. Certificates and keys are read once, at the start.")
            .field("tls_certificate", &R::tls_certificate, "Ours, for a server that asks for one (`tls-auth-clients`).")
            .field("tls_private_key", &R::tls_private_key, "Its key.")
            .field("tls_server_name", &R::tls_server_name, "What its certificate must be for; empty = the address's host.")
            .field("prefix", &R::prefix, "In front of every key and channel. Processes that ask different registries need different ones.")
            .field("timeout", &R::timeout, "What a look-up may cost the first question about a service. Redis answers in under a millisecond when it is well.", between(5ms, 5s))
            .field("keep", &R::keep, "How long a set is kept there unconfirmed, for those that cannot ask the registry.", between(1min, 168h))
            .table();
    return table;
}

template <>
const Table& table_of<DiscoverySection>() {
    using D = DiscoverySection;
    static const Table table =
        TableOf<D>("discovery", "How answers of the registry are kept.")
            .field("cache_ttl", &D::cache_ttl, "How long an answer that is not watched is believed; a watched one is read again that often even if no change was announced.", between(1s, 10min))
            .field("negative_ttl", &D::negative_ttl, "How long \"there is none\" and failures are repeated without asking again: stops a stampede.", between(0s, 1min))
            .field("removal_grace", &D::removal_grace, "How long an endpoint that vanished is kept; additions take effect at once. Outlasts a registry's hiccup.", between(0s, 10min))
            .field("removal_share_max", &D::removal_share_max, "An answer that has lost more than this share of a service's endpoints at once is confirmed by a second one first.", between(0, 1))
            .field("reset_grace", &D::reset_grace, "The same for any removal after the registry was away or lost its data: services need a moment to register again.", between(0s, 10min))
            .field("fallback_after", &D::fallback_after, "How long the first answer about a service may take before an older one is used meanwhile, from Redis or the snapshot.", between(10ms, 1min))
            .field("queries_per_second", &D::queries_per_second, "Questions about one service, at most; changes in between come together.", between(0.1, 1000))
            .field("snapshot", &D::snapshot, "The disk snapshot.")
            .table();
    return table;
}

template <>
const Table& table_of<ListenerLimits>() {
    using L = ListenerLimits;
    static const Table table =
        TableOf<L>("limits", "What callers may send and occupy.")
            .field("head_bytes_max", &L::head_bytes_max, "Bytes of a request's head. 64 KiB hold the largest cookies in use.", between(1024, 16 << 20))
            .field("body_bytes_max", &L::body_bytes_max, "Bytes of a request's body; 0 = no limit, since bodies are streamed.", between(0, 1e15))
            .field("body_rate_min", &L::body_rate_min, "Bytes a second that a caller must keep up in sending or taking a body, beyond a first body_timeout; 0 = none. Who drips is cut; gRPC streams may.", between(0, 1'000'000))
            .field("connections_max", &L::connections_max, "Open connections; more are refused.", between(1, 1'000'000))
            .field("streams_max", &L::streams_max, "Requests at a time on one connection of HTTP/2; more are refused there. 100: what RFC 9113 asks for at least.", between(1, 10'000))
            .table();
    return table;
}

template <>
const Table& table_of<ListenerSection>() {
    using L = ListenerSection;
    static const Table table =
        TableOf<L>("listeners", "Where callers connect.")
            .field("name", &L::name, "Unique name, which routes and metrics use.", ValueRange{}.required())
            .field("address", &L::address, "Address to listen on; 0.0.0.0 or :: for all. Loopback: being reachable is a decision.")
            .field("port", &L::port, "Port; 0 = any free one.", between(0, 65535).required())
            .field("protocol", &L::protocol, "What is spoken there: http, or tcp for anything else, which is relayed as it is.")
            .field("idle_timeout", &L::idle_timeout, "A connection without a request, with protocol tcp without a byte, is closed after this. As long as most clients keep theirs.", between(1s, 24h))
            .field("head_timeout", &L::head_timeout, "Time limit for a whole request head, against slow senders.", between(100ms, 10min))
            .field("body_timeout", &L::body_timeout, "Time limit between two pieces of a body.", between(100ms, 1h))
            .field("limits", &L::limits, "Bounds.")
            .field("tls", &L::tls, "TLS with callers; without certificates plain text is spoken.")
            .field("tcp", &L::tcp, "With protocol tcp: where connections go.")
            .field("capture", &L::capture, "Connections that a rule set of the kernel leads here.")
            .field("upgrade", &L::upgrade, "Requests that want to go on in another protocol.")
            .field("proxy_protocol_from", &L::proxy_protocol_from, "Addresses and ranges, such as 10.0.0.0/8, of proxies whose connections begin with a PROXY header, version 1 or 2. Others' may not: whoever sends one says who he is.")
            .field("access_log", &L::access_log, "Whether every request is logged. Off: metrics and traces tell more for less.")
            .table();
    return table;
}

template <>
const Table& table_of<ServiceSection>() {
    using S = ServiceSection;
    static const Table table =
        TableOf<S>("services", "What differs for single services, by name.")
            .field("policy", &S::policy, "Settings here stand before those of defaults.policy, field by field.")
            .field("endpoints", &S::endpoints, "Fixed endpoints, host:port, instead of asking the registry.")
            .field("tls", &S::tls, "TLS towards the endpoints. Settings here stand before those of defaults.tls, field by field.")
            .table();
    return table;
}

template <>
const Table& table_of<DefaultsSection>() {
    static const Table table =
        TableOf<DefaultsSection>("defaults", "What applies to every service.")
            .field("policy", &DefaultsSection::policy, "Policy of every service, where services.NAME.policy does not say otherwise.")
            .field("tls", &DefaultsSection::tls, "TLS towards endpoints of every service, where services.NAME.tls does not say otherwise.")
            .table();
    return table;
}

template <>
const Table& table_of<Config>() {
    using C = Config;
    static const Table table =
        TableOf<C>("", "The whole configuration.")
            .field("version", &C::version, "Version of this format.", between(1, 1))
            .field("node", &C::node, "This machine.")
            .field("log", &C::log, "Logging.")
            .field("access_log", &C::access_log, "How requests are logged.")
            .field("admin", &C::admin, "Admin API and dashboard.")
            .field("upgrade", &C::upgrade, "Taking over from a running process.")
            .field("metrics", &C::metrics, "Metrics.")
            .field("registry", &C::registry, "Registry.")
            .field("discovery", &C::discovery, "Discovery.")
            .field("redis", &C::redis, "Shared cache.")
            .field("workers", &C::workers, "Worker threads, each with an event loop of its own. One serves tens of thousands of requests a second.", between(1, 64))
            .field("drain_delay", &C::drain_delay, "On shutdown what `register` announced is first critical for so long, for callers everywhere to hear of it while it still answers, and then deregistered. Zero: at once; a few seconds where callers find services by DNS.", between(0s, 5min))
            .field("drain_timeout", &C::drain_timeout, "How long calls in flight may take to end on shutdown. The time an orchestrator gives before it kills.", between(0s, 1h))
            .field("listeners", &C::listeners, "Where callers connect.")
            .field("routes", &C::routes, "Which request goes where.")
            .field("register", &C::registrations, "What this process announces.")
            .field("defaults", &C::defaults, "For all services.")
            .field("services", &C::services, "For single services.")
            .table();
    return table;
}
// clang-format on

const Table& config_table() {
    return table_of<Config>();
}

}  // namespace datapunk::mesh::config
