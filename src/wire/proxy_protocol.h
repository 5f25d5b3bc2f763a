#pragma once

// The PROXY protocol, versions 1 and 2: what a proxy in front says of a connection before its first
// byte: from where it came, and for where it was meant. Read strictly: what two readers could take
// differently is refused. Pure. Source: HAProxy's doc/proxy-protocol.txt (2020/03/05).
//
//   v1   PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n                 at most 107 bytes
//   v2   12 bytes of signature, version and command, family, length, addresses, TLVs (skipped)

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace datapunk::mesh::wire {

struct ProxyAddress {
    std::array<std::uint8_t, 16> ip{};  // IPv4 in the first four bytes
    std::uint16_t port = 0;
    bool is_v6 = false;

    friend bool operator==(const ProxyAddress&, const ProxyAddress&) = default;
};

struct ProxyHeader {
    // Nothing: the proxy speaks for itself (LOCAL, a health check), or does not know (UNKNOWN).
    std::optional<ProxyAddress> source;
    std::optional<ProxyAddress> destination;
    std::size_t bytes = 0;  // of the header

    friend bool operator==(const ProxyHeader&, const ProxyHeader&) = default;
};

// Longer version 2 headers are refused: the addresses take 36 bytes, the rest is TLVs.
inline constexpr std::size_t kProxyHeaderBytesMax = 1024;
inline constexpr std::size_t kProxyV1BytesMax = 107;

enum class ProxyRead : std::uint8_t { done, more, malformed };

// What `data`, the first bytes of a connection, begins with.
ProxyRead parse_proxy_header(std::string_view data, ProxyHeader& out);

// How many bytes to wait for before asking again, at least one: never beyond the header, so that
// nothing of what follows is read.
std::size_t proxy_bytes_wanted(std::string_view data) noexcept;

void append_proxy_v1(std::string& out, const ProxyAddress& from, const ProxyAddress& to);
void append_proxy_v2(std::string& out, const ProxyAddress& from, const ProxyAddress& to);

}  // namespace datapunk::mesh::wire
