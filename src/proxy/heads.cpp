#include "proxy/heads.h"

#include <charconv>

#include "core/strings.h"
#include "wire/http1/encode.h"
#include "wire/http1/hop_by_hop.h"

namespace datapunk::mesh::proxy {

using wire::http1::append_field;
using wire::http1::Field;
using wire::http1::Framing;
using wire::http1::Header;
using wire::http1::RequestHead;
using wire::http1::ResponseHead;

namespace {

constexpr std::string_view kVia = "1.1 dpmesh";

void append_length(std::string& out, std::uint64_t length) {
    char digits[20];
    const auto [end, problem] = std::to_chars(digits, digits + sizeof digits, length);
    append_field(out, "content-length", {digits, static_cast<std::size_t>(end - digits)});
}

}  // namespace

void append_upstream_head(std::string& out, const RequestHead& request, const UpstreamHead& how) {
    wire::http1::append_request_line(out, request.method_text, how.path);
    append_field(out, "host", request.host.empty() ? how.fallback_host : request.host);
    const bool has_connection = request.has(Header::connection);
    bool has_proto = false;
    std::string_view forwarded_for;
    for (const Field& field : request.fields) {
        switch (field.id) {
            case Header::host:
            case Header::content_length:
            case Header::expect:  // answered here: see Exchange::read_request_body
            case Header::traceparent:
                continue;
            case Header::x_forwarded_for:
                if (forwarded_for.empty()) {
                    forwarded_for = field.value;
                } else {  // several lines: keep all but the last joined one as they are
                    append_field(out, "x-forwarded-for", forwarded_for);
                    forwarded_for = field.value;
                }
                continue;
            case Header::x_forwarded_proto:
                has_proto = true;
                break;
            case Header::tracestate:
                if (how.starts_trace) continue;
                break;
            case Header::te:
                // The one transfer coding name that may pass: the caller accepts trailers.
                if (core::equals_ignoring_case(field.value, "trailers")) {
                    append_field(out, "te", "trailers");
                }
                continue;
            default:
                break;
        }
        if (is_hop_by_hop(field.id)) continue;
        if (has_connection && nominated_by_connection(request.fields, field.name)) continue;
        append_field(out, field.name, field.value);
    }
    if (request.framing == Framing::chunked) {
        append_field(out, "transfer-encoding", "chunked");
    } else if (request.has_content_length) {
        append_length(out, request.content_length);
    }
    if (forwarded_for.empty()) {
        append_field(out, "x-forwarded-for", how.peer_ip);
    } else {
        out += "x-forwarded-for: ";
        out += forwarded_for;
        out += ", ";
        out += how.peer_ip;
        out += "\r\n";
    }
    if (!has_proto) append_field(out, "x-forwarded-proto", "http");
    append_field(out, "via", kVia);
    if (!how.traceparent.empty()) append_field(out, "traceparent", how.traceparent);
    out += "\r\n";
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
    std::string& out,
    const ResponseHead& response,
    DownstreamFraming framing,
    bool keep_alive,
    const RequestHead& request
) {
    wire::http1::append_status_line(out, response.status, response.reason);
    const bool has_connection = response.has(Header::connection);
    for (const Field& field : response.fields) {
        if (field.id == Header::content_length || is_hop_by_hop(field.id)) continue;
        if (has_connection && nominated_by_connection(response.fields, field.name)) continue;
        append_field(out, field.name, field.value);
    }
    if (framing == DownstreamFraming::chunked) {
        append_field(out, "transfer-encoding", "chunked");
    } else if (response.has_content_length) {  // also of a HEAD or 304: it describes the resource
        append_length(out, response.content_length);
    }
    append_field(out, "via", kVia);
    if (!keep_alive) {
        append_field(out, "connection", "close");
    } else if (request.minor_version == 0) {
        append_field(out, "connection", "keep-alive");
    }
    out += "\r\n";
}

}  // namespace datapunk::mesh::proxy
