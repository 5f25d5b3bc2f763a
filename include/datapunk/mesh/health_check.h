#pragma once

// HealthCheck: how it is found out whether a registered service works. A value.
//
// Who runs it: the registry, if it can and if the check says nothing that only this process may
// know (a token, a key, a function); otherwise the mesh here runs it and tells the registry, which
// then counts silence as critical. docs/operations.md has the table.

#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/time.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace datapunk::mesh {

// What one run of a check came to.
struct CheckResult {
    Health status = Health::critical;
    std::string output{};  // for people; kept up to 4 KiB

    friend bool operator==(const CheckResult&, const CheckResult&) = default;
};

// A check of your own. Called on the mesh's own thread, which does nothing else meanwhile: look at
// something and return, never wait. What it throws is a critical result.
using CheckFunction = std::function<CheckResult()>;

// How a check speaks TLS. Certificates and keys are PEM text or the path of a PEM file.
struct CheckTls {
    bool enabled = false;       // http: https; grpc: with ALPN h2; tcp: the handshake, too
    bool verify = true;         // false: any certificate will do
    std::string server_name{};  // what the certificate must be for; empty = the target's host
    std::string ca{};           // or a directory of PEM files; empty = the system's roots
    std::string certificate{};  // ours, for a target that asks for one; needs private_key
    std::string private_key{};

    friend bool operator==(const CheckTls&, const CheckTls&) = default;
};

struct HealthCheck {
    // none    no check: passing for as long as it is registered
    // http    a request; passing on 2xx, warning on 429, unless expected_status says otherwise
    // tcp     a connection; with `send` and `expect`, a bit of conversation
    // ttl     the service says so itself (ServiceRegistration), or it counts as dead
    // grpc    grpc.health.v1.Health/Check over HTTP/2; passing on SERVING
    // exec    a program: exit 0 passing, 1 warning, else critical. Off unless enabled
    // alias   as healthy as another service instance of the same registry
    // custom  a function of yours
    // udp     a datagram; critical if the peer's machine says that nobody listens, or if `expect`
    //         does not come back; without `expect`, silence passes
    enum class Kind : std::uint8_t { none, http, tcp, ttl, grpc, exec, alias, custom, udp };

    Kind kind = Kind::http;
    std::string path = "/health";  // http: request target, starts with "/"
    std::string method = "GET";    // http
    std::string target{};          // host:port to probe; empty = the service's own address
    Duration interval = std::chrono::seconds(10);  // 1 s .. 1 h; between probes, jittered
    Duration timeout = std::chrono::seconds(5);    // positive, at most 10 min
    Duration ttl = std::chrono::seconds(30);       // ttl: the mesh reports every ttl/3
    std::uint32_t failures_before_critical = 3;    // in a row, at least 1
    std::uint32_t successes_before_passing = 2;    // in a row, at least 1
    // Removed from the registry after so long critical; zero = never. Consul raises less than
    // 1 min to 1 min.
    Duration deregister_after = std::chrono::minutes(1);

    std::uint32_t failures_before_warning = 0;  // in a row, below ..._critical; 0 = no warning
    // Failures in the first so long after registration do not count. Zero: they do.
    Duration grace = Duration::zero();  // at most 1 h
    Health initial = Health::critical;  // until the first result
    double jitter = 0.1;                // each run up to so much of the interval off; 0 .. 0.5

    Metadata headers{};          // http: at most 64; not Host, Content-Length and the like
    std::string body{};          // http: at most 64 KiB
    std::string host{};          // http: the Host field; empty = the target
    CheckTls tls{};              // http, grpc, tcp
    std::string bearer_token{};  // http, grpc: sent as "Authorization: Bearer …"; kept secret
    // http: statuses that pass, as "200" or "200-299"; all others are critical. Empty: see above.
    std::vector<std::string> expected_status{};
    std::string expected_body{};  // http: must be in the body's first 64 KiB
    // http: as Go's client and so Consul does; another host is not told Authorization and Cookie.
    bool follow_redirects = true;        // false: a redirect is an answer like any other
    std::uint32_t redirects_max = 10;    // one more is critical; at most 20
    std::string send{};                  // tcp, udp: said first; at most 4 KiB
    std::string expect{};                // tcp, udp: must come back; at most 4 KiB
    std::string grpc_service{};          // grpc: asked about; empty = the server as a whole
    std::vector<std::string> command{};  // exec: the program and its arguments; no shell
    std::string alias{};                 // alias: the id of the other instance
    std::shared_ptr<const CheckFunction> custom{};  // custom; equal if the same function object

    // A check that calls `function`.
    static HealthCheck calling(CheckFunction function) {
        HealthCheck check;
        check.kind = Kind::custom;
        check.custom = std::make_shared<const CheckFunction>(std::move(function));
        return check;
    }

    friend bool operator==(const HealthCheck&, const HealthCheck&) = default;
};

}  // namespace datapunk::mesh
