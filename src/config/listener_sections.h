#pragma once

// The sections about where callers connect. Part of config.h.

#include <datapunk/mesh/time.h>

#include <cstdint>
#include <string>

#include "config/tls_sections.h"

namespace datapunk::mesh::config {

enum class ListenerProtocol : std::uint8_t { http };

struct ListenerLimits {
    std::uint32_t head_bytes_max = 64U << 10U;
    std::uint64_t body_bytes_max = 64ULL << 20U;
    std::uint32_t connections_max = 10'000;
    std::uint32_t streams_max = 100;
    friend bool operator==(const ListenerLimits&, const ListenerLimits&) = default;
};

struct ListenerSection {
    std::string name;
    std::string address = "127.0.0.1";
    std::uint16_t port = 0;
    ListenerProtocol protocol = ListenerProtocol::http;
    Duration idle_timeout = std::chrono::seconds(60);
    Duration head_timeout = std::chrono::seconds(10);
    Duration body_timeout = std::chrono::seconds(30);
    ListenerLimits limits;
    bool access_log = false;
    ListenerTlsSection tls;
    friend bool operator==(const ListenerSection&, const ListenerSection&) = default;
};

}  // namespace datapunk::mesh::config
