#include "routing/location.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

#include "core/strings.h"

namespace datapunk::mesh::routing {

namespace {

constexpr std::size_t kTargetBytesMax = 9UL * 1024;  // wire::http1::Limits', and what a route says

std::string_view trimmed(std::string_view prefix) {
    while (prefix.ends_with('/')) prefix.remove_suffix(1);
    return prefix;
}

struct Parts {
    std::string_view path;
    std::string_view rest;  // from '?' or '#'
};

Parts split(std::string_view target) {
    const std::size_t end = std::min(target.find_first_of("?#"), target.size());
    return {target.substr(0, end), target.substr(end)};
}

// `path` with the part that the route matched by replaced.
std::string with_prefix(const Route& route, const std::string& prefix, std::string_view path) {
    const bool exact = !route.path_exact.empty();
    const std::string_view matched = exact ? route.path_exact : trimmed(route.path_prefix);
    std::string out(exact ? std::string_view(prefix) : trimmed(prefix));
    out += path.substr(std::min(matched.size(), path.size()));
    if (!out.starts_with('/')) out.insert(out.begin(), '/');
    return out;
}

bool is_sendable(std::string_view path) {
    return path.starts_with('/') && std::all_of(path.begin(), path.end(), [](char c) {
               const auto byte = static_cast<unsigned char>(c);
               return byte > ' ' && byte < 0x7f && c != '?' && c != '#';
           });
}

}  // namespace

Result<std::string> rewritten(const Route& route, const Pattern& regex, std::string_view target) {
    const auto [path, rest] = split(target);
    std::string out(path);
    if (route.rewrite && path.starts_with('/')) {  // not of OPTIONS *
        const Rewrite& rewrite = *route.rewrite;
        if (!rewrite.path.empty()) out = rewrite.path;
        if (rewrite.prefix) out = with_prefix(route, *rewrite.prefix, path);
        if (!rewrite.regex.empty()) {
            out = regex.replaced(path, rewrite.substitution);
            if (out != path && !is_sendable(out))
                return Error{.code = Code::invalid, .what = "its rewritten path is none"};
        }
    }
    out += rest;
    if (out.size() > kTargetBytesMax)
        return Error{.code = Code::invalid, .what = "its rewritten path is too long"};
    return out;
}

Result<std::string> location_of(const Route& route, const AskedUrl& asked) {
    const Redirect& redirect = *route.redirect;
    if (asked.host.empty() && redirect.host.empty())
        return Error{.code = Code::invalid, .what = "nobody said which host"};
    const std::string_view scheme =
        redirect.scheme.empty() ? asked.scheme : std::string_view(redirect.scheme);
    std::string out = fmt::format("{}://", scheme);
    const std::size_t bracket = asked.host.rfind(']');
    const std::size_t colon = asked.host.find(':', bracket == std::string_view::npos ? 0 : bracket);
    const bool is_elsewhere = !redirect.scheme.empty() || !redirect.host.empty();
    out += redirect.host.empty() ? asked.host.substr(0, colon) : std::string_view(redirect.host);
    if (redirect.port != 0) {
        const std::uint16_t usual = scheme == "https" ? 443 : 80;
        if (redirect.port != usual) out += fmt::format(":{}", redirect.port);
    } else if (!is_elsewhere && colon != std::string_view::npos) {
        out += asked.host.substr(colon);
    }
    const auto [path, rest] = split(asked.target);
    if (!redirect.path.empty()) {
        out += redirect.path;
    } else if (redirect.prefix) {
        out += with_prefix(route, *redirect.prefix, path);
    } else if (path.starts_with('/')) {
        out += path;
    } else {
        out += '/';  // OPTIONS *
    }
    if (!redirect.strip_query) out += rest;
    return out;
}

}  // namespace datapunk::mesh::routing
