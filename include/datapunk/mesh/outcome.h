#pragma once

// Outcome: how one attempt at one endpoint ended. What breakers, outlier ejection, retries and
// metrics learn from.

#include <datapunk/mesh/export.h>

#include <cstdint>
#include <string_view>

namespace datapunk::mesh {

enum class Outcome : std::uint8_t {
    success,          // any answer that does not blame the endpoint, HTTP 4xx too
    server_error,     // an answer that does: HTTP 5xx, or a gRPC status that means the same
    connect_failure,  // never reached the endpoint: nothing was sent
    refused_stream,   // the endpoint said it did not start: REFUSED_STREAM, GOAWAY
    timeout,          // no answer within the attempt's own time
    reset,            // the connection was lost before the answer was complete
    cancelled,        // the caller gave up: no verdict on the endpoint
};

DATAPUNK_MESH_API std::string_view to_string(Outcome outcome) noexcept;

}  // namespace datapunk::mesh
