#include "apps/listener_settings.h"

#include <string>
#include <utility>
#include <vector>

namespace datapunk::mesh::apps {

namespace {

Result<std::vector<io::AddressRange>> ranges_of(const std::vector<std::string>& texts) {
    std::vector<io::AddressRange> ranges;
    for (const std::string& text : texts) {
        auto range = io::parse_address_range(text);
        if (!range) return std::move(range).error();
        ranges.push_back(*range);
    }
    return ranges;
}

proxy::ListenerTcp tcp_of(const config::ListenerSection& section) {
    proxy::ListenerTcp tcp{
        .is_on = section.protocol == config::ListenerProtocol::tcp,
        .service = section.tcp.service,
        .sni = {},
        .duration_max = section.tcp.duration_max,
        .send_proxy = static_cast<proxy::SendProxy>(section.tcp.send_proxy)
    };
    for (const auto& route : section.tcp.sni) tcp.sni.push_back({route.names, route.service});
    return tcp;
}

Result<proxy::ListenerCapture> capture_of(const config::ListenerCaptureSection& section) {
    proxy::ListenerCapture capture{
        .is_on = section.enabled, .pass_on = section.pass_on, .destinations = {}
    };
    for (const auto& destination : section.destinations) {
        proxy::ListenerCapture::Destination& to = capture.destinations.emplace_back();
        to.ports = destination.ports;
        to.service = destination.service;
        auto addresses = ranges_of(destination.addresses);
        if (!addresses) return std::move(addresses).error();
        to.addresses = *std::move(addresses);
    }
    return capture;
}

}  // namespace

Result<proxy::ListenerConfig> listener_of(
    const config::ListenerSection& section, const Certificates::Slot& certificates
) {
    auto capture = capture_of(section.capture);
    if (!capture) return std::move(capture).error();
    auto proxies = ranges_of(section.proxy_protocol_from);
    if (!proxies) return std::move(proxies).error();
    return proxy::ListenerConfig{
        .name = section.name,
        .address = section.address,
        .port = section.port,
        .connections_max = section.limits.connections_max,
        .head_bytes_max = section.limits.head_bytes_max,
        .body_bytes_max = section.limits.body_bytes_max,
        .streams_max = section.limits.streams_max,
        .idle_timeout = section.idle_timeout,
        .head_timeout = section.head_timeout,
        .body_timeout = section.body_timeout,
        .body_rate_min = section.limits.body_rate_min,
        .access_log = section.access_log,
        .grpc_web = section.grpc_web,
        .tls =
            {.contexts = certificates,
             .handshake_timeout = section.tls.handshake_timeout,
             .handshakes_max = section.tls.handshakes_max,
             .allow = section.tls.allow},
        .tcp = tcp_of(section),
        .upgrade =
            {.protocols = section.upgrade.protocols,
             .idle_timeout = section.upgrade.idle_timeout,
             .duration_max = section.upgrade.duration_max},
        .capture = *std::move(capture),
        .proxy_from = *std::move(proxies)
    };
}

}  // namespace datapunk::mesh::apps
