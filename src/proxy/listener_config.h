#pragma once

// What an operator says of one listener. Plain values; config/ fills them in.

#include <datapunk/mesh/time.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "io/address_range.h"
#include "wire/spiffe_id.h"

namespace datapunk::mesh::io {
class TlsSlot;
}

namespace datapunk::mesh::proxy {

struct ListenerTls {
    std::shared_ptr<const io::TlsSlot> contexts;  // null: plain text is spoken
    Duration handshake_timeout = std::chrono::seconds(10);
    std::size_t handshakes_max = 1'000;  // of one worker at a time; beyond: closed and counted
    std::vector<std::string> allow;      // SPIFFE ids that may call; empty: anybody

    // Asked for each request, because `allow` may change while a connection is open.
    bool allows(std::string_view identity) const {
        return allow.empty() || wire::spiffe_matches_any(allow, identity);
    }
};

enum class SendProxy : std::uint8_t { none, v1, v2 };

// A listener that relays bytes instead of reading HTTP.
struct ListenerTcp {
    struct SniRoute {
        std::vector<std::string> names;  // "a.example", "*.example"; in lower case
        std::string service;
    };

    bool is_on = false;
    std::string service;        // for what no route is for; empty: that is refused
    std::vector<SniRoute> sni;  // not empty: the caller's TLS greeting is waited for
    Duration duration_max{};    // of a connection, however busy; zero: no limit
    SendProxy send_proxy = SendProxy::none;

    // Empty: none.
    std::string_view service_for(std::string_view server_name) const noexcept;
};

// Connections that a rule set leads here from wherever they were meant to go (docs/capture.md).
struct ListenerCapture {
    struct Destination {
        std::vector<io::AddressRange> addresses;  // empty: any
        std::vector<std::uint16_t> ports;         // likewise
        std::string service;
    };

    bool is_on = false;
    bool pass_on = true;  // what nothing is for goes where it was meant to; else it is refused
    std::vector<Destination> destinations;  // of a listener that speaks tcp: the first that fits

    // Empty: none.
    std::string_view service_for(const io::SocketAddress& destination) const noexcept;
};

// Requests that want to go on in another protocol (RFC 9110 7.8, RFC 8441).
struct ListenerUpgrade {
    std::vector<std::string> protocols = {"websocket"};  // that are passed on; others are not
    Duration idle_timeout = std::chrono::minutes(5);     // without a byte in either direction
    Duration duration_max{};                             // however busy; zero: no limit
};

struct ListenerConfig {
    std::string name;
    std::string address = "127.0.0.1";
    std::uint16_t port = 0;
    std::size_t connections_max = 10'000;      // beyond: closed at once and counted
    std::size_t head_bytes_max = 60UL * 1024;  // larger request heads: 431
    std::uint64_t body_bytes_max = 0;          // larger request bodies: 413; 0 = no limit
    std::uint32_t streams_max = 100;           // requests at a time on one HTTP/2 connection
    Duration idle_timeout = std::chrono::seconds(60);  // between requests
    Duration head_timeout = std::chrono::seconds(10);  // first to last byte of a request head
    Duration body_timeout = std::chrono::seconds(30);  // between two pieces of a body, either way
    std::uint32_t body_rate_min = 256;  // bytes a second, see CallerPace; 0 = none; not for gRPC
    bool access_log = false;
    bool grpc_web = false;  // calls of gRPC-Web are made calls of gRPC
    ListenerTls tls;
    ListenerTcp tcp;
    ListenerUpgrade upgrade;
    ListenerCapture capture;
    // Connections from there begin with a PROXY header; others may not.
    std::vector<io::AddressRange> proxy_from;
};

}  // namespace datapunk::mesh::proxy
