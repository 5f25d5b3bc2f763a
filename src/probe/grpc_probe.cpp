// gRPC: grpc.health.v1.Health/Check, one unary call over a connection of its own; h2c, or TLS with
// ALPN h2.

#include <fmt/format.h>

#include "probe/connection.h"
#include "wire/grpc/health.h"
#include "wire/http2/client_exchange.h"
#include "wire/url.h"

namespace datapunk::mesh::probe {

namespace {

using wire::grpc::ServingStatus;
using wire::http2::ClientExchange;
using wire::http2::ExchangeAnswer;
using wire::http2::find_field;
using wire::http2::H2Field;

std::vector<H2Field> request_fields(const ProbeDefinition& definition, Duration timeout) {
    const std::string authority =
        wire::HostPort{.host = definition.host, .port = definition.port}.text();
    std::vector<H2Field> fields = {
        {":method", "POST"},
        {":scheme", definition.tls.enabled ? "https" : "http"},
        {":authority", authority},
        {":path", std::string(wire::grpc::kHealthPath)},
        {"te", "trailers"},
        {"grpc-timeout", wire::grpc::timeout_text(timeout)},
        {"content-type", "application/grpc"},
        {"user-agent", "dpmesh-health-check"}
    };
    if (!definition.bearer_token.empty()) {
        fields.push_back({"authorization", "Bearer " + definition.bearer_token});
    }
    return fields;
}

io::Task<Result<>> exchange_bytes(io::Stream& stream, ClientExchange& exchange, Instant deadline) {
    std::string buffer(16UL * 1024, '\0');
    for (;;) {
        const std::string output = exchange.take_output();
        if (!output.empty()) {
            auto written = co_await stream.write(io::Slices(output), deadline);
            if (!written) co_return std::move(written).error();
        }
        if (exchange.is_done()) co_return Ok{};
        auto got = co_await stream.read(buffer, deadline);
        if (!got) co_return std::move(got).error();
        if (*got == 0) {
            co_return Error{.code = Code::unavailable, .what = "closed without an answer"};
        }
        auto fed = exchange.feed(std::string_view(buffer).substr(0, *got));
        if (!fed && !exchange.is_done()) co_return std::move(fed).error();
    }
}

Result<ServingStatus> read_answer(const ExchangeAnswer& answer) {
    const auto bad = [](std::string what) {
        return Error{.code = Code::invalid, .what = std::move(what), .source = Source::upstream};
    };
    const std::string_view status = find_field(answer.headers, ":status");
    if (status != "200") return bad(fmt::format("the answer is HTTP {}, not gRPC", status));
    if (!find_field(answer.headers, "content-type").starts_with("application/grpc")) {
        return bad("the answer is not gRPC");
    }
    // An answer without a message has one block of fields, which are the trailers.
    const bool is_alone = answer.trailers.empty();
    const std::vector<H2Field>& last = is_alone ? answer.headers : answer.trailers;
    const std::string_view code = find_field(last, "grpc-status");
    if (code.empty()) return bad("the answer has no grpc-status");
    if (code != "0") {
        const std::string_view said = find_field(last, "grpc-message");
        return bad(fmt::format(
            "{}: {}",
            wire::grpc::status_name(code),
            wire::percent_decode(said).value_or(std::string(said))
        ));
    }
    return wire::grpc::parse_health_response(answer.body);
}

io::Task<Result<ServingStatus>> ask(
    ProbeTools tools, ProbeDefinition definition, Instant deadline
) {
    const std::string alpn = "h2";
    auto opened = co_await open_stream(
        tools, definition.host, definition.port, definition.tls, alpn, deadline
    );
    if (!opened) co_return std::move(opened).error();
    const io::StreamPtr stream = *std::move(opened);
    ClientExchange exchange;
    const Duration left = deadline - tools.network.loop().now();
    auto started = exchange.start(
        request_fields(definition, left), wire::grpc::health_request(definition.grpc_service)
    );
    if (!started) co_return std::move(started).error();
    auto exchanged = co_await exchange_bytes(*stream, exchange, deadline);
    if (!exchanged) co_return std::move(exchanged).error();
    co_return read_answer(exchange.answer());
}

}  // namespace

io::Task<ProbeResult> probe_grpc(ProbeTools tools, ProbeDefinition definition, Instant deadline) {
    auto status = co_await ask(tools, definition, deadline);
    const std::string what = definition.grpc_service.empty()
                                 ? definition.display
                                 : definition.display + "/" + definition.grpc_service;
    if (!status) {
        co_return verdict(Health::critical, fmt::format("gRPC {}: {}", what, status.error().what));
    }
    co_return verdict(
        *status == ServingStatus::serving ? Health::passing : Health::critical,
        fmt::format("gRPC {}: {}", what, to_string(*status))
    );
}

}  // namespace datapunk::mesh::probe
