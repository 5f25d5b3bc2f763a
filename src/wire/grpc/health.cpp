#include "wire/grpc/health.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/strings.h"
#include "wire/grpc/call.h"

namespace datapunk::mesh::wire::grpc {

namespace {

constexpr std::size_t kPrefixBytes = 5;  // compressed?, length (big-endian)

void append_varint(std::string& out, std::uint64_t value) {
    while (value >= 0x80) {
        out += static_cast<char>((value & 0x7f) | 0x80);
        value >>= 7;
    }
    out += static_cast<char>(value);
}

// Takes a varint off the front; false if there is none of at most 64 bits.
bool take_varint(std::string_view& bytes, std::uint64_t& value) {
    value = 0;
    for (unsigned i = 0; i < 10 && i < bytes.size(); ++i) {
        const auto byte = static_cast<unsigned char>(bytes[i]);
        if (i == 9 && byte > 1) return false;
        value |= static_cast<std::uint64_t>(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            bytes.remove_prefix(i + 1);
            return true;
        }
    }
    return false;
}

// The value of a field that nobody asked for. Groups (3, 4) are long gone from protobuf.
bool skip(std::string_view& bytes, unsigned wire_type) {
    std::uint64_t value = 0;
    std::size_t size = 0;
    if (wire_type == 0) return take_varint(bytes, value);
    if (wire_type == 1) {
        size = 8;
    } else if (wire_type == 5) {
        size = 4;
    } else if (wire_type == 2 && take_varint(bytes, value) && value <= bytes.size()) {
        size = static_cast<std::size_t>(value);
    } else {
        return false;
    }
    if (size > bytes.size()) return false;
    bytes.remove_prefix(size);
    return true;
}

Error malformed(std::string_view why) {
    return {
        .code = Code::invalid, .what = fmt::format("gRPC: {}", why), .source = Source::upstream
    };
}

}  // namespace

std::string_view to_string(ServingStatus status) noexcept {
    constexpr std::array<std::string_view, 4> kNames = {
        "UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"
    };
    return kNames[static_cast<std::size_t>(status)];
}

std::string health_request(std::string_view service) {
    std::string message;
    if (!service.empty()) {
        message += '\x0a';  // field 1, a string
        append_varint(message, service.size());
        message += service;
    }
    std::string out(1, '\0');
    for (int shift = 24; shift >= 0; shift -= 8) {
        out += static_cast<char>((message.size() >> static_cast<unsigned>(shift)) & 0xff);
    }
    return out + message;
}

Result<ServingStatus> parse_health_response(std::string_view body) {
    if (body.size() < kPrefixBytes) return malformed("the answer has no message");
    if (body[0] != 0) return malformed("the answer is compressed, which was not asked for");
    std::size_t size = 0;
    for (std::size_t i = 1; i < kPrefixBytes; ++i) {
        size = size << 8 | static_cast<unsigned char>(body[i]);
    }
    body.remove_prefix(kPrefixBytes);
    if (body.size() != size) return malformed("the answer is not one whole message");
    std::uint64_t status = 0;  // proto3: what is not there is zero
    while (!body.empty()) {
        std::uint64_t key = 0;
        if (!take_varint(body, key) || key >> 3 == 0) return malformed("the answer is no protobuf");
        const bool is_status = key == 0x08;
        if (is_status ? !take_varint(body, status) : !skip(body, key & 7)) {
            return malformed("the answer is no protobuf");
        }
    }
    // An enumerator of a later version is nothing we know to be good.
    if (status > 3) return ServingStatus::unknown;
    return static_cast<ServingStatus>(status);
}

std::string timeout_text(std::chrono::nanoseconds timeout) {
    constexpr std::int64_t kMax = 99'999'999;
    const std::int64_t millis =
        std::chrono::ceil<std::chrono::milliseconds>(std::max(timeout, decltype(timeout)(1)))
            .count();
    if (millis <= kMax) return fmt::format("{}m", millis);
    return fmt::format("{}S", std::min(millis / 1000, kMax));
}

std::string_view status_name(std::string_view code) noexcept {
    const auto number = core::parse_number<std::uint8_t>(code);
    if (!number || *number > static_cast<std::uint8_t>(GrpcStatus::unauthenticated)) return code;
    return to_string(static_cast<GrpcStatus>(*number));
}

}  // namespace datapunk::mesh::wire::grpc
