// The tables of HealthCheck and Readiness, a line a field.

#include "config/codecs.h"

namespace datapunk::mesh::config {

using namespace std::chrono_literals;

template <>
const EnumNames<HealthCheck::Kind>& names_of<HealthCheck::Kind>() {
    static const EnumNames<HealthCheck::Kind> names = {
        {HealthCheck::Kind::none, "none"},
        {HealthCheck::Kind::http, "http"},
        {HealthCheck::Kind::tcp, "tcp"},
        {HealthCheck::Kind::ttl, "ttl"},
        {HealthCheck::Kind::grpc, "grpc"},
        {HealthCheck::Kind::exec, "exec"},
        {HealthCheck::Kind::alias, "alias"},
        {HealthCheck::Kind::udp, "udp"},
    };
    return names;
}

template <>
const EnumNames<Health>& names_of<Health>() {
    static const EnumNames<Health> names = {
        {Health::passing, "passing"}, {Health::warning, "warning"}, {Health::critical, "critical"}
    };
    return names;
}

// clang-format off
template <>
const Table& table_of<CheckTls>() {
    using T = CheckTls;
    static const Table table =
        TableOf<T>("tls", "Whether and how to speak TLS. Certificates and keys are paths of PEM files, or PEM text.")
            .field("enabled", &T::enabled, "https, gRPC over TLS, a TLS handshake after the TCP connection.")
            .field("verify", &T::verify, "Off: any certificate will do, and nobody knows who answered.")
            .field("server_name", &T::server_name, "What the certificate must be for; empty = the host that is asked.")
            .field("ca", &T::ca, "Who may have signed it: a file, or a directory of them; empty = the system's roots.")
            .field("certificate", &T::certificate, "Ours, for a target that asks for one; needs `private_key`.")
            .secret("private_key", &T::private_key, "Its key.")
            .table();
    return table;
}

template <>
const Table& table_of<Readiness>() {
    using R = Readiness;
    static const Table table =
        TableOf<R>("ready", "When a registered service is announced; by default at once.")
            .field("check_passes", &R::check_passes, "When its own check, run from here, has passed once: callers do not meet a service that is still starting. Not for the kinds none, ttl and alias.")
            .field("timeout", &R::timeout, "After so long without it a warning says why, and it is tried again.", between(10ms, 1h))
            .table();
    return table;
}

template <>
const Table& table_of<HealthCheck>() {
    using C = HealthCheck;
    static const Table table =
        TableOf<C>("check", "The active health check of a registered service.")
            .field("kind", &C::kind, "http asks for a page, tcp connects, udp sends a datagram, grpc calls grpc.health.v1, exec runs a program, alias copies another instance's health, ttl is renewed for as long as this process lives, none trusts.")
            .field("path", &C::path, "http: what to ask for; begins with /.")
            .field("method", &C::method, "http: the method.")
            .field("headers", &C::headers, "http: fields to send, at most 64. A registry that runs the check gets to know them: a token belongs into `bearer_token`.")
            .field("body", &C::body, "http: the body to send, at most 64 KiB.")
            .field("host", &C::host, "http: the Host field; empty = the target.")
            .secret("bearer_token", &C::bearer_token, "http, grpc: sent as Authorization: Bearer. The registry does not get to know it: the check is run here.")
            .field("expected_status", &C::expected_status, "http: what passes, such as 204 or 200-399; anything else is critical. Empty: 2xx passes, 429 is a warning.")
            .field("expected_body", &C::expected_body, "http: text that must be in the first 64 KiB of the body.")
            .field("follow_redirects", &C::follow_redirects, "http: off = a redirect is an answer like any other. Another host is not told Authorization and Cookie.")
            .field("redirects_max", &C::redirects_max, "http: one more is critical. Ten is Consul's.", between(0, 20))
            .field("tls", &C::tls, "http, grpc, tcp: whether and how to speak TLS.")
            .field("send", &C::send, "tcp: what to say once connected; udp: the datagram. At most 4 KiB.")
            .field("expect", &C::expect, "tcp, udp: text that must come back, at most 4 KiB. Without it, udp passes unless the peer says that nobody listens.")
            .field("grpc_service", &C::grpc_service, "grpc: the service to ask about; empty = the server as a whole.")
            .field("command", &C::command, "exec: the program and its arguments, run without a shell and with an empty environment but for PATH. Exit status 0 passes, 1 is a warning.")
            .field("alias", &C::alias, "alias: the id of the other instance.")
            .field("target", &C::target, "host:port to probe; empty = the service's own.")
            .field("interval", &C::interval, "Time between probes, jittered.", between(1s, 1h))
            .field("timeout", &C::timeout, "Time limit of a probe.", between(1ms, 10min))
            .field("jitter", &C::jitter, "Each probe comes up to so much of the interval early or late, so that many do not come together.", between(0, 0.5))
            .field("ttl", &C::ttl, "ttl: how long a renewal lasts; renewed every third of it.", between(1s, 24h))
            .field("failures_before_warning", &C::failures_before_warning, "Failures in a row before it shows as a warning; 0 = never.", between(0, 1000))
            .field("failures_before_critical", &C::failures_before_critical, "Failures in a row before it is critical. Three outlast a garbage collection.", between(1, 1000))
            .field("successes_before_passing", &C::successes_before_passing, "Successes in a row before it passes again. Two tell recovery from flapping.", between(1, 1000))
            .field("grace", &C::grace, "Failures so soon after registration do not count.", between(0s, 1h))
            .field("initial", &C::initial, "Its health until the first result.")
            .field("deregister_after", &C::deregister_after, "Removed from the registry after so long critical; 0s = never. Consul takes a minute at least.", between(0s, 24h * 365))
            .table();
    return table;
}
// clang-format on

}  // namespace datapunk::mesh::config
