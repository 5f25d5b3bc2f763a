#pragma once

// Heads as they leave the proxy: what is dropped (hop-by-hop fields, RFC 9110 7.6.1), what is added
// (X-Forwarded-*, Via, traceparent) and how the body is framed. Pure text; appended to a buffer
// that the caller reuses, so nothing is allocated in steady state.

#include <cstdint>
#include <string>
#include <string_view>

#include "wire/http1/message.h"

namespace datapunk::mesh::proxy {

struct UpstreamHead {
    std::string_view peer_ip;        // appended to X-Forwarded-For
    std::string_view fallback_host;  // Host for an HTTP/1.0 request that has none
    std::string_view traceparent;    // ours for this hop
    bool starts_trace = false;  // the caller's traceparent was absent or bad: its tracestate goes
    std::string_view path;      // rewritten target
};

void append_upstream_head(
    std::string& out, const wire::http1::RequestHead& request, const UpstreamHead& how
);

// How the response body is framed towards the caller.
enum class DownstreamFraming : std::uint8_t { none, length, chunked, until_close };

DownstreamFraming downstream_framing(
    const wire::http1::ResponseHead& response, const wire::http1::RequestHead& request
) noexcept;

void append_downstream_head(
    std::string& out,
    const wire::http1::ResponseHead& response,
    DownstreamFraming framing,
    bool keep_alive,
    const wire::http1::RequestHead& request
);

}  // namespace datapunk::mesh::proxy
