#pragma once

// ZoneName: what a name below the registry's domain asks for. Pure.
//
//     [tag.]web.service[.dc1].consul      _web._tcp.service.consul (RFC 2782; _x is tag x)
//     n1.node.consul                      0a000001.addr.dc1.consul
//     q.query.consul                      4.3.2.1.in-addr.arpa

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wire/dns/message.h"

namespace datapunk::mesh::server::dns {

struct ZoneName {
    enum class Kind : std::uint8_t {
        unknown,  // nothing we have
        apex,     // the domain itself
        service,
        node,
        address,
        query,
        virtual_ip,  // Consul's mesh: never here
    };

    Kind kind = Kind::unknown;
    std::string name;  // of service, node or query; the digits of an address. As it was spelled
    std::string tag;   // service: empty = any

    friend bool operator==(const ZoneName&, const ZoneName&) = default;
};

// `labels` stand before the domain.
ZoneName read_zone_name(
    const std::vector<std::string_view>& labels,
    std::string_view datacenter,
    wire::dns::DnsType type
);

// The address that a name below in-addr.arpa or ip6.arpa stands for, as 4 or 16 bytes.
std::optional<std::string> read_reverse_name(const std::vector<std::string_view>& labels);

// "0a000001" -> the four bytes; 32 digits -> sixteen.
std::optional<std::string> read_hex_address(std::string_view digits);
std::string hex_address(std::string_view bytes);

}  // namespace datapunk::mesh::server::dns
