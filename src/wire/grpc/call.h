#pragma once

// What a proxy reads of a gRPC call without knowing its messages: is it one, its deadline, how it
// ended; and how to say no in gRPC's own way. Pure functions.
//
// Source: grpc/doc/PROTOCOL-HTTP2.md, statuscodes.md, http-grpc-status-mapping.md.

#include <datapunk/mesh/time.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "wire/http1/message.h"

namespace datapunk::mesh::wire::grpc {

enum class GrpcStatus : std::uint8_t {
    ok,
    cancelled,
    unknown,
    invalid_argument,
    deadline_exceeded,
    not_found,
    already_exists,
    permission_denied,
    resource_exhausted,
    failed_precondition,
    aborted,
    out_of_range,
    unimplemented,
    internal,
    unavailable,
    data_loss,
    unauthenticated,
};

std::string_view to_string(GrpcStatus status) noexcept;  // "UNAVAILABLE"

// "application/grpc", "application/grpc+proto"; not "application/grpc-web".
bool is_content_type(std::string_view content_type) noexcept;

// "grpc-timeout": 1 to 8 digits and one of HMSmun. Nothing if it is malformed.
std::optional<Duration> parse_timeout(std::string_view text) noexcept;

// Of the trailers, or of a head that is also the end. A number that nobody knows is `unknown`;
// nothing if there is none.
std::optional<GrpcStatus> status_of(std::span<const http1::Field> fields) noexcept;

// Does it speak against the endpoint, as an answer of 5xx does? Not what the caller asked for
// wrongly, and not RESOURCE_EXHAUSTED: that is a quota, as 429 is.
bool is_failure(GrpcStatus status) noexcept;

// What a caller of gRPC is told instead of an HTTP status of ours.
GrpcStatus of_http(int http_status) noexcept;

// "grpc-message": percent-encoded.
void append_message(std::string& out, std::string_view text);

}  // namespace datapunk::mesh::wire::grpc
