#pragma once

// ConnectionInfo: who is at the other end of a connection from outside, as far as the connection
// itself says. Known before its first request, the same for all of them.

#include <string>

#include "io/address.h"

namespace datapunk::mesh::proxy {

struct ConnectionInfo {
    io::SocketAddress from;  // as the connection says, or the proxy before us
    io::SocketAddress to;    // likewise; where captured ones were meant to go
    bool is_captured = false;
    std::string ip;           // of from
    std::string server_name;  // that was asked for in TLS
    std::string protocol;     // agreed by ALPN: "http/1.1"; empty: none was, as without TLS
    bool is_secure = false;   // TLS was spoken
    std::string identity;     // the SPIFFE id that the caller has proved; empty: none
    std::string certificate;  // what x-forwarded-client-cert says of it; empty: none was shown
};

}  // namespace datapunk::mesh::proxy
