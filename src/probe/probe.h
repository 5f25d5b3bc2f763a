#pragma once

// probe(): runs one active health check once and gives its verdict.
//
//     http    one request, redirects followed if asked; 2xx passing, 429 warning, anything else
//             critical, or what the definition expects
//     tcp     connect; with `send` and `expect`, a bit of conversation
//     udp     one datagram, empty without `send`; an answer is passing, and without `expect` so is
//             silence until the deadline; that nobody listens is critical
//     grpc    grpc.health.v1.Health/Check over HTTP/2; SERVING is passing
//     exec    a program: 0 passing, 1 warning, anything else critical
//     custom  a function of the embedder
//
// Whatever goes wrong is a critical verdict with the reason as output, never an error: a check that
// cannot be run says as much about the service. One loop; one connection for each probe, closed
// after it, so that a probe sees what a new caller would see. Every wait ends at the deadline. Of a
// body its beginning is read, as much as the output shows or the search needs: a status page may be
// large, or never end. Source: Consul agent/checks/check.go.

#include <datapunk/mesh/health_check.h>
#include <datapunk/mesh/registration.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/message.h"
#include "io/network.h"
#include "io/process.h"
#include "io/task.h"
#include "probe/tls_contexts.h"

namespace datapunk::mesh::probe {

struct ProbeDefinition {
    enum class Kind : std::uint8_t { http, tcp, udp, grpc, exec, custom };

    Kind kind = Kind::http;
    std::string host;
    std::uint16_t port = 0;
    CheckTls tls;
    std::string display;  // how outputs name the target: the URL, "host:port"
    std::string method = "GET";
    std::string target = "/";
    // How the message is framed and its connection ends is ours: such fields are left out.
    std::vector<http::HeaderLine> headers;
    std::string body;
    std::string bearer_token;                          // http, grpc; never part of an output
    std::uint32_t redirects_max = 0;                   // 0: a redirect is an answer like any other
    std::vector<std::pair<int, int>> expected_status;  // first and last; empty: Consul's rule
    std::string expected_body;
    std::string send;  // tcp, udp
    std::string expect;
    std::string grpc_service;
    std::vector<std::string> command;
    std::shared_ptr<const CheckFunction> custom;
    Duration interval = std::chrono::seconds(10);
    Duration timeout = std::chrono::seconds(10);
    Duration grace = Duration::zero();  // after the start, in which failures do not count
    double jitter = 0.1;                // of the interval
    // In a row; 0 counts as 1.
    std::uint32_t successes_before_passing = 1;
    std::uint32_t failures_before_warning = 0;  // 0 = a failure never shows as a warning
    std::uint32_t failures_before_critical = 1;

    friend bool operator==(const ProbeDefinition&, const ProbeDefinition&) = default;
};

using ProbeResult = CheckResult;  // output: at most kOutputBytesMax

inline constexpr std::size_t kOutputBytesMax = 4096;  // Consul's

// What a probe works with. All of it outlives the task.
struct ProbeTools {
    io::Network& network;
    TlsContexts& tls;
    io::Processes* processes = nullptr;  // nullptr: programs are not run
};

io::Task<ProbeResult> probe(ProbeTools tools, ProbeDefinition definition, Instant deadline);

// What the check of a service means, run by ourselves. The check is of a kind that can be probed:
// not none, ttl or alias.
ProbeDefinition definition_of(const ServiceConfig& config);

}  // namespace datapunk::mesh::probe
