#include "wire/http1/message.h"

#include <array>

#include "core/strings.h"
#include "wire/http1/chars.h"

namespace datapunk::mesh::wire::http1 {
namespace {

constexpr std::array<std::string_view, 59> kHeaderNames = {
    "",
    "accept",
    "accept-encoding",
    "accept-language",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "etag",
    "expect",
    "expires",
    "forwarded",
    "from",
    "grpc-status",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "last-modified",
    "location",
    "max-forwards",
    "origin",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "referer",
    "retry-after",
    "server",
    "set-cookie",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "www-authenticate",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
};
static_assert(static_cast<std::size_t>(Header::x_request_id) + 1 == kHeaderNames.size());

// A hash of the length and three letters; open addressing, at most a quarter full.
constexpr std::size_t kSlots = 256;

constexpr std::size_t slot_of(std::string_view name) noexcept {
    const auto letter = [&](std::size_t i) {
        return static_cast<std::size_t>(static_cast<unsigned char>(name[i]) | 0x20U);
    };
    const std::size_t n = name.size();
    return (n * 31 + letter(0) * 7 + letter(n / 2) * 113 + letter(n - 1) * 59) % kSlots;
}

constexpr std::array<std::uint8_t, kSlots> kHeaderSlots = [] {
    std::array<std::uint8_t, kSlots> slots{};
    for (std::size_t i = 1; i < kHeaderNames.size(); ++i) {
        std::size_t slot = slot_of(kHeaderNames[i]);
        while (slots[slot] != 0) slot = (slot + 1) % kSlots;
        slots[slot] = static_cast<std::uint8_t>(i);
    }
    return slots;
}();

struct RejectRow {
    std::string_view slug;
    int status;
};

constexpr std::array<RejectRow, 33> kRejects = {{
    {"none", 0},
    {"bare_cr", 400},
    {"bare_lf", 400},
    {"control_byte", 400},
    {"obs_fold", 400},
    {"bad_request_line", 400},
    {"bad_method", 400},
    {"bad_target", 400},
    {"target_too_long", 414},
    {"bad_version", 400},
    {"unsupported_version", 505},
    {"bad_status_line", 400},
    {"head_too_large", 431},
    {"too_many_fields", 431},
    {"no_colon", 400},
    {"bad_field_name", 400},
    {"space_before_colon", 400},
    {"no_host", 400},
    {"two_hosts", 400},
    {"bad_host", 400},
    {"host_mismatch", 400},
    {"bad_content_length", 400},
    {"two_lengths", 400},
    {"te_and_length", 400},
    {"te_in_http10", 400},
    {"unknown_transfer_coding", 501},
    {"unknown_expectation", 417},
    {"bad_chunk_size", 400},
    {"chunk_extension", 400},
    {"bad_chunk_end", 400},
    {"trailer_too_large", 431},
    {"forbidden_trailer", 400},
    {"truncated_body", 400},
}};
static_assert(static_cast<std::size_t>(Reject::truncated_body) + 1 == kRejects.size());

}  // namespace

Method method_of(std::string_view text) noexcept {
    switch (text.size()) {
        case 3:
            if (text == "GET") return Method::get;
            if (text == "PUT") return Method::put;
            break;
        case 4:
            if (text == "POST") return Method::post;
            if (text == "HEAD") return Method::head;
            break;
        case 5:
            if (text == "PATCH") return Method::patch;
            if (text == "TRACE") return Method::trace;
            break;
        case 6:
            if (text == "DELETE") return Method::delete_;
            break;
        case 7:
            if (text == "OPTIONS") return Method::options;
            if (text == "CONNECT") return Method::connect;
            break;
        default:
            break;
    }
    return Method::other;
}

bool is_safe(Method method) noexcept {
    return method == Method::get || method == Method::head || method == Method::options ||
           method == Method::trace;
}

bool is_idempotent(Method method) noexcept {
    return is_safe(method) || method == Method::put || method == Method::delete_;
}

Header header_of(std::string_view name) noexcept {
    if (name.empty()) return Header::unknown;
    for (std::size_t slot = slot_of(name); kHeaderSlots[slot] != 0; slot = (slot + 1) % kSlots) {
        const std::string_view known = kHeaderNames[kHeaderSlots[slot]];
        if (known.size() == name.size() && equals_lowercase_token(name.data(), known))
            return static_cast<Header>(kHeaderSlots[slot]);
    }
    return Header::unknown;
}

std::string_view to_string(Header header) noexcept {
    return kHeaderNames[static_cast<std::size_t>(header)];
}

const Field* Head::find(Header id) const noexcept {
    for (const Field& field : fields) {
        if (field.id == id) return &field;
    }
    return nullptr;
}

const Field* Head::find(std::string_view name) const noexcept {
    for (const Field& field : fields) {
        if (core::equals_ignoring_case(field.name, name)) return &field;
    }
    return nullptr;
}

std::string_view Head::value(Header id) const noexcept {
    const Field* const field = find(id);
    return field == nullptr ? std::string_view() : field->value;
}

std::string_view to_string(Reject why) noexcept {
    return kRejects[static_cast<std::size_t>(why)].slug;
}

int http_status(Reject why) noexcept {
    return kRejects[static_cast<std::size_t>(why)].status;
}

}  // namespace datapunk::mesh::wire::http1
