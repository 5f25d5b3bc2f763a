#include "proxy/heads.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/strings.h"
#include "proxy/websocket.h"
#include "wire/http1/encode.h"
#include "wire/http1/head_writer.h"
#include "wire/http1/hop_by_hop.h"

namespace datapunk::mesh::proxy {

using wire::http1::append_field;
using wire::http1::Field;
using wire::http1::Framing;
using wire::http1::Header;
using wire::http1::RequestHead;
using wire::http1::ResponseHead;

namespace {

// The version that the message came in (RFC 9110 7.6.3).
std::string_view via(const wire::http1::Head& received) noexcept {
    return received.major_version == 2 ? "2 dpmesh" : "1.1 dpmesh";
}

// Fields by which this hop speaks to its caller.
bool is_ours(std::string_view name) noexcept {
    constexpr std::string_view kPrefix = "x-mesh-";
    return core::equals_ignoring_case(name.substr(0, kPrefix.size()), kPrefix);
}

// The length of a HEAD's or 304's answer describes the resource; RFC 9110 8.6 forbids these.
bool may_have_length(int status) noexcept {
    return status >= 200 && status != 204;
}

// "Proxy" would become HTTP_PROXY in a CGI program (CVE-2016-5385).
bool is_proxy_field(std::string_view name) noexcept {
    return name.size() == 5 && core::equals_ignoring_case(name, "proxy");
}

struct TextSink {
    void add(std::string_view name, std::string_view value, bool /*indexed*/ = true) {
        out.add(name, value);
    }

    void add(std::string_view name, std::uint64_t value) { out.add(name, value); }

    wire::http1::HeadWriter out;
};

// Known ones either end here anyway or may not be nominated.
bool ends_here(const std::vector<Field>& fields, const Field& field) noexcept {
    return field.id == Header::unknown && nominated_by_connection(fields, field.name);
}

// All of a request's fields but those that the two protocols write differently.
template <class Sink>
void write_request_fields(Sink& out, const RequestHead& request, const UpstreamHead& how) {
    const bool has_connection = request.has(Header::connection);
    bool has_proto = false;
    std::string_view forwarded_for;
    for (const Field& field : request.fields) {
        switch (field.id) {
            case Header::host:
            case Header::content_length:
            case Header::expect:  // answered here: see Exchange::take_request_body
            case Header::traceparent:
                continue;
            case Header::x_forwarded_for:
                // Several lines: all but the last joined one stay as they are.
                if (!forwarded_for.empty()) out.add("x-forwarded-for", forwarded_for);
                forwarded_for = field.value;
                continue;
            case Header::x_forwarded_proto:
                has_proto = true;
                break;
            case Header::tracestate:
                if (how.starts_trace) continue;
                break;
            case Header::unknown:
                if (is_proxy_field(field.name) || is_identity_field(field.name)) continue;
                if (how.time_left.replaces(field.name)) continue;
                if (!how.left_out.empty() && core::equals_ignoring_case(field.name, how.left_out))
                    continue;
                break;
            default:
                break;
        }
        if (is_hop_by_hop(field.id)) continue;
        if (has_connection && ends_here(request.fields, field)) continue;
        out.add(field.name, field.value);
    }
    if (forwarded_for.empty()) {
        out.add("x-forwarded-for", how.peer_ip);
    } else {
        how.scratch.assign(forwarded_for);
        how.scratch += ", ";
        how.scratch += how.peer_ip;
        out.add("x-forwarded-for", how.scratch);
    }
    if (!has_proto) out.add("x-forwarded-proto", how.scheme);
    if (!how.client_certificate.empty()) out.add(kClientCertificate, how.client_certificate);
    out.add("via", via(request));
    if (!how.traceparent.empty()) out.add("traceparent", how.traceparent, false);
    write_time_left(how.time_left, [&out](std::string_view name, std::string_view value) {
        out.add(name, value, false);
    });
}

template <class Sink>
void write_answer_fields(Sink& out, const ResponseHead& response, std::string_view left_out = {}) {
    const bool has_connection = response.has(Header::connection);
    for (const Field& field : response.fields) {
        if (field.id == Header::content_length || is_hop_by_hop(field.id)) continue;
        if (field.id == Header::unknown && is_ours(field.name)) continue;
        if (!left_out.empty() && core::equals_ignoring_case(field.name, left_out)) continue;
        if (has_connection && ends_here(response.fields, field)) continue;
        out.add(field.name, field.value);
    }
    out.add("via", via(response));
}

}  // namespace

bool is_identity_field(std::string_view name) noexcept {
    // Also with underscores: CGI and its like make the same variable of both.
    return name.size() == kClientCertificate.size() &&
           std::equal(name.begin(), name.end(), kClientCertificate.begin(), [](char a, char b) {
               return a == b || (a == '_' && b == '-') || (a >= 'A' && a <= 'Z' && a + 32 == b);
           });
}

void append_upstream_head(std::string& out, const RequestHead& request, const UpstreamHead& how) {
    wire::http1::append_request_line(out, request.method_text, how.path);
    TextSink sink{wire::http1::HeadWriter(out)};
    sink.add("host", request.host.empty() ? how.fallback_host : request.host);
    // The one member of TE that may pass, and as RFC 9110 10.1.4 wants it.
    const bool takes_trailers = accepts_trailers(request.fields);
    if (takes_trailers) sink.add("te", "trailers");
    if (!how.upgrade.empty()) {
        sink.add("upgrade", how.upgrade);
        sink.add("connection", takes_trailers ? "te, upgrade" : "upgrade");
    } else if (takes_trailers) {
        sink.add("connection", "te");
    }
    if (!how.websocket_key.empty()) sink.add(kWebSocketKey, how.websocket_key);
    if (request.framing == Framing::chunked) {
        sink.add("transfer-encoding", "chunked");
    } else if (request.has_content_length) {
        sink.add("content-length", request.content_length);
    }
    write_request_fields(sink, request, how);
    sink.out.end();
}

void fill_upstream_head(
    wire::http2::FieldList& out, const RequestHead& request, const UpstreamHead& how
) {
    out.clear();
    out.add(":method", how.upgrade.empty() ? request.method_text : "CONNECT");
    if (!how.upgrade.empty()) out.add(":protocol", how.upgrade);
    out.add(":scheme", how.is_secure ? "https" : "http");
    out.add(":authority", request.host.empty() ? how.fallback_host : request.host);
    out.add(":path", how.path);
    if (accepts_trailers(request.fields)) out.add("te", "trailers");
    // What follows an upgrade is no body.
    const bool has_length = request.has_content_length && request.framing != Framing::chunked;
    if (has_length && how.upgrade.empty()) out.add("content-length", request.content_length);
    write_request_fields(out, request, how);
}

void append_trailers(std::string& out, std::span<const Field> trailers) {
    out += wire::http1::kTrailersBegin;
    for (const Field& field : trailers) {
        if (!is_identity_field(field.name)) append_field(out, field.name, field.value);
    }
    out += wire::http1::kHeadEnd;
}

DownstreamFraming downstream_framing(
    const ResponseHead& response, const RequestHead& request
) noexcept {
    switch (response.framing) {
        case Framing::none:
            return DownstreamFraming::none;
        case Framing::length:
            return DownstreamFraming::length;
        case Framing::chunked:
        case Framing::until_close:
            break;
    }
    return request.minor_version >= 1 ? DownstreamFraming::chunked : DownstreamFraming::until_close;
}

void append_downstream_head(
    std::string& out, const ResponseHead& response, const DownstreamHead& how
) {
    wire::http1::append_status_line(out, response.status, response.reason);
    TextSink sink{wire::http1::HeadWriter(out)};
    write_answer_fields(sink, response);
    if (how.framing == DownstreamFraming::chunked) {
        sink.add("transfer-encoding", "chunked");
    } else if (response.has_content_length && may_have_length(response.status)) {
        sink.add("content-length", response.content_length);
    }
    if (!how.date.empty()) sink.add("date", how.date);
    if (!how.upgrade.empty()) {
        sink.add("upgrade", how.upgrade);
        sink.add("connection", "upgrade");
        if (!how.websocket_accept.empty()) sink.add(kWebSocketAccept, how.websocket_accept);
    } else if (!how.keep_alive) {
        sink.add("connection", "close");
    } else if (how.caller_is_http10) {
        sink.add("connection", "keep-alive");
    }
    sink.out.end();
}

void fill_downstream_head(
    wire::http2::FieldList& out, const ResponseHead& response, std::string_view date
) {
    out.clear();
    const fmt::format_int status(static_cast<int>(response.status));
    out.add(":status", std::string_view(status.data(), status.size()));
    write_answer_fields(out, response);
    if (response.has_content_length && may_have_length(response.status))
        out.add("content-length", response.content_length);
    if (!date.empty()) out.add("date", date);
}

void fill_switched_head(wire::http2::FieldList& out, const ResponseHead& response) {
    out.clear();
    out.add(":status", "200");
    write_answer_fields(out, response, kWebSocketAccept);
}

void fill_trailers(wire::http2::FieldList& out, std::span<const Field> trailers) {
    out.clear();
    for (const Field& field : trailers) {
        if (!is_identity_field(field.name)) out.add(field.name, field.value);
    }
}

}  // namespace datapunk::mesh::proxy
