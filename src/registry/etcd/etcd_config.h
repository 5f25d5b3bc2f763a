#pragma once

// EtcdConfig: where the etcd cluster is, how we are known there, and where under it our keys stand.
// A value; reads nothing.

#include <datapunk/mesh/result.h>
#include <datapunk/mesh/time.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/tls.h"

namespace datapunk::mesh::registry::etcd {

struct EtcdMember {
    std::string host = "127.0.0.1";
    std::uint16_t port = 2379;

    friend bool operator==(const EtcdMember&, const EtcdMember&) = default;
};

struct EtcdConfig {
    // Members of one cluster, 1 to 16: the first that answers is kept until it fails.
    std::vector<EtcdMember> endpoints{EtcdMember{}};
    std::optional<io::TlsClientConfig> tls{};  // unset: plain HTTP
    std::string tls_server_name{};             // in the members' certificates; empty: their host
    std::string user{};                        // empty: no authentication
    std::string password{};
    // Our keys: PREFIX/services/NAME/ID and PREFIX/ids/ID. Printable, not ending with '/'.
    std::string prefix = "/dpmesh";
    // Written into each record as its node, for operators; at most 200 bytes. May be empty.
    std::string node{};
    // Registrations end so long after the process that made them: 5 s to 1 h, whole seconds.
    // Renewed three times as often; shorter makes a busy machine lose its registrations.
    Duration lease_ttl = std::chrono::seconds(15);
    // One request to one member; then the next one is asked.
    Duration request_timeout = std::chrono::seconds(3);
    // A watch that nobody waits on is closed after so long.
    Duration linger = std::chrono::minutes(1);
    std::size_t body_bytes_max = 64UL * 1024 * 1024;  // of one answer; also one line of a watch
};

// Code::invalid with every field that cannot be.
Result<> check(const EtcdConfig& config);

}  // namespace datapunk::mesh::registry::etcd
