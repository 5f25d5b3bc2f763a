#pragma once

// The sections about where callers connect. Part of config.h.

#include <datapunk/mesh/time.h>

#include <cstdint>
#include <string>
#include <vector>

#include "config/tls_sections.h"

namespace datapunk::mesh::config {

enum class ListenerProtocol : std::uint8_t { http, tcp };

struct ListenerLimits {
    std::uint32_t head_bytes_max = 64U << 10U;
    std::uint64_t body_bytes_max = 64ULL << 20U;
    std::uint32_t body_rate_min = 256;
    std::uint32_t connections_max = 10'000;
    std::uint32_t streams_max = 100;
    friend bool operator==(const ListenerLimits&, const ListenerLimits&) = default;
};

enum class SendProxyChoice : std::uint8_t { none, v1, v2 };

struct SniRouteSection {
    std::vector<std::string> names;
    std::string service;
    friend bool operator==(const SniRouteSection&, const SniRouteSection&) = default;
};

struct ListenerTcpSection {
    std::string service;
    std::vector<SniRouteSection> sni;
    Duration duration_max = Duration::zero();
    SendProxyChoice send_proxy = SendProxyChoice::none;
    friend bool operator==(const ListenerTcpSection&, const ListenerTcpSection&) = default;
};

struct ListenerUpgradeSection {
    std::vector<std::string> protocols = {"websocket"};
    Duration idle_timeout = std::chrono::minutes(5);
    Duration duration_max = Duration::zero();
    friend bool operator==(const ListenerUpgradeSection&, const ListenerUpgradeSection&) = default;
};

struct CaptureDestinationSection {
    std::vector<std::string> addresses;
    std::vector<std::uint16_t> ports;
    std::string service;
    friend bool operator==(const CaptureDestinationSection&, const CaptureDestinationSection&) =
        default;
};

struct ListenerCaptureSection {
    bool enabled = false;
    bool pass_on = true;
    std::vector<CaptureDestinationSection> destinations;
    friend bool operator==(const ListenerCaptureSection&, const ListenerCaptureSection&) = default;
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
    bool grpc_web = false;
    ListenerTlsSection tls;
    ListenerTcpSection tcp;
    ListenerUpgradeSection upgrade;
    ListenerCaptureSection capture;
    std::vector<std::string> proxy_protocol_from;
    friend bool operator==(const ListenerSection&, const ListenerSection&) = default;
};

}  // namespace datapunk::mesh::config
