#pragma once

// For tests: HTTP/2 frames by hand, well-formed or not.

#include <cstdint>
#include <string>
#include <string_view>

namespace datapunk::mesh::wire::http2 {

inline const std::string kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

inline constexpr std::uint8_t kData = 0;
inline constexpr std::uint8_t kHeaders = 1;
inline constexpr std::uint8_t kPriority = 2;
inline constexpr std::uint8_t kRstStream = 3;
inline constexpr std::uint8_t kSettings = 4;
inline constexpr std::uint8_t kPing = 6;
inline constexpr std::uint8_t kGoaway = 7;
inline constexpr std::uint8_t kWindowUpdate = 8;
inline constexpr std::uint8_t kContinuation = 9;

inline constexpr std::uint8_t kEndStream = 1;
inline constexpr std::uint8_t kAck = 1;
inline constexpr std::uint8_t kEndHeaders = 4;
inline constexpr std::uint8_t kPadded = 8;

inline std::string number(std::uint32_t value) {
    std::string out;
    for (const int shift : {24, 16, 8, 0}) out += static_cast<char>(value >> shift & 0xff);
    return out;
}

inline std::string frame(
    std::uint8_t type, std::uint8_t flags, std::uint32_t stream, const std::string& body
) {
    std::string out = number(static_cast<std::uint32_t>(body.size())).substr(1);
    out += static_cast<char>(type);
    out += static_cast<char>(flags);
    return out + number(stream) + body;
}

// HPACK: a literal that is not indexed. Up to 126 bytes each.
inline std::string literal(std::string_view name, std::string_view value) {
    std::string out(1, '\0');
    out += static_cast<char>(name.size());
    out += name;
    out += static_cast<char>(value.size());
    out += value;
    return out;
}

// ":method: GET", ":scheme: http", ":path: /" of the static table, ":authority: api".
inline const std::string kGetRoot = std::string(
    "\x82\x86\x84\x41\x03"
    "api"
);

// The error code of the last RST_STREAM or GOAWAY in a sequence of frames; -1: there is none.
inline int last_error_code(std::string_view frames) {
    int code = -1;
    while (frames.size() >= 9) {
        const auto byte = [&](std::size_t i) {
            return static_cast<std::size_t>(static_cast<unsigned char>(frames[i]));
        };
        const std::size_t length = byte(0) << 16U | byte(1) << 8U | byte(2);
        if (frames.size() < 9 + length) break;
        const std::size_t at = byte(3) == kGoaway ? 4 : 0;
        if (byte(3) == kGoaway || byte(3) == kRstStream) code = static_cast<int>(byte(9 + at + 3));
        frames.remove_prefix(9 + length);
    }
    return code;
}

}  // namespace datapunk::mesh::wire::http2
