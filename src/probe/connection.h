#pragma once

// What the kinds of probes share: a connection, and verdicts. Private to the room.

#include <string>

#include "probe/probe.h"

namespace datapunk::mesh::probe {

// Output cut to its limit.
ProbeResult verdict(Health status, std::string output);

// Connected, and over TLS if the definition says so; `alpn` is the protocol to agree on, if any.
io::Task<Result<io::StreamPtr>> open_stream(
    ProbeTools tools,
    std::string host,
    std::uint16_t port,
    CheckTls tls,
    std::string alpn,
    Instant deadline
);

io::Task<ProbeResult> probe_http(ProbeTools tools, ProbeDefinition definition, Instant deadline);
io::Task<ProbeResult> probe_tcp(ProbeTools tools, ProbeDefinition definition, Instant deadline);
io::Task<ProbeResult> probe_udp(ProbeTools tools, ProbeDefinition definition, Instant deadline);
io::Task<ProbeResult> probe_grpc(ProbeTools tools, ProbeDefinition definition, Instant deadline);
io::Task<ProbeResult> probe_exec(ProbeTools tools, ProbeDefinition definition, Instant deadline);

}  // namespace datapunk::mesh::probe
