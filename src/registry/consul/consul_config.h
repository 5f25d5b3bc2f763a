#pragma once

// ConsulConfig: where the Consul agent is and what it needs to hear. A value; reads nothing.

#include <datapunk/mesh/result.h>
#include <datapunk/mesh/time.h>

#include <cstdint>
#include <map>
#include <string>

namespace datapunk::mesh::registry::consul {

struct ConsulConfig {
    std::string host = "127.0.0.1";  // of the agent beside us: registrations belong to its node
    std::uint16_t port = 8500;
    bool https = false;      // not supported yet: refused by ConsulBackend::create
    std::string token;       // sent as X-Consul-Token; empty = anonymous
    std::string datacenter;  // asked about; empty = the agent's own. Registrations stay local.
    // Any server may answer questions, not only the leader: they go on working through an election.
    bool stale = true;
    // Written into each registration's metadata under kOwnerKey, so that an operator can tell who
    // announced it; never part of the metadata that callers see. Empty = not written.
    std::string owner;
    // Longest blocking query, whatever the asker would wait. At least 1 s, at most Consul's 10 min.
    Duration wait_max = std::chrono::minutes(10);
    // Beyond what a blocking query may take by Consul's own rules (wait + wait/16).
    Duration wait_slack = std::chrono::seconds(5);
    std::size_t body_bytes_max = 64UL * 1024 * 1024;  // an answer of about 50,000 endpoints

    friend bool operator==(const ConsulConfig&, const ConsulConfig&) = default;
};

inline constexpr std::string_view kOwnerKey = "dpmesh-owner";

using Environment = std::map<std::string, std::string, std::less<>>;

// `base` with what CONSUL_HTTP_ADDR ("host", "host:port", "http://host:port", "https://…"),
// CONSUL_HTTP_TOKEN and CONSUL_HTTP_SSL say instead. Unset and empty variables change nothing.
Result<ConsulConfig> with_environment(ConsulConfig base, const Environment& environment);

// Every field usable? The error names all that are not.
Result<> check(const ConsulConfig& config);

}  // namespace datapunk::mesh::registry::consul
