#pragma once

// probe(): runs one active health check once and gives its verdict.
//
//     http   connect, one request; 2xx passing, 429 warning, anything else critical
//     tcp    connect; success is passing
//
// Whatever goes wrong is a critical verdict with the reason as output, never an error: a check that
// cannot be run says as much about the service. One loop; one connection for each probe, closed
// after it, so that a probe sees what a new caller would see. Of a body its beginning is read, as
// much as the output shows: a status page may be large, or never end. Redirects are not followed.
// Source: Consul agent/checks/check.go.

#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/time.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"
#include "io/network.h"
#include "io/task.h"
#include "probe/tls_contexts.h"

namespace datapunk::mesh::probe {

struct ProbeDefinition {
    enum class Kind : std::uint8_t { http, tcp };

    Kind kind = Kind::http;
    std::string host;
    std::uint16_t port = 0;
    bool is_tls = false;           // http over TLS
    bool tls_skip_verify = false;  // any certificate will do
    std::string tls_server_name;   // what the certificate must be for; empty = host
    std::string display;           // how outputs name the target: the URL, "host:port"
    std::string method = "GET";
    std::string target = "/";
    // How the message is framed and its connection ends is ours: such fields are left out.
    std::vector<http::HeaderLine> headers;
    std::string body;
    Duration interval = std::chrono::seconds(10);
    Duration timeout = std::chrono::seconds(10);
    // In a row; 0 counts as 1.
    std::uint32_t successes_before_passing = 1;
    std::uint32_t failures_before_warning = 0;  // 0 = a failure never shows as a warning
    std::uint32_t failures_before_critical = 1;

    friend bool operator==(const ProbeDefinition&, const ProbeDefinition&) = default;
};

struct ProbeResult {
    Health status = Health::critical;
    std::string output;  // at most kOutputBytesMax

    friend bool operator==(const ProbeResult&, const ProbeResult&) = default;
};

inline constexpr std::size_t kOutputBytesMax = 4096;  // Consul's

// `tls` must outlive the task.
io::Task<ProbeResult> probe(
    io::Network& network, TlsContexts& tls, ProbeDefinition definition, Instant deadline
);

}  // namespace datapunk::mesh::probe
