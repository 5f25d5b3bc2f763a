#include "wire/grpc/call.h"

#include <fmt/format.h>

#include <array>
#include <iterator>

#include "core/strings.h"

namespace datapunk::mesh::wire::grpc {

std::string_view to_string(GrpcStatus status) noexcept {
    constexpr std::array<std::string_view, 17> kNames = {
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    };
    const auto at = static_cast<std::size_t>(status);
    return at < kNames.size() ? kNames[at] : "UNKNOWN";
}

bool is_content_type(std::string_view content_type) noexcept {
    constexpr std::string_view kType = "application/grpc";
    if (content_type.size() < kType.size()) return false;
    const bool is_ours = content_type.starts_with(kType) ||
                         core::equals_ignoring_case(content_type.substr(0, kType.size()), kType);
    if (!is_ours) return false;
    const std::string_view rest = content_type.substr(kType.size());
    return rest.empty() || rest.front() == '+' || rest.front() == ';';
}

std::optional<GrpcStatus> status_of(std::span<const http1::Field> fields) noexcept {
    for (const http1::Field& field : fields) {
        if (field.id != http1::Header::grpc_status) continue;
        const auto code = core::parse_number<std::uint32_t>(field.value);
        return code && *code <= 16 ? static_cast<GrpcStatus>(*code) : GrpcStatus::unknown;
    }
    return std::nullopt;
}

bool is_failure(GrpcStatus status) noexcept {
    switch (status) {
        case GrpcStatus::unknown:
        case GrpcStatus::deadline_exceeded:
        case GrpcStatus::internal:
        case GrpcStatus::unavailable:
        case GrpcStatus::data_loss:
            return true;
        default:
            return false;
    }
}

GrpcStatus of_http(int http_status) noexcept {
    switch (http_status) {
        case 400:
            return GrpcStatus::internal;
        case 401:
            return GrpcStatus::unauthenticated;
        case 403:
            return GrpcStatus::permission_denied;
        case 404:
        case 405:
        case 501:
            return GrpcStatus::unimplemented;
        case 408:
        case 504:
            return GrpcStatus::deadline_exceeded;
        case 413:
        case 431:
            return GrpcStatus::resource_exhausted;
        case 429:
        case 502:
        case 503:
            return GrpcStatus::unavailable;
        default:
            return GrpcStatus::unknown;
    }
}

void append_message(std::string& out, std::string_view text) {
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte >= 0x20 && byte <= 0x7e && c != '%') {
            out += c;
        } else {
            fmt::format_to(std::back_inserter(out), "%{:02X}", byte);
        }
    }
}

}  // namespace datapunk::mesh::wire::grpc
