#include "server/dns/zone_name.h"

#include <algorithm>
#include <array>

#include "core/strings.h"
#include "wire/hex.h"

namespace datapunk::mesh::server::dns {

namespace {

using Labels = std::vector<std::string_view>;

bool is_word(std::string_view label, std::string_view word) {
    return core::equals_ignoring_case(label, word);
}

std::string join(Labels::const_iterator begin, Labels::const_iterator end) {
    std::string out;
    for (auto at = begin; at != end; ++at) {
        if (!out.empty()) out += '.';
        out += *at;
    }
    return out;
}

// What follows the kind: nothing, our datacenter, or "dc1.dc".
bool is_our_datacenter(
    Labels::const_iterator begin, Labels::const_iterator end, std::string_view datacenter
) {
    const auto count = end - begin;
    if (count == 0) return true;
    if (!is_word(*begin, datacenter)) return false;
    return count == 1 || (count == 2 && is_word(begin[1], "dc"));
}

ZoneName service_name(Labels::const_iterator begin, Labels::const_iterator end) {
    const auto count = end - begin;
    ZoneName out{.kind = ZoneName::Kind::service};
    if (count == 2 && begin[0].starts_with('_') && begin[1].starts_with('_')) {
        out.name = begin[0].substr(1);
        out.tag = is_word(begin[1], "_tcp") ? std::string_view() : begin[1].substr(1);
    } else {
        out.name = *(end - 1);
        out.tag = join(begin, end - 1);  // a tag may have dots
    }
    return out;
}

ZoneName query_name(Labels::const_iterator begin, Labels::const_iterator end) {
    const bool is_rfc2782 =
        end - begin > 1 && begin->starts_with('_') && (end - 1)->starts_with('_');
    ZoneName out{.kind = ZoneName::Kind::query};
    out.name = is_rfc2782 ? join(begin, end - 1).substr(1) : join(begin, end);
    return out;
}

}  // namespace

ZoneName read_zone_name(
    const Labels& labels, std::string_view datacenter, wire::dns::DnsType type
) {
    if (labels.empty()) return {.kind = ZoneName::Kind::apex};
    constexpr std::array<std::string_view, 7> kKinds = {
        "service", "node", "addr", "query", "virtual", "connect", "ingress"
    };
    // The last label that is a kind; or, for SRV, one with an underscore stands for "service".
    for (auto at = labels.end(); at != labels.begin();) {
        --at;
        const auto kind = std::find_if(kKinds.begin(), kKinds.end(), [&](std::string_view word) {
            return is_word(*at, word);
        });
        const bool is_bare_srv =
            kind == kKinds.end() && type == wire::dns::DnsType::srv && at->starts_with('_');
        if (kind == kKinds.end() && !is_bare_srv) continue;
        const auto end = is_bare_srv ? at + 1 : at;
        if (!is_our_datacenter(at + 1, labels.end(), datacenter)) return {};
        if (end == labels.begin()) return {};
        if (is_bare_srv || *kind == "service") return service_name(labels.begin(), end);
        if (*kind == "node") {
            return {.kind = ZoneName::Kind::node, .name = join(labels.begin(), end), .tag = {}};
        }
        if (*kind == "query") return query_name(labels.begin(), end);
        if (*kind == "virtual") return {.kind = ZoneName::Kind::virtual_ip};
        if (*kind == "addr" && end - labels.begin() == 1) {
            return {
                .kind = ZoneName::Kind::address, .name = std::string(labels.front()), .tag = {}
            };
        }
        return {};
    }
    return {};
}

std::optional<std::string> read_reverse_name(const Labels& labels) {
    const auto ends_in = [&](std::string_view word) {
        return labels.size() > 2 && is_word(labels[labels.size() - 2], word) &&
               is_word(labels.back(), "arpa");
    };
    std::string bytes;
    if (ends_in("in-addr") && labels.size() == 6) {
        for (std::size_t i = 4; i > 0; --i) {
            const auto value = core::parse_number<std::uint8_t>(labels[i - 1]);
            if (!value) return std::nullopt;
            bytes += static_cast<char>(*value);
        }
        return bytes;
    }
    if (ends_in("ip6") && labels.size() == 34) {
        std::string digits;
        for (std::size_t i = 32; i > 0; --i) digits += labels[i - 1];
        return digits.size() == 32 ? read_hex_address(digits) : std::nullopt;
    }
    return std::nullopt;
}

std::optional<std::string> read_hex_address(std::string_view digits) {
    if (digits.size() != 8 && digits.size() != 32) return std::nullopt;
    std::string bytes;
    for (std::size_t i = 0; i < digits.size(); i += 2) {
        const int high = wire::hex_value(digits[i]);
        const int low = wire::hex_value(digits[i + 1]);
        if (high < 0 || low < 0) return std::nullopt;
        bytes += static_cast<char>(static_cast<unsigned char>(high * 16 + low));
    }
    return bytes;
}

std::string hex_address(std::string_view bytes) {
    std::string digits;
    for (const char c : bytes) {
        const auto byte = static_cast<unsigned char>(c);
        digits += wire::kHexLower[byte >> 4U];
        digits += wire::kHexLower[byte & 0xfU];
    }
    return digits;
}

}  // namespace datapunk::mesh::server::dns
