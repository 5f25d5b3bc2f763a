#include "wire/url.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/strings.h"
#include "wire/hex.h"

namespace datapunk::mesh::wire {
namespace {

constexpr std::size_t kUrlBytesMax = 8UL * 1024;  // as a request target
constexpr std::size_t kParametersMax = 256;       // far above what an API takes
constexpr std::size_t kShownBytes = 64;           // of a bad text, in an error

Error bad(std::string_view what, std::string_view text, std::string_view why) {
    return {
        .code = Code::invalid,
        .what = fmt::format("bad {} \"{}\": {}", what, text.substr(0, kShownBytes), why)
    };
}

bool is_alnum(char c) noexcept {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_unreserved(char c) noexcept {
    return is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

bool is_ipv6_shaped(std::string_view text) noexcept {
    if (text.size() < 2 || text.find(':') == std::string_view::npos) return false;
    return std::all_of(text.begin(), text.end(), [](char c) {
        return hex_value(c) >= 0 || c == ':' || c == '.';
    });
}

bool is_printable(std::string_view text) noexcept {
    return std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

std::optional<std::string> decode_form(std::string_view text) {
    std::string blanks(text);
    std::replace(blanks.begin(), blanks.end(), '+', ' ');
    return percent_decode(blanks);
}

}  // namespace

std::optional<std::string> percent_decode(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            out += text[i];
            continue;
        }
        if (text.size() - i < 3) return std::nullopt;
        const int high = hex_value(text[i + 1]);
        const int low = hex_value(text[i + 2]);
        if (high < 0 || low < 0) return std::nullopt;
        out += static_cast<char>(high * 16 + low);
        i += 2;
    }
    return out;
}

std::string percent_encode(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (const char c : text) {
        if (is_unreserved(c)) {
            out += c;
            continue;
        }
        const auto byte = static_cast<unsigned char>(c);
        out += '%';
        out += kHexUpper[byte >> 4U];
        out += kHexUpper[byte & 0xfU];
    }
    return out;
}

std::string HostPort::text() const {
    const bool is_ipv6 = host.find(':') != std::string::npos;
    std::string out = is_ipv6 ? fmt::format("[{}]", host) : host;
    if (port) out += fmt::format(":{}", *port);
    return out;
}

Result<HostPort> parse_host_port(std::string_view text) {
    HostPort out;
    std::string_view rest;
    if (!text.empty() && text.front() == '[') {
        const std::size_t close = text.find(']');
        if (close == std::string_view::npos) return bad("address", text, "it has no closing ]");
        out.host = text.substr(1, close - 1);
        if (!is_ipv6_shaped(out.host))
            return bad("address", text, "there is no IPv6 address between [ and ]");
        rest = text.substr(close + 1);
    } else {
        const std::size_t colon = std::min(text.find(':'), text.size());
        out.host = text.substr(0, colon);
        rest = text.substr(colon);
        if (out.host.empty()) return bad("address", text, "it has no host");
        if (out.host.size() > 255 || !std::all_of(out.host.begin(), out.host.end(), is_unreserved))
            return bad("address", text, "the host is not a name or an IP address");
    }
    if (rest.empty()) return out;
    if (rest.find(':', 1) != std::string_view::npos)
        return bad("address", text, "write an IPv6 address as [address]:port");
    out.port = core::parse_number<std::uint16_t>(rest.substr(1));
    if (rest.front() != ':' || !out.port)
        return bad("address", text, "the port is not a number up to 65535");
    return out;
}

Result<Url> parse_url(std::string_view text) {
    if (text.size() > kUrlBytesMax) return bad("URL", text, "it is over 8192 bytes");
    if (!is_printable(text))
        return bad("URL", text, "it has blanks or bytes that must be %-encoded");
    const std::size_t scheme_end = text.find("://");
    if (scheme_end == std::string_view::npos || scheme_end == 0)
        return bad("URL", text, "it does not begin with a scheme such as http://");
    Url out;
    out.scheme = core::lowercase(text.substr(0, scheme_end));
    for (const char c : out.scheme) {
        if (!is_alnum(c) && c != '+' && c != '-' && c != '.')
            return bad("URL", text, "the scheme has a letter that schemes cannot have");
    }
    const std::string_view rest = text.substr(scheme_end + 3);
    const std::size_t host_end = std::min(rest.find_first_of("/?#"), rest.size());
    const std::string_view authority = rest.substr(0, host_end);
    if (authority.find('@') != std::string_view::npos)
        return {bad("URL", "...", "user and password in a URL are not taken")};
    const Result<HostPort> address = parse_host_port(authority);
    if (!address) return bad("URL", text, address.error().what);
    out.host = core::lowercase(address->host);
    const std::uint16_t usual = out.scheme == "http" ? 80 : out.scheme == "https" ? 443 : 0;
    out.port = address->port.value_or(usual);
    const PathQuery parts = split_path_query(rest.substr(host_end));
    if (!parts.path.empty()) out.path = parts.path;
    out.query = parts.query;
    return out;
}

PathQuery split_path_query(std::string_view target) noexcept {
    target = target.substr(0, target.find('#'));
    const std::size_t mark = target.find('?');
    if (mark == std::string_view::npos) return {.path = target, .query = {}};
    return {.path = target.substr(0, mark), .query = target.substr(mark + 1)};
}

Result<Query> Query::parse(std::string_view text) {
    Query out;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('&'), text.size());
        const std::string_view part = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (part.empty()) continue;
        if (out.parameters_.size() == kParametersMax)
            return bad("query", part, "it has more than 256 parameters");
        const std::size_t equals = part.find('=');
        const bool has_value = equals != std::string_view::npos;
        auto key = decode_form(part.substr(0, equals));
        auto value = decode_form(has_value ? part.substr(equals + 1) : std::string_view());
        if (!key || !value) return bad("query", part, "% is not followed by two hex digits");
        out.parameters_.push_back({std::move(*key), std::move(*value), has_value});
    }
    return out;
}

bool Query::has(std::string_view key) const noexcept {
    return value(key).has_value();
}

std::optional<std::string_view> Query::value(std::string_view key) const noexcept {
    for (const Parameter& parameter : parameters_) {
        if (parameter.key == key) return parameter.value;
    }
    return std::nullopt;
}

std::vector<std::string_view> Query::values(std::string_view key) const {
    std::vector<std::string_view> found;
    for (const Parameter& parameter : parameters_) {
        if (parameter.key == key) found.emplace_back(parameter.value);
    }
    return found;
}

}  // namespace datapunk::mesh::wire
