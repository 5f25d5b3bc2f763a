#include "io/address.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>

#include "core/strings.h"

namespace datapunk::mesh::io {

bool SocketAddress::is_loopback() const noexcept {
    if (!is_v6) return ip[0] == 127;
    std::array<std::uint8_t, 16> one{};
    one[15] = 1;
    return ip == one;
}

std::string SocketAddress::ip_text() const {
    char text[INET6_ADDRSTRLEN] = {};
    inet_ntop(is_v6 ? AF_INET6 : AF_INET, ip.data(), text, sizeof text);
    return text;
}

std::string SocketAddress::to_string() const {
    return is_v6 ? fmt::format("[{}]:{}", ip_text(), port) : fmt::format("{}:{}", ip_text(), port);
}

Result<SocketAddress> parse_ip(std::string_view ip, std::uint16_t port) {
    SocketAddress address{.port = port};
    const std::string text(ip.substr(0, INET6_ADDRSTRLEN));
    // inet_pton stops at a zero byte, whatever follows it.
    const bool whole = text.find('\0') == std::string::npos && text.size() == ip.size();
    if (whole && inet_pton(AF_INET, text.c_str(), address.ip.data()) == 1) return address;
    if (whole && inet_pton(AF_INET6, text.c_str(), address.ip.data()) == 1) {
        address.is_v6 = true;
        return address;
    }
    return Error{.code = Code::invalid, .what = fmt::format("\"{}\" is not an IP address", text)};
}

Result<SocketAddress> parse_address(std::string_view text) {
    const auto bad = [&](std::string_view why) {
        return Error{
            .code = Code::invalid,
            .what = fmt::format("bad address \"{}\": {}", text.substr(0, 80), why)
        };
    };
    const std::size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) return bad("no port");
    const auto port = core::parse_number<std::uint16_t>(text.substr(colon + 1));
    if (!port) return bad("the port must be 0..65535");
    std::string_view host = text.substr(0, colon);
    if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
        host = host.substr(1, host.size() - 2);
    } else if (host.find(':') != std::string_view::npos) {
        return bad("IPv6 needs brackets: [::1]:80");
    }
    return parse_ip(host, *port);
}

unsigned to_sockaddr(const SocketAddress& address, sockaddr_storage& out) noexcept {
    std::memset(&out, 0, sizeof out);
    if (address.is_v6) {
        auto& v6 = reinterpret_cast<sockaddr_in6&>(out);
        v6.sin6_family = AF_INET6;
        v6.sin6_port = htons(address.port);
        std::memcpy(&v6.sin6_addr, address.ip.data(), 16);
        return sizeof v6;
    }
    auto& v4 = reinterpret_cast<sockaddr_in&>(out);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(address.port);
    std::memcpy(&v4.sin_addr, address.ip.data(), 4);
    return sizeof v4;
}

SocketAddress from_sockaddr(const sockaddr_storage& in) noexcept {
    SocketAddress address;
    if (in.ss_family == AF_INET6) {
        const auto& v6 = reinterpret_cast<const sockaddr_in6&>(in);
        address.is_v6 = true;
        address.port = ntohs(v6.sin6_port);
        std::memcpy(address.ip.data(), &v6.sin6_addr, 16);
    } else if (in.ss_family == AF_INET) {
        const auto& v4 = reinterpret_cast<const sockaddr_in&>(in);
        address.port = ntohs(v4.sin_port);
        std::memcpy(address.ip.data(), &v4.sin_addr, 4);
    }
    return address;
}

}  // namespace datapunk::mesh::io
