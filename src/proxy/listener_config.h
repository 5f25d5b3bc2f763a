#pragma once

// What an operator says of one listener. Plain values; config/ fills them in.

#include <datapunk/mesh/time.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace datapunk::mesh::io {
class TlsSlot;
}

namespace datapunk::mesh::proxy {

struct ListenerTls {
    std::shared_ptr<const io::TlsSlot> contexts;  // null: plain text is spoken
    Duration handshake_timeout = std::chrono::seconds(10);
    std::size_t handshakes_max = 1'000;  // of one worker at a time; beyond: closed and counted
    std::vector<std::string> allow;      // SPIFFE ids that may call; empty: anybody
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
    bool access_log = false;
    ListenerTls tls;
};

}  // namespace datapunk::mesh::proxy
