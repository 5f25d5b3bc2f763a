#include "wire/traceparent.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "core/strings.h"
#include "wire/hex.h"

namespace datapunk::mesh::wire {
namespace {

constexpr std::size_t kStateBytesMax = 512;  // the least that 3.3.1.5 asks everyone to pass on
constexpr std::size_t kStateMembersMax = 32;
constexpr std::size_t kStateKeyBytesMax = 256;
constexpr std::size_t kStateValueBytesMax = 256;

bool is_lower_alnum(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

// Lowercase digits only.
std::optional<std::uint64_t> parse_hex(std::string_view digits) noexcept {
    std::uint64_t value = 0;
    for (const char c : digits) {
        const int digit = hex_value(c);
        if (digit < 0 || (c >= 'A' && c <= 'F')) return std::nullopt;
        value = value << 4U | static_cast<std::uint64_t>(digit);
    }
    return value;
}

constexpr std::uint64_t kToLetter = 'a' - '9' - 1;

// Eight digits, all at once: a nibble to each byte, the highest first; then '0' to each, and what
// is missing to 'a' where a nibble is over 9.
void write_hex(char* to, std::uint32_t value) noexcept {
    std::uint64_t digits = value;
    digits = (digits & 0xffffU) << 32U | digits >> 16U;
    digits = (digits & 0x0000ff000000ff00U) >> 8U | (digits & 0x000000ff000000ffU) << 16U;
    digits = (digits & 0x00f000f000f000f0U) >> 4U | (digits & 0x000f000f000f000fU) << 8U;
    const std::uint64_t is_letter = ((digits + 0x0606060606060606U) >> 4U) & 0x0101010101010101U;
    digits += 0x3030303030303030U + is_letter * kToLetter;
    if constexpr (std::endian::native == std::endian::big) digits = __builtin_bswap64(digits);
    std::memcpy(to, &digits, sizeof digits);
}

void write_hex(char* to, std::uint64_t value) noexcept {
    write_hex(to, static_cast<std::uint32_t>(value >> 32U));
    write_hex(to + 8, static_cast<std::uint32_t>(value));
}

std::uint64_t nonzero(core::Rng& rng) noexcept {
    std::uint64_t id = rng();
    while (id == 0) id = rng();
    return id;
}

bool is_state_member(std::string_view member) noexcept {
    const std::size_t equals = member.find('=');
    if (equals == 0 || equals == std::string_view::npos || equals > kStateKeyBytesMax) return false;
    const std::string_view key = member.substr(0, equals);
    const std::string_view value = member.substr(equals + 1);
    if (!is_lower_alnum(key.front()) || value.empty() || value.size() > kStateValueBytesMax)
        return false;
    for (const char c : key) {
        const bool is_mark = c == '_' || c == '-' || c == '*' || c == '/' || c == '@';
        if (!is_lower_alnum(c) && !is_mark) return false;
    }
    for (const char c : value) {
        if (c < 0x20 || c > 0x7e || c == '=') return false;
    }
    return value.back() != ' ';
}

}  // namespace

TraceParent TraceParent::child(core::Rng& rng) const noexcept {
    TraceParent next = *this;
    next.span_id = nonzero(rng);
    return next;
}

TraceParent TraceParent::root(core::Rng& rng, bool is_sampled) noexcept {
    return {
        .trace_high = rng(),
        .trace_low = nonzero(rng),
        .span_id = nonzero(rng),
        .flags = static_cast<std::uint8_t>(kRandom | (is_sampled ? kSampled : 0)),
    };
}

std::optional<TraceParent> parse_traceparent(std::string_view text) noexcept {
    if (text.size() < TraceParent::kTextBytes) return std::nullopt;
    if (text[2] != '-' || text[35] != '-' || text[52] != '-') return std::nullopt;
    const auto version = parse_hex(text.substr(0, 2));
    const auto trace_high = parse_hex(text.substr(3, 16));
    const auto trace_low = parse_hex(text.substr(19, 16));
    const auto span_id = parse_hex(text.substr(36, 16));
    const auto flags = parse_hex(text.substr(53, 2));
    if (!version || !trace_high || !trace_low || !span_id || !flags) return std::nullopt;
    if (*version == 0xff) return std::nullopt;
    const bool is_longer = text.size() > TraceParent::kTextBytes;
    if (is_longer && (*version == 0 || text[TraceParent::kTextBytes] != '-')) return std::nullopt;
    if ((*trace_high == 0 && *trace_low == 0) || *span_id == 0) return std::nullopt;
    return TraceParent{
        .trace_high = *trace_high,
        .trace_low = *trace_low,
        .span_id = *span_id,
        .flags = static_cast<std::uint8_t>(*flags & (TraceParent::kSampled | TraceParent::kRandom)),
    };
}

void append_traceparent(std::string& out, const TraceParent& parent) {
    std::array<char, TraceParent::kTextBytes> text{'0', '0', '-'};
    write_hex(&text[3], parent.trace_high);
    write_hex(&text[19], parent.trace_low);
    text[35] = '-';
    write_hex(&text[36], parent.span_id);
    text[52] = '-';
    const unsigned flags = parent.flags;
    text[53] = kHexLower[flags >> 4U];
    text[54] = kHexLower[flags & 0xfU];
    out.append(text.data(), text.size());
}

std::string format_trace_id(const TraceParent& parent) {
    std::string out(32, '0');
    write_hex(out.data(), parent.trace_high);
    write_hex(out.data() + 16, parent.trace_low);
    return out;
}

std::string format_span_id(std::uint64_t span_id) {
    std::string out(16, '0');
    write_hex(out.data(), span_id);
    return out;
}

std::string_view fit_tracestate(std::string_view text) noexcept {
    std::size_t kept = 0;
    std::size_t members = 0;
    for (std::size_t at = 0; at <= text.size();) {
        const std::size_t comma = std::min(text.find(',', at), text.size());
        const std::string_view member = core::trim(text.substr(at, comma - at));
        if (!member.empty()) {  // empty members are allowed and mean nothing
            if (!is_state_member(member)) return {};
            if (++members <= kStateMembersMax && comma <= kStateBytesMax) kept = comma;
        }
        at = comma + 1;
    }
    return text.substr(0, kept);
}

}  // namespace datapunk::mesh::wire
