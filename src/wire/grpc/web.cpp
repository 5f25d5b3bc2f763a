#include "wire/grpc/web.h"

#include "core/strings.h"

namespace datapunk::mesh::wire::grpc {

namespace {

// Of one base64 digit, or -1.
int value_of(char c) noexcept {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '+') return 62;
    return c == '/' ? 63 : -1;
}

// What follows `type`, if `text` begins with it.
std::optional<std::string_view> rest_of(std::string_view text, std::string_view type) noexcept {
    if (!core::equals_ignoring_case(text.substr(0, type.size()), type)) return std::nullopt;
    return text.substr(type.size());
}

}  // namespace

std::optional<WebType> web_type(std::string_view content_type) noexcept {
    auto rest = rest_of(content_type, "application/grpc-web");
    if (!rest) return std::nullopt;
    WebType type;
    if (const auto behind = rest_of(*rest, "-text")) {
        type.is_text = true;
        rest = behind;
    }
    type.rest = *rest;
    const bool is_whole = type.rest.empty() || type.rest[0] == '+' || type.rest[0] == ';';
    return is_whole ? std::optional(type) : std::nullopt;
}

bool wants_text(std::string_view accept, const WebType& request) noexcept {
    const auto asked = web_type(accept);
    return asked ? asked->is_text : request.is_text;
}

void append_trailer_frame(std::string& out, std::span<const http1::Field> trailers) {
    std::size_t bytes = 0;
    for (const http1::Field& field : trailers) bytes += field.name.size() + field.value.size() + 4;
    out += '\x80';
    for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>((bytes >> shift) & 0xff);
    for (const http1::Field& field : trailers) {
        for (const char c : field.name) out += core::to_lower(c);
        out += ": ";
        out += field.value;
        out += "\r\n";
    }
}

bool Base64Stream::decode(std::string_view text, std::string& out) {
    for (const char c : text) {
        if (c == '=') {
            if (digits_ < 2) return false;
            ++pads_;
        } else {
            const int value = value_of(c);
            if (value < 0 || pads_ > 0) return false;
            bits_ = bits_ << 6 | static_cast<std::uint32_t>(value);
            ++digits_;
        }
        if (digits_ + pads_ < 4) continue;
        bits_ <<= 6 * pads_;
        const int bytes = digits_ - 1;
        for (int i = 0; i < bytes; ++i) out += static_cast<char>(bits_ >> (16 - 8 * i) & 0xff);
        const std::uint32_t behind = bytes == 3 ? 0 : bits_ & (0xffffffU >> (8 * bytes));
        if (behind != 0) return false;  // digits that mean nothing: two texts for the same bytes
        *this = {};
    }
    return true;
}

}  // namespace datapunk::mesh::wire::grpc
