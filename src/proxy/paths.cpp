#include "proxy/paths.h"

namespace datapunk::mesh::proxy {

namespace {

// Whether text begins with %XY, in either case.
bool is_escaped(std::string_view text, char x, char y) noexcept {
    return text.size() >= 3 && text[0] == '%' && text[1] == x && (text[2] | 0x20) == y;
}

// Bytes of what ends a segment to some server, if text begins with that: '/', '\', or one of them
// escaped.
std::size_t separator_bytes(std::string_view text) noexcept {
    if (text.front() == '/' || text.front() == '\\') return 1;
    return is_escaped(text, '2', 'f') || is_escaped(text, '5', 'c') ? 3 : 0;
}

// "." or "..", also escaped, and with parameters behind, which some servers take off first: "..;a".
bool is_dots(std::string_view segment) noexcept {
    int dots = 0;
    while (!segment.empty() && segment.front() != ';') {
        const bool is_plain = segment.front() == '.';
        if (!is_plain && !is_escaped(segment, '2', 'e')) return false;
        segment.remove_prefix(is_plain ? 1 : 3);
        ++dots;
    }
    return dots == 1 || dots == 2;
}

}  // namespace

bool has_dot_segment(std::string_view target) noexcept {
    const std::string_view path = target.substr(0, target.find('?'));
    if (path.find('.') == std::string_view::npos && path.find('%') == std::string_view::npos)
        return false;
    std::size_t begin = 0;
    for (std::size_t at = 0; at <= path.size();) {
        const std::size_t bytes = at == path.size() ? 1 : separator_bytes(path.substr(at));
        if (bytes > 0 && is_dots(path.substr(begin, at - begin))) return true;
        at += bytes > 0 ? bytes : 1;
        if (bytes > 0) begin = at;
    }
    return false;
}

}  // namespace datapunk::mesh::proxy
