#pragma once

// The health protocol of gRPC (grpc.health.v1.Health/Check) as bytes: the question, and what the
// answer means. Pure. Two messages of one field each do not need a protobuf library.
// Source: grpc/doc/health-checking.md, grpc/doc/PROTOCOL-HTTP2.md, protobuf's encoding.

#include <datapunk/mesh/result.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace datapunk::mesh::wire::grpc {

inline constexpr std::string_view kHealthPath = "/grpc.health.v1.Health/Check";

enum class ServingStatus : std::uint8_t { unknown, serving, not_serving, service_unknown };

std::string_view to_string(ServingStatus status) noexcept;  // "SERVING", as gRPC spells it

// A framed HealthCheckRequest; an empty service asks about the server as a whole.
std::string health_request(std::string_view service);

// The body of an answer: one framed, uncompressed HealthCheckResponse. Unknown fields are skipped.
Result<ServingStatus> parse_health_response(std::string_view body);

// "grpc-timeout": at most 8 digits and a unit.
std::string timeout_text(std::chrono::nanoseconds timeout);

// Status codes by their names: "NOT_FOUND" for "5"; the text itself if it is none of them.
std::string_view status_name(std::string_view code) noexcept;

}  // namespace datapunk::mesh::wire::grpc
