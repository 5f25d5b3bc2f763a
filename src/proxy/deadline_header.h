#pragma once

// How a call's deadline travels through the proxy: as the time left, from the caller's head into
// ours. The shortest of what the caller says and what route or policy allow counts; the endpoint
// is told what is left of the attempt when the request leaves. Two headers say it:
//
//   the policy's deadline_header    any call: whole milliseconds (x-mesh-deadline-ms; Envoy's
//                                   x-envoy-expected-rq-timeout-ms has the same form)
//   grpc-timeout                    calls of gRPC only: 1 to 8 digits and a unit
//
// Pure.

#include <datapunk/mesh/result.h>
#include <datapunk/mesh/time.h>

#include <optional>
#include <string>
#include <string_view>

#include "resilience/deadline.h"
#include "wire/http1/message.h"

namespace datapunk::mesh::proxy {

// How long the caller waits; nothing = it does not say. `header` empty: only grpc-timeout is read.
Result<std::optional<Duration>> callers_patience(
    const wire::http1::RequestHead& request, std::string_view header
);

inline constexpr std::string_view kGrpcTimeout = "grpc-timeout";

// What the endpoint is told.
struct TimeLeft {
    std::string_view header;  // empty: a caller's passes as it is
    Duration left = Duration::max();
    bool is_grpc = false;

    // The caller's field of that name gives way to ours.
    bool replaces(std::string_view name) const noexcept;
};

// As fields: add(name, value).
template <class Add>
void write_time_left(const TimeLeft& told, const Add& add) {
    if (told.left == Duration::max()) return;
    if (!told.header.empty()) add(told.header, resilience::format_deadline_ms(told.left));
    if (told.is_grpc) add(kGrpcTimeout, resilience::format_grpc_timeout(told.left));
}

}  // namespace datapunk::mesh::proxy
