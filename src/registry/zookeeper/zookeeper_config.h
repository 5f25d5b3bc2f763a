#pragma once

// ZookeeperConfig: where the ZooKeeper ensemble is, and where under it our nodes stand. A value;
// reads nothing.

#include <datapunk/mesh/result.h>
#include <datapunk/mesh/time.h>

#include <cstdint>
#include <string>
#include <vector>

namespace datapunk::mesh::registry::zookeeper {

struct ZookeeperServer {
    std::string host = "127.0.0.1";
    std::uint16_t port = 2181;

    friend bool operator==(const ZookeeperServer&, const ZookeeperServer&) = default;
};

struct ZookeeperConfig {
    std::vector<ZookeeperServer> servers{ZookeeperServer{}};  // of one ensemble, 1 to 16
    // All our nodes: PREFIX/services/NAME/ID and PREFIX/ids/ID. Starts with '/', does not end with
    // it.
    std::string prefix = "/dpmesh";
    // Digest authentication; empty: none. With it, only this user can read and write what we make.
    std::string user{};
    std::string password{};
    // Written into each record as its node, for operators; at most 200 bytes. May be empty.
    std::string node{};
    // Registrations end so long after the process that made them was last heard of: 1 s to 10 min.
    // The server holds it between 2 and 20 of its ticks (4 s to 40 s by default).
    Duration session_timeout = std::chrono::seconds(10);
    // Longest wait for a connection before a request is given up.
    Duration connect_timeout = std::chrono::seconds(3);

    friend bool operator==(const ZookeeperConfig&, const ZookeeperConfig&) = default;
};

// Code::invalid with every field that cannot be.
Result<> check(const ZookeeperConfig& config);

}  // namespace datapunk::mesh::registry::zookeeper
