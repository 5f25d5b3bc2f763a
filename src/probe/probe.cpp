#include "probe/probe.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "core/assert.h"
#include "core/health_check.h"
#include "probe/connection.h"
#include "wire/url.h"

namespace datapunk::mesh::probe {

namespace {

constexpr std::string_view kHidden = "<redacted>";

// What a service says may repeat what it was told.
void hide(std::string& output, const std::string& secret) {
    if (secret.empty()) return;
    for (std::size_t at = output.find(secret); at != std::string::npos;
         at = output.find(secret, at + kHidden.size())) {
        output.replace(at, secret.size(), kHidden);
    }
    // Cut in the middle of it?
    for (std::size_t part = std::min(secret.size() - 1, output.size()); part >= 4; --part) {
        if (!output.ends_with(std::string_view(secret).substr(0, part))) continue;
        output.replace(output.size() - part, part, kHidden);
        return;
    }
}

// The embedder's exceptions end here.
ProbeResult call(const CheckFunction& function) {
    try {
        return function();
    } catch (const std::exception& error) {
        return {Health::critical, error.what()};
    } catch (...) {
        return {Health::critical, "the check threw something that is no std::exception"};
    }
}

io::Task<ProbeResult> probe_custom(ProbeDefinition definition) {
    ProbeResult result = call(*definition.custom);
    co_return verdict(result.status, std::move(result.output));
}

io::Task<ProbeResult> run(ProbeTools tools, ProbeDefinition definition, Instant deadline) {
    using Kind = ProbeDefinition::Kind;
    switch (definition.kind) {
        case Kind::http:
            return probe_http(tools, std::move(definition), deadline);
        case Kind::tcp:
            return probe_tcp(tools, std::move(definition), deadline);
        case Kind::udp:
            return probe_udp(tools, std::move(definition), deadline);
        case Kind::grpc:
            return probe_grpc(tools, std::move(definition), deadline);
        case Kind::exec:
            return probe_exec(tools, std::move(definition), deadline);
        case Kind::custom:
            break;
    }
    return probe_custom(std::move(definition));
}

}  // namespace

ProbeResult verdict(Health status, std::string output) {
    if (output.size() > kOutputBytesMax) output.resize(kOutputBytesMax);
    return {status, std::move(output)};
}

io::Task<Result<io::StreamPtr>> open_stream(
    ProbeTools tools,
    std::string host,
    std::uint16_t port,
    CheckTls tls,
    std::string alpn,
    Instant deadline
) {
    auto connected = co_await io::connect_to(tools.network, host, port, deadline);
    if (!connected || !tls.enabled) co_return std::move(connected);
    auto context = tools.tls.get(tls, alpn, tools.network.loop().now());
    if (!context) co_return std::move(context).error();
    const std::string& name = tls.server_name.empty() ? host : tls.server_name;
    auto secure = io::TlsStream::client(*std::move(connected), *context, name);
    auto agreed = co_await secure->handshake(deadline);
    if (!agreed) co_return std::move(agreed).error();
    if (alpn == "h2" && secure->alpn() != alpn) {
        co_return Error{.code = Code::invalid, .what = "the server does not speak HTTP/2"};
    }
    co_return io::StreamPtr(std::move(secure));
}

io::Task<ProbeResult> probe(ProbeTools tools, ProbeDefinition definition, Instant deadline) {
    const std::string secret = definition.bearer_token;
    auto result = co_await run(tools, std::move(definition), deadline);
    hide(result.output, secret);
    co_return verdict(result.status, std::move(result.output));
}

ProbeDefinition definition_of(const ServiceConfig& config) {
    const HealthCheck& check = config.check;
    ProbeDefinition out;
    out.host = config.host;
    out.port = config.port;
    if (const auto at = wire::parse_host_port(check.target); at && at->port) {
        out.host = at->host;
        out.port = *at->port;
    } else if (!check.target.empty()) {
        out.host.clear();  // never answers, and the output shows what was asked for
        out.port = 0;
    }
    const ServiceEndpoint self{.host = config.host, .port = config.port};
    const std::string place = check.target.empty() ? self.address() : check.target;
    out.display = place;
    out.tls = check.tls;
    out.bearer_token = check.bearer_token;
    switch (check.kind) {
        case HealthCheck::Kind::tcp:
        case HealthCheck::Kind::udp:
            out.kind = check.kind == HealthCheck::Kind::tcp ? ProbeDefinition::Kind::tcp
                                                            : ProbeDefinition::Kind::udp;
            out.send = check.send;
            out.expect = check.expect;
            break;
        case HealthCheck::Kind::grpc:
            out.kind = ProbeDefinition::Kind::grpc;
            out.grpc_service = check.grpc_service;
            break;
        case HealthCheck::Kind::exec:
            out.kind = ProbeDefinition::Kind::exec;
            out.command = check.command;
            break;
        case HealthCheck::Kind::custom:
            out.kind = ProbeDefinition::Kind::custom;
            out.custom = check.custom;
            break;
        default:
            MESH_ASSERT(check.kind == HealthCheck::Kind::http);
            out.display =
                fmt::format("{}://{}{}", check.tls.enabled ? "https" : "http", place, check.path);
            out.method = check.method;
            out.target = check.path;
            out.body = check.body;
            out.redirects_max = check.follow_redirects ? check.redirects_max : 0;
            out.expected_body = check.expected_body;
            if (!check.host.empty()) out.headers.push_back({"Host", check.host});
            for (const auto& [name, value] : check.headers) out.headers.push_back({name, value});
            for (const std::string& range : check.expected_status) {
                if (const auto parsed = core::parse_status_range(range)) {
                    out.expected_status.push_back(*parsed);
                }
            }
    }
    out.interval = check.interval;
    out.timeout = check.timeout;
    out.grace = check.grace;
    out.jitter = check.jitter;
    out.successes_before_passing = check.successes_before_passing;
    out.failures_before_warning = check.failures_before_warning;
    out.failures_before_critical = check.failures_before_critical;
    return out;
}

}  // namespace datapunk::mesh::probe
