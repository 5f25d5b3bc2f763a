#pragma once

// DnsDoorConfig: how the embedded registry answers DNS questions. Names and defaults are Consul's
// dns_config where it has them. A value.

#include <datapunk/mesh/result.h>
#include <datapunk/mesh/time.h>

#include <cstdint>
#include <string>

#include "server/acl/acl_gate.h"

namespace datapunk::mesh::server::dns {

struct DnsDoorConfig {
    std::string domain = "consul";   // what all names end in
    std::string datacenter = "dc1";  // the only one
    // Time to live of every record: 0 = ask each time, so that a change is seen at once.
    Duration ttl = Duration::zero();
    bool only_passing = false;  // leave out instances with a warning too
    // Records in an answer of at most 512 bytes (no EDNS): old resolvers choke on more.
    std::uint32_t udp_answer_limit = 3;
    // Say so (TC) when records were left out, so that the client asks again by TCP. Consul's
    // default is not to: three of many are enough for most.
    bool enable_truncate = false;
    bool node_meta_txt = true;  // the nodes' metadata as additional TXT records
    // Largest answer by UDP to another machine, whatever it says it can take: what is larger is
    // fragmented, and amplifies more of what was forged. 512..65000.
    std::uint16_t udp_bytes_max = 4096;
    // To one network (IPv4 /24, IPv6 /56) in a second; more are told to come by TCP, which cannot
    // be forged, and ten times more hear nothing. This machine is not counted.
    std::uint32_t responses_per_second_max = 1000;
    std::uint32_t tcp_connections_max = 256;               // more are closed at once
    Duration tcp_idle_timeout = std::chrono::seconds(10);  // for a whole question to come
    Duration tcp_write_timeout = std::chrono::seconds(5);
    // The HTTP door's. A question by DNS shows no token: it is told what the anonymous one may
    // read.
    AclConfig acl;
};

// Every field usable? The error names all that are not.
Result<> check(const DnsDoorConfig& config);

}  // namespace datapunk::mesh::server::dns
