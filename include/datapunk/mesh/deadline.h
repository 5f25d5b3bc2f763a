#pragma once

// How a deadline travels from service to service: as the time left, in whole milliseconds, in a
// header such as x-mesh-deadline-ms (ServicePolicy::deadline_header; the proxy reads and writes
// it), or in gRPC's grpc-timeout. A server that calls others passes its own deadline on:
//
//     auto left = deadline_from_header(request.header("x-mesh-deadline-ms"));   // 250 ms
//     if (!left) return bad_request(left.error().what);
//     CallOptions options{.latest = std::chrono::steady_clock::now() + *left};
//     mesh.call<Answer>("next", options, [](const ServiceEndpoint& e, Attempt& a) {
//         return fetch(e.address(), {{"x-mesh-deadline-ms", deadline_to_header(a.remaining())}});
//     });
//
// Pure functions.

#include <datapunk/mesh/export.h>
#include <datapunk/mesh/result.h>
#include <datapunk/mesh/time.h>

#include <string>
#include <string_view>

namespace datapunk::mesh {

// "250": whole milliseconds, at most 18 digits; beyond 24 days it is read as that.
[[nodiscard]] DATAPUNK_MESH_API Result<Duration> deadline_from_header(std::string_view text);
// Rounded down; "0" is over.
DATAPUNK_MESH_API std::string deadline_to_header(Duration left);

// "250m": 1 to 8 digits and one of H M S m u n.
[[nodiscard]] DATAPUNK_MESH_API Result<Duration> deadline_from_grpc_timeout(std::string_view text);
DATAPUNK_MESH_API std::string deadline_to_grpc_timeout(Duration left);

}  // namespace datapunk::mesh
