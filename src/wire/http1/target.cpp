#include "wire/http1/target.h"

#include <cstdint>

#include "core/strings.h"
#include "wire/http1/chars.h"

namespace datapunk::mesh::wire::http1 {
namespace {

bool is_port(std::string_view text) noexcept {
    const auto port = core::parse_number<std::uint16_t>(text);
    return port.has_value() && text.size() <= 5;
}

bool is_ipv6_text(std::string_view text) noexcept {
    if (text.size() < 2 || text.size() > 45) return false;
    bool has_colon = false;
    for (const char c : text) {
        const char low = core::to_lower(c);
        has_colon |= c == ':';
        if (!((c >= '0' && c <= '9') || (low >= 'a' && low <= 'f') || c == ':' || c == '.'))
            return false;
    }
    return has_colon;
}

}  // namespace

bool is_authority(std::string_view text) noexcept {
    if (text.empty()) return false;
    if (text.front() == '[') {
        const std::size_t close = text.find(']');
        if (close == std::string_view::npos || !is_ipv6_text(text.substr(1, close - 1)))
            return false;
        const std::string_view rest = text.substr(close + 1);
        return rest.empty() || (rest.front() == ':' && is_port(rest.substr(1)));
    }
    std::size_t at = 0;
    while (at < text.size() && is_in(text[at], kHostName)) ++at;
    if (at == 0 || at > 255) return false;  // RFC 1035: a name has 255 bytes at most
    return at == text.size() || (text[at] == ':' && is_port(text.substr(at + 1)));
}

Reject read_target(RequestHead& out) noexcept {
    const std::string_view target = out.target;
    out.path = {};
    out.host = {};
    if (out.method == Method::connect) {
        // An authority with a port, nothing else (RFC 9112 3.2.3).
        const bool has_port =
            !target.empty() && target.back() != ']' && target.find(':') != std::string_view::npos;
        if (!has_port || !is_authority(target)) return Reject::bad_target;
        out.host = target;
        return Reject::none;
    }
    if (target.front() == '/' || (target == "*" && out.method == Method::options)) {
        out.path = target;
        return Reject::none;
    }
    const std::size_t scheme_end = target.find("://");
    if (scheme_end == std::string_view::npos) return Reject::bad_target;
    const std::string_view scheme = target.substr(0, scheme_end);
    if (!core::equals_ignoring_case(scheme, "http") && !core::equals_ignoring_case(scheme, "https"))
        return Reject::bad_target;
    const std::string_view rest = target.substr(scheme_end + 3);
    const std::size_t path_at = rest.find_first_of("/?");
    out.host = rest.substr(0, path_at);
    if (!is_authority(out.host)) return Reject::bad_target;
    // No path means "/" (or "*" for OPTIONS, RFC 9112 3.2.4). A query without a path is legal in a
    // URI but has no origin form that is a view of it, and nothing sends it: refused.
    if (path_at == std::string_view::npos) {
        out.path = out.method == Method::options ? "*" : "/";
        return Reject::none;
    }
    out.path = rest.substr(path_at);
    return out.path.front() == '/' ? Reject::none : Reject::bad_target;
}

}  // namespace datapunk::mesh::wire::http1
