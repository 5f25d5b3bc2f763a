#pragma once

// SocketAddress: an IPv4 or IPv6 address with a port. A value; 20 bytes.

#include <datapunk/mesh/result.h>

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

struct sockaddr_storage;

namespace datapunk::mesh::io {

struct SocketAddress {
    std::array<std::uint8_t, 16> ip{};  // IPv4 in the first four bytes
    std::uint16_t port = 0;             // host order
    bool is_v6 = false;

    friend auto operator<=>(const SocketAddress&, const SocketAddress&) = default;

    static SocketAddress loopback(std::uint16_t port) noexcept {
        return {.ip = {127, 0, 0, 1}, .port = port};
    }

    bool is_loopback() const noexcept;
    std::string ip_text() const;    // "127.0.0.1", "::1"
    std::string to_string() const;  // "127.0.0.1:80", "[::1]:80"
};

// A literal address, no names: "127.0.0.1", "::1".
Result<SocketAddress> parse_ip(std::string_view ip, std::uint16_t port);
// "127.0.0.1:80", "[::1]:80".
Result<SocketAddress> parse_address(std::string_view text);

// To and from the kernel's form; returns the length used.
unsigned to_sockaddr(const SocketAddress& address, sockaddr_storage& out) noexcept;
SocketAddress from_sockaddr(const sockaddr_storage& in) noexcept;

}  // namespace datapunk::mesh::io
