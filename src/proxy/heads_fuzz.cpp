// Whatever request head is accepted leaves as a head that is read in the same way: one request,
// the same method, target, authority and body, and nothing that ends at this hop. Answers likewise.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/strings.h"
#include "proxy/heads.h"
#include "wire/http1/head_parser.h"
#include "wire/http1/hop_by_hop.h"

namespace {

using namespace datapunk::mesh;
using namespace wire::http1;
using State = ParseResult::State;

void require(bool holds) {
    if (!holds) std::abort();
}

// What the proxy adds may go over the limits of what it has read.
constexpr Limits kNoLimits{.head_bytes_max = 1UL << 20, .fields_max = 1'000};

void check_fields(const Head& head, bool is_request) {
    for (const Field& field : head.fields) {
        const bool is_te = is_request && field.id == Header::te;
        const bool names_te = is_request && field.id == Header::connection && field.value == "te";
        const bool is_framing = field.id == Header::transfer_encoding;
        const bool is_close = !is_request && field.id == Header::connection;
        require(!is_hop_by_hop(field.id) || is_te || names_te || is_framing || is_close);
        if (is_te) require(field.value == "trailers");
        if (!is_request) continue;
        require(!core::equals_ignoring_case(field.name, "proxy"));
        require(field.id != Header::expect);
    }
}

void check_request(std::string_view bytes, RequestHead& request) {
    HeadParser parser;
    if (parser.parse_request(bytes, request).state != State::done) return;
    if (request.method == Method::connect) return;  // never sent on
    std::string out;
    std::string scratch;
    proxy::append_upstream_head(
        out,
        request,
        {.peer_ip = "10.0.0.1",
         .fallback_host = "10.0.0.2:80",
         .traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
         .starts_trace = request.fields.size() % 2 == 0,
         .path = request.path,
         .scratch = scratch}
    );
    HeadParser again(kNoLimits);
    RequestHead sent;
    const ParseResult result = again.parse_request(out, sent);
    require(result.state == State::done && result.head_bytes == out.size());
    require(sent.method_text == request.method_text && sent.path == request.path);
    require(sent.host == (request.host.empty() ? "10.0.0.2:80" : request.host));
    require(sent.framing == request.framing && sent.content_length == request.content_length);
    require(sent.has_content_length == request.has_content_length);
    require(sent.keep_alive && !sent.has_upgrade && !sent.expects_continue);
    check_fields(sent, true);
}

void check_response(std::string_view bytes, const RequestHead& request) {
    HeadParser parser;
    ResponseHead response;
    const Method method = request.method == Method::head ? Method::head : Method::get;
    if (parser.parse_response(bytes, method, response).state != State::done) return;
    RequestHead asked;
    asked.method = method;
    asked.minor_version = static_cast<std::uint8_t>(bytes.size() % 2);
    const auto framing = proxy::downstream_framing(response, asked);
    const bool keep_alive = framing != proxy::DownstreamFraming::until_close;
    std::string out;
    proxy::append_downstream_head(
        out,
        response,
        {.framing = framing,
         .keep_alive = keep_alive,
         .caller_is_http10 = asked.minor_version == 0,
         .date = response.has(Header::date) ? "" : "Sat, 21 Nov 2026 03:56:23 GMT"}
    );
    HeadParser again(kNoLimits);
    ResponseHead sent;
    const ParseResult result = again.parse_response(out, method, sent);
    require(result.state == State::done && result.head_bytes == out.size());
    require(sent.status == response.status);
    require(
        !keep_alive || response.framing == Framing::until_close || sent.keep_alive ||
        sent.framing == Framing::until_close
    );
    if (response.framing == Framing::length) {
        require(sent.framing == Framing::length && sent.content_length == response.content_length);
    } else if (response.framing != Framing::none) {
        require(
            sent.framing == (asked.minor_version == 0 ? Framing::until_close : Framing::chunked)
        );
    } else {
        require(sent.framing == Framing::none);
    }
    check_fields(sent, false);
    for (const Field& field : sent.fields)
        require(!core::equals_ignoring_case(field.name.substr(0, 7), "x-mesh-"));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    RequestHead request;
    check_request(bytes, request);
    check_response(bytes, request);
    return 0;
}
