#include "probe/probe.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "core/strings.h"
#include "http/message_reader.h"
#include "wire/http1/chars.h"
#include "wire/http1/encode.h"
#include "wire/url.h"

namespace datapunk::mesh::probe {

namespace {

using wire::http1::Method;
using wire::http1::ResponseHead;

constexpr std::size_t kHeadBytesMax = 16 * 1024;  // no health page has a larger one

ProbeResult verdict(Health status, std::string output) {
    if (output.size() > kOutputBytesMax) output.resize(kOutputBytesMax);
    return {status, std::move(output)};
}

Health status_of(int http_status) {
    if (http_status >= 200 && http_status <= 299) return Health::passing;
    return http_status == 429 ? Health::warning : Health::critical;
}

bool is_one_of(std::string_view name, std::initializer_list<std::string_view> names) {
    return std::any_of(names.begin(), names.end(), [name](std::string_view other) {
        return core::equals_ignoring_case(name, other);
    });
}

std::string host_field(const ProbeDefinition& definition) {
    const std::string_view wanted = http::find_header(definition.headers, "Host");
    if (!wanted.empty()) return std::string(wanted);
    wire::HostPort at{.host = definition.host, .port = definition.port};
    if (definition.port == (definition.is_tls ? 443 : 80)) at.port.reset();
    return at.text();
}

// The request up to its body. What is in a definition comes from whoever registered it: nothing of
// it may break the framing.
Result<std::string> request_head(const ProbeDefinition& definition) {
    const Error unfit{
        .code = Code::invalid, .what = "method, path or headers are not fit for HTTP"
    };
    if (!wire::http1::is_field_name(definition.method) || definition.target.empty() ||
        !wire::http1::all_in(definition.target, wire::http1::kTarget)) {
        return unfit;
    }
    std::string head;
    wire::http1::append_request_line(head, definition.method, definition.target);
    bool is_fit = wire::http1::try_append_field(head, "Host", host_field(definition));
    for (const http::HeaderLine& line : definition.headers) {
        if (is_one_of(line.name, {"Host", "Connection", "Content-Length", "Transfer-Encoding"})) {
            continue;
        }
        is_fit = is_fit && wire::http1::try_append_field(head, line.name, line.value);
    }
    if (!is_fit) return unfit;
    if (http::find_header(definition.headers, "User-Agent").empty()) {
        wire::http1::append_field(head, "User-Agent", "Consul Health Check");
    }
    if (http::find_header(definition.headers, "Accept").empty()) {
        wire::http1::append_field(head, "Accept", "text/plain, text/*, */*");
    }
    wire::http1::append_field(head, "Connection", "close");
    const Method method = wire::http1::method_of(definition.method);
    if (!definition.body.empty() || method == Method::post || method == Method::put) {
        wire::http1::append_field(head, "Content-Length", definition.body.size());
    }
    head += wire::http1::kHeadEnd;
    return head;
}

struct HttpAnswer {
    int status = 0;
    std::string reason;
    std::string body;  // its beginning
};

io::Task<Result<HttpAnswer>> read_answer(io::Stream& stream, Method method, Instant deadline) {
    http::MessageReader reader(stream, {.head_bytes_max = kHeadBytesMax});
    ResponseHead head;
    do {
        const http::HeadRead read = co_await reader.read_response(head, method, deadline);
        if (read == http::HeadRead::failed) co_return reader.error();
        if (read == http::HeadRead::closed) {
            co_return Error{.code = Code::unavailable, .what = "closed without an answer"};
        }
        if (read == http::HeadRead::rejected) {
            co_return Error{
                .code = Code::invalid,
                .what = fmt::format("the answer is not HTTP/1.1 ({})", to_string(reader.why()))
            };
        }
    } while (head.is_interim());
    HttpAnswer answer{.status = head.status, .reason = std::string(head.reason), .body = {}};
    if (answer.reason.empty()) answer.reason = wire::http1::reason_phrase(answer.status);
    while (!reader.body_done() && answer.body.size() < kOutputBytesMax) {
        auto piece = co_await reader.next_piece(deadline);
        if (!piece) break;  // the status has been said, and only that counts
        answer.body += piece->bytes;
    }
    co_return std::move(answer);
}

io::Task<Result<io::StreamPtr>> open_stream(
    io::Network& network, TlsContexts& tls, const ProbeDefinition& definition, Instant deadline
) {
    auto connected = co_await io::connect_to(network, definition.host, definition.port, deadline);
    if (!connected || !definition.is_tls) co_return std::move(connected);
    auto context = tls.get(!definition.tls_skip_verify);
    if (!context) co_return std::move(context).error();
    const std::string& name =
        definition.tls_server_name.empty() ? definition.host : definition.tls_server_name;
    auto secure = io::TlsStream::client(*std::move(connected), *context, name);
    auto agreed = co_await secure->handshake(deadline);
    if (!agreed) co_return std::move(agreed).error();
    co_return io::StreamPtr(std::move(secure));
}

io::Task<Result<HttpAnswer>> ask(
    io::Network& network, TlsContexts& tls, const ProbeDefinition& definition, Instant deadline
) {
    auto head = request_head(definition);
    if (!head) co_return std::move(head).error();
    auto opened = co_await open_stream(network, tls, definition, deadline);
    if (!opened) co_return std::move(opened).error();
    const io::StreamPtr stream = *std::move(opened);
    io::Slices slices(*head);
    slices.add(definition.body);
    auto written = co_await stream->write(slices, deadline);
    if (!written) co_return std::move(written).error();
    const Method method = wire::http1::method_of(definition.method);
    auto answer = co_await read_answer(*stream, method, deadline);
    co_return std::move(answer);
}

io::Task<ProbeResult> probe_http(
    io::Network& network, TlsContexts& tls, ProbeDefinition definition, Instant deadline
) {
    auto answer = co_await ask(network, tls, definition, deadline);
    if (!answer) {
        co_return verdict(
            Health::critical,
            fmt::format("{} \"{}\": {}", definition.method, definition.display, answer.error().what)
        );
    }
    co_return verdict(
        status_of(answer->status),
        fmt::format(
            "HTTP {} {}: {} {} Output: {}",
            definition.method,
            definition.display,
            answer->status,
            answer->reason,
            answer->body
        )
    );
}

io::Task<ProbeResult> probe_tcp(
    io::Network& network, ProbeDefinition definition, Instant deadline
) {
    auto stream = co_await io::connect_to(network, definition.host, definition.port, deadline);
    if (!stream) {
        co_return verdict(
            Health::critical,
            fmt::format("dial tcp {}: {}", definition.display, stream.error().what)
        );
    }
    co_return verdict(Health::passing, fmt::format("TCP connect {}: Success", definition.display));
}

}  // namespace

io::Task<ProbeResult> probe(
    io::Network& network, TlsContexts& tls, ProbeDefinition definition, Instant deadline
) {
    if (definition.kind == ProbeDefinition::Kind::tcp) {
        return probe_tcp(network, std::move(definition), deadline);
    }
    return probe_http(network, tls, std::move(definition), deadline);
}

}  // namespace datapunk::mesh::probe
