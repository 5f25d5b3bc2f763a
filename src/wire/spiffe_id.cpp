#include "wire/spiffe_id.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/strings.h"

namespace datapunk::mesh::wire {

namespace {

constexpr std::string_view kScheme = "spiffe://";
constexpr std::size_t kBytesMax = 2048;
constexpr std::size_t kTrustDomainBytesMax = 255;

bool is_lower_or_digit(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool is_path(std::string_view path) noexcept {
    while (!path.empty()) {
        if (path.front() != '/') return false;
        path.remove_prefix(1);
        const std::string_view segment = path.substr(0, path.find('/'));
        const bool is_good = std::all_of(segment.begin(), segment.end(), [](char c) {
            return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' ||
                   c == '_';
        });
        if (segment.empty() || segment == "." || segment == ".." || !is_good) return false;
        path.remove_prefix(segment.size());
    }
    return true;
}

}  // namespace

bool is_trust_domain(std::string_view text) noexcept {
    return !text.empty() && text.size() <= kTrustDomainBytesMax &&
           std::all_of(text.begin(), text.end(), [](char c) {
               return is_lower_or_digit(c) || c == '.' || c == '-' || c == '_';
           });
}

std::optional<SpiffeId> parse_spiffe_id(std::string_view text) noexcept {
    if (text.size() > kBytesMax || !text.starts_with(kScheme)) return std::nullopt;
    text.remove_prefix(kScheme.size());
    const std::size_t slash = std::min(text.find('/'), text.size());
    const SpiffeId id{.trust_domain = text.substr(0, slash), .path = text.substr(slash)};
    if (!is_trust_domain(id.trust_domain) || !is_path(id.path)) return std::nullopt;
    return id;
}

Result<> check_spiffe_pattern(std::string_view pattern) {
    const bool is_prefix = pattern.ends_with("/*");
    const auto id = parse_spiffe_id(is_prefix ? pattern.substr(0, pattern.size() - 2) : pattern);
    if (id && (is_prefix || !id->path.empty())) return Ok{};
    return Error{
        .code = Code::invalid,
        .what = fmt::format(
            "\"{:.200}\" is no SPIFFE id, such as spiffe://mesh.example/web or "
            "spiffe://mesh.example/prod/*",
            pattern
        )
    };
}

bool spiffe_matches(std::string_view pattern, std::string_view id) noexcept {
    if (id.empty()) return false;
    if (!pattern.ends_with("/*")) return pattern == id;
    pattern.remove_suffix(1);  // the slash stays
    return id.size() > pattern.size() && id.starts_with(pattern);
}

bool spiffe_matches_any(const std::vector<std::string>& patterns, std::string_view id) noexcept {
    return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
        return spiffe_matches(pattern, id);
    });
}

}  // namespace datapunk::mesh::wire
