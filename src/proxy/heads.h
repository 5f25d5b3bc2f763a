#pragma once

// Heads as they leave the proxy: what is dropped (hop-by-hop fields, RFC 9110 7.6.1), what is added
// (X-Forwarded-*, Via, traceparent) and how the body is framed; as text of HTTP/1.1 (append_*) or
// as a list of fields of HTTP/2 (fill_*). They go into buffers that the caller reuses, so nothing
// is allocated in steady state.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "proxy/deadline_header.h"
#include "wire/http1/message.h"
#include "wire/http2/head_block.h"

namespace datapunk::mesh::proxy {

struct UpstreamHead {
    std::string_view peer_ip;             // appended to X-Forwarded-For
    std::string_view scheme = "http";     // X-Forwarded-Proto, if the caller says none
    std::string_view fallback_host;       // Host for an HTTP/1.0 request that has none
    std::string_view client_certificate;  // ours for x-forwarded-client-cert; the caller's goes
    std::string_view traceparent;         // ours for this hop
    bool starts_trace = false;  // the caller's traceparent was absent or bad: its tracestate goes
    std::string_view path;      // rewritten target
    std::string_view upgrade;   // to go on in; empty = the request stays what it is
    std::string_view websocket_key;  // ours, for a caller whose protocol has none (RFC 8441 5)
    std::string_view left_out;       // a field that is not passed on
    bool is_secure = false;          // TLS is spoken to the endpoint
    TimeLeft time_left;              // of the attempt
    std::string& scratch;            // room for a field that is put together
};

inline constexpr std::string_view kClientCertificate = "x-forwarded-client-cert";

// Whether a field says who the caller is: only this hop may, since only it has asked.
bool is_identity_field(std::string_view name) noexcept;

void append_upstream_head(
    std::string& out, const wire::http1::RequestHead& request, const UpstreamHead& how
);
void fill_upstream_head(
    wire::http2::FieldList& out, const wire::http1::RequestHead& request, const UpstreamHead& how
);

// How the response body is framed towards the caller.
enum class DownstreamFraming : std::uint8_t { none, length, chunked, until_close };

DownstreamFraming downstream_framing(
    const wire::http1::ResponseHead& response, const wire::http1::RequestHead& request
) noexcept;

struct DownstreamHead {
    DownstreamFraming framing = DownstreamFraming::none;
    bool keep_alive = true;
    bool caller_is_http10 = false;
    std::string_view date;     // for an answer that has none (RFC 9110 6.6.1); empty = leave it so
    std::string_view upgrade;  // of 101: what is spoken from here on
    std::string_view websocket_accept;  // ours, if the endpoint's protocol has none
};

// The end of a chunked body: the last chunk and the trailers.
void append_trailers(std::string& out, std::span<const wire::http1::Field> trailers);

// `x-mesh-*` fields are dropped: only this hop says why it answers.
void append_downstream_head(
    std::string& out, const wire::http1::ResponseHead& response, const DownstreamHead& how
);

// `framing`, `keep_alive` and `caller_is_http10` are of no use there.
void fill_downstream_head(
    wire::http2::FieldList& out, const wire::http1::ResponseHead& response, std::string_view date
);
// 200, for a 101 that an endpoint gave (RFC 8441).
void fill_switched_head(wire::http2::FieldList& out, const wire::http1::ResponseHead& response);
void fill_trailers(wire::http2::FieldList& out, std::span<const wire::http1::Field> trailers);

}  // namespace datapunk::mesh::proxy
