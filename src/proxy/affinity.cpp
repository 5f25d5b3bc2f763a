#include "proxy/affinity.h"

#include "core/hash.h"

namespace datapunk::mesh::proxy {
namespace {

std::string_view trimmed(std::string_view text) noexcept {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    return text;
}

// Of "a=1; b=2". Names are compared as they are: cookies are case-sensitive.
std::optional<std::string_view> cookie_in(std::string_view header, std::string_view name) noexcept {
    while (!header.empty()) {
        const std::size_t end = header.find(';');
        const std::string_view pair = header.substr(0, end);
        const std::size_t equals = pair.find('=');
        if (equals != std::string_view::npos && trimmed(pair.substr(0, equals)) == name) {
            return trimmed(pair.substr(equals + 1));
        }
        if (end == std::string_view::npos) break;
        header.remove_prefix(end + 1);
    }
    return std::nullopt;
}

std::optional<std::uint64_t> cookie_hash(
    const wire::http1::RequestHead& request, std::string_view name
) noexcept {
    for (const wire::http1::Field& field : request.fields) {
        if (field.id != wire::http1::Header::cookie) continue;
        if (const auto value = cookie_in(field.value, name)) return core::hash64(*value);
    }
    return std::nullopt;
}

}  // namespace

std::optional<std::uint64_t> affinity_hash(
    const AffinityConfig& config, const wire::http1::RequestHead& request, std::string_view address
) noexcept {
    switch (config.by) {
        case AffinityConfig::Kind::none:
            break;
        case AffinityConfig::Kind::address:
            return core::hash64(address);
        case AffinityConfig::Kind::cookie:
            return cookie_hash(request, config.name);
        case AffinityConfig::Kind::header: {
            const wire::http1::Field* field = request.find(config.name);
            if (field != nullptr) return core::hash64(field->value);
            break;
        }
    }
    return std::nullopt;
}

}  // namespace datapunk::mesh::proxy
