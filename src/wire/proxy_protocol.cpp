#include "wire/proxy_protocol.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace datapunk::mesh::wire {

namespace {

constexpr std::string_view kV1 = "PROXY ";
constexpr std::string_view kV2("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::size_t kV2Head = 16;
constexpr std::size_t kV1BytesMin = 15;  // "PROXY UNKNOWN\r\n"

bool is_beginning(std::string_view data, std::string_view of) noexcept {
    const std::size_t common = std::min(data.size(), of.size());
    return data.substr(0, common) == of.substr(0, common);
}

// Without signs, leading zeros or blanks.
std::optional<std::uint16_t> port_of(std::string_view text) noexcept {
    if (text.empty() || text.size() > 5 || (text.size() > 1 && text[0] == '0')) return std::nullopt;
    unsigned value = 0;
    for (const char c : text) {
        if (c < '0' || c > '9') return std::nullopt;
        value = value * 10 + static_cast<unsigned>(c - '0');
    }
    if (value > 65'535) return std::nullopt;
    return static_cast<std::uint16_t>(value);
}

bool ip_of(std::string_view text, bool is_v6, ProxyAddress& out) noexcept {
    char zero_ended[INET6_ADDRSTRLEN] = {};
    if (text.empty() || text.size() >= sizeof zero_ended) return false;
    if (text.find('\0') != text.npos) return false;
    std::memcpy(zero_ended, text.data(), text.size());
    out.is_v6 = is_v6;
    return inet_pton(is_v6 ? AF_INET6 : AF_INET, zero_ended, out.ip.data()) == 1;
}

// Up to the next blank, or to the end; false if there is none where one must be.
bool take_word(std::string_view& line, std::string_view& word, bool is_last) noexcept {
    const std::size_t blank = line.find(' ');
    if ((blank == line.npos) != is_last) return false;
    word = line.substr(0, blank);
    line.remove_prefix(is_last ? line.size() : blank + 1);
    return true;
}

ProxyRead parse_v1(std::string_view data, ProxyHeader& out) {
    const std::size_t end = data.substr(0, kProxyV1BytesMax).find("\r\n");
    if (end == data.npos) {
        // A lone CR or LF, or a line that is too long.
        const bool is_open = data.size() < kProxyV1BytesMax && data.find('\n') == data.npos;
        return is_open ? ProxyRead::more : ProxyRead::malformed;
    }
    std::string_view line = data.substr(kV1.size(), end - kV1.size());
    if (line.find_first_of("\r\n") != line.npos) return ProxyRead::malformed;
    out = {.source = {}, .destination = {}, .bytes = end + 2};
    // What follows UNKNOWN is to be ignored.
    if (line == "UNKNOWN" || line.starts_with("UNKNOWN ")) return ProxyRead::done;
    if (!line.starts_with("TCP4 ") && !line.starts_with("TCP6 ")) return ProxyRead::malformed;
    const bool is_v6 = line[3] == '6';
    line.remove_prefix(5);
    ProxyAddress from;
    ProxyAddress to;
    std::string_view from_ip;
    std::string_view to_ip;
    std::string_view from_port;
    std::string_view to_port;
    const bool is_complete = take_word(line, from_ip, false) && take_word(line, to_ip, false) &&
                             take_word(line, from_port, false) && take_word(line, to_port, true);
    if (!is_complete || !ip_of(from_ip, is_v6, from) || !ip_of(to_ip, is_v6, to))
        return ProxyRead::malformed;
    const auto from_number = port_of(from_port);
    const auto to_number = port_of(to_port);
    if (!from_number || !to_number) return ProxyRead::malformed;
    from.port = *from_number;
    to.port = *to_number;
    out.source = from;
    out.destination = to;
    return ProxyRead::done;
}

std::size_t number_at(std::string_view data, std::size_t at) noexcept {
    return static_cast<std::size_t>(static_cast<unsigned char>(data[at])) << 8U |
           static_cast<unsigned char>(data[at + 1]);
}

ProxyAddress address_at(
    std::string_view data, std::size_t ip, std::size_t port, bool is_v6
) noexcept {
    ProxyAddress address{.is_v6 = is_v6};
    std::memcpy(address.ip.data(), data.data() + ip, is_v6 ? 16 : 4);
    address.port = static_cast<std::uint16_t>(number_at(data, port));
    return address;
}

ProxyRead parse_v2(std::string_view data, ProxyHeader& out) {
    if (data.size() < kV2Head) return ProxyRead::more;
    const auto version_command = static_cast<unsigned char>(data[12]);
    const auto family = static_cast<unsigned char>(data[13]);
    const std::size_t length = number_at(data, 14);
    const unsigned command = version_command & 0x0fU;
    if (version_command >> 4U != 2 || command > 1 || kV2Head + length > kProxyHeaderBytesMax)
        return ProxyRead::malformed;
    if (data.size() < kV2Head + length) return ProxyRead::more;
    out = {.source = {}, .destination = {}, .bytes = kV2Head + length};
    if (command == 0) return ProxyRead::done;  // LOCAL: whatever else it says
    switch (family) {
        case 0x00:  // unspecified: as UNKNOWN
            return ProxyRead::done;
        case 0x11:  // TCP over IPv4
            if (length < 12) return ProxyRead::malformed;
            out.source = address_at(data, kV2Head, kV2Head + 8, false);
            out.destination = address_at(data, kV2Head + 4, kV2Head + 10, false);
            return ProxyRead::done;
        case 0x21:  // TCP over IPv6
            if (length < 36) return ProxyRead::malformed;
            out.source = address_at(data, kV2Head, kV2Head + 32, true);
            out.destination = address_at(data, kV2Head + 16, kV2Head + 34, true);
            return ProxyRead::done;
        default:  // datagrams and Unix sockets cannot have come here
            return ProxyRead::malformed;
    }
}

std::string text_of(const ProxyAddress& address) {
    char text[INET6_ADDRSTRLEN] = {};
    inet_ntop(address.is_v6 ? AF_INET6 : AF_INET, address.ip.data(), text, sizeof text);
    return text;
}

void append_number(std::string& out, std::size_t number) {
    out += static_cast<char>(number >> 8U & 0xffU);
    out += static_cast<char>(number & 0xffU);
}

void append_ip(std::string& out, const ProxyAddress& address) {
    out.append(reinterpret_cast<const char*>(address.ip.data()), address.is_v6 ? 16 : 4);
}

}  // namespace

ProxyRead parse_proxy_header(std::string_view data, ProxyHeader& out) {
    if (is_beginning(data, kV2))
        return data.size() < kV2.size() ? ProxyRead::more : parse_v2(data, out);
    if (is_beginning(data, kV1))
        return data.size() < kV1.size() ? ProxyRead::more : parse_v1(data, out);
    return ProxyRead::malformed;
}

std::size_t proxy_bytes_wanted(std::string_view data) noexcept {
    const bool is_v2 = !data.empty() && data[0] == kV2[0];
    if (is_v2) {
        if (data.size() < kV2Head) return kV2Head - data.size();
        const std::size_t all = kV2Head + number_at(data, 14);
        return all > data.size() ? all - data.size() : 1;
    }
    return data.size() < kV1BytesMin ? kV1BytesMin - data.size() : 1;
}

void append_proxy_v1(std::string& out, const ProxyAddress& from, const ProxyAddress& to) {
    if (from.is_v6 != to.is_v6) {
        out += "PROXY UNKNOWN\r\n";
        return;
    }
    fmt::format_to(
        std::back_inserter(out),
        "PROXY TCP{} {} {} {} {}\r\n",
        from.is_v6 ? '6' : '4',
        text_of(from),
        text_of(to),
        from.port,
        to.port
    );
}

void append_proxy_v2(std::string& out, const ProxyAddress& from, const ProxyAddress& to) {
    out += kV2;
    if (from.is_v6 != to.is_v6) {
        out += '\x21';  // somebody's, but whose cannot be said
        out += '\x00';
        append_number(out, 0);
        return;
    }
    out += '\x21';
    out += from.is_v6 ? '\x21' : '\x11';
    append_number(out, from.is_v6 ? 36 : 12);
    append_ip(out, from);
    append_ip(out, to);
    append_number(out, from.port);
    append_number(out, to.port);
}

}  // namespace datapunk::mesh::wire
