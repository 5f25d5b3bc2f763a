#include "routing/host.h"

#include "core/strings.h"

namespace datapunk::mesh::routing {

namespace {

bool is_digits(std::string_view text) {
    return text.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

std::optional<std::string> normal_host(std::string_view authority) {
    std::string_view host = authority;
    std::string_view port;
    if (host.starts_with('[')) {
        const std::size_t end = host.find(']');
        if (end == std::string_view::npos) return std::nullopt;
        port = host.substr(end + 1);
        host = host.substr(0, end + 1);
    } else if (const std::size_t colon = host.find(':'); colon != std::string_view::npos) {
        port = host.substr(colon);
        host = host.substr(0, colon);
        if (host.ends_with('.')) host.remove_suffix(1);
    } else if (host.ends_with('.')) {
        host.remove_suffix(1);
    }
    if (!port.empty() && (port.front() != ':' || !is_digits(port.substr(1)))) return std::nullopt;
    if (host.empty() || host.size() > kHostBytesMax) return std::nullopt;
    for (const char c : host) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte <= ' ' || byte >= 0x7f || c == '/' || c == '@' || c == '*') return std::nullopt;
    }
    return core::lowercase(host);
}

bool is_host_pattern(std::string_view pattern) {
    if (pattern == "*") return true;
    if (pattern.starts_with("*.")) pattern.remove_prefix(2);
    const auto host = normal_host(pattern);
    return host && host->size() == pattern.size();  // no port, no dot at the end
}

}  // namespace datapunk::mesh::routing
