#include "probe/probe.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string_view>
#include <utility>

#include "http/client.h"
#include "io/tls.h"

namespace datapunk::mesh::probe {

namespace {

// A network whose connections are TLS, so that the HTTP client need not know.
class TlsNetwork final : public io::Network {
  public:
    TlsNetwork(
        io::Network& inner, std::shared_ptr<const io::TlsContext> context, std::string server_name
    )
        : inner_(inner), context_(std::move(context)), server_name_(std::move(server_name)) {}

    io::Task<Result<io::StreamPtr>> connect(io::SocketAddress to, Instant deadline) override {
        auto plain = co_await inner_.connect(to, deadline);
        if (!plain) co_return std::move(plain).error();
        auto stream = io::TlsStream::client(*std::move(plain), context_, server_name_);
        auto agreed = co_await stream->handshake(deadline);
        if (!agreed) co_return std::move(agreed).error();
        co_return io::StreamPtr(std::move(stream));
    }

    Result<std::unique_ptr<io::Listener>> listen(
        const io::SocketAddress& at, const io::ListenOptions& options
    ) override {
        return inner_.listen(at, options);
    }

    io::Task<Result<std::vector<io::SocketAddress>>> resolve(
        std::string host, std::uint16_t port, Instant deadline
    ) override {
        return inner_.resolve(std::move(host), port, deadline);
    }

    io::Loop& loop() override { return inner_.loop(); }

  private:
    io::Network& inner_;
    std::shared_ptr<const io::TlsContext> context_;
    std::string server_name_;
};

std::string_view reason_phrase(int status) {
    switch (status) {
        case 200:
            return "OK";
        case 201:
            return "Created";
        case 204:
            return "No Content";
        case 400:
            return "Bad Request";
        case 401:
            return "Unauthorized";
        case 403:
            return "Forbidden";
        case 404:
            return "Not Found";
        case 429:
            return "Too Many Requests";
        case 500:
            return "Internal Server Error";
        case 502:
            return "Bad Gateway";
        case 503:
            return "Service Unavailable";
        case 504:
            return "Gateway Timeout";
        default:
            return "";
    }
}

ProbeResult verdict(Health status, std::string output) {
    if (output.size() > kOutputBytesMax) output.resize(kOutputBytesMax);
    return {status, std::move(output)};
}

Health status_of(int http_status) {
    if (http_status >= 200 && http_status <= 299) return Health::passing;
    return http_status == 429 ? Health::warning : Health::critical;
}

http::Request request_of(const ProbeDefinition& definition) {
    http::Request request{
        .method = definition.method,
        .target = definition.target,
        .host = {},
        .headers = {},
        .body = definition.body,
        .peer = {}
    };
    for (const http::HeaderLine& line : definition.headers) {
        // The host is not a field like others: it must come once.
        std::string name = line.name;
        std::transform(name.begin(), name.end(), name.begin(), [](char c) {
            return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
        });
        if (name == "host") {
            request.host = line.value;
        } else {
            request.headers.push_back(line);
        }
    }
    if (http::find_header(request.headers, "User-Agent").empty()) {
        request.headers.push_back({"User-Agent", "Consul Health Check"});
    }
    if (http::find_header(request.headers, "Accept").empty()) {
        request.headers.push_back({"Accept", "text/plain, text/*, */*"});
    }
    return request;
}

io::Task<ProbeResult> probe_http(
    io::Network& network, ProbeDefinition definition, Instant deadline
) {
    http::ClientConfig config;
    config.body_bytes_max = kBodyBytesMax;
    config.connect_timeout = definition.timeout;
    config.keep_alive = false;
    http::Client client(network, config);
    http::Request request = request_of(definition);
    auto response =
        co_await client.fetch(definition.host, definition.port, std::move(request), deadline);
    if (!response) {
        co_return verdict(
            Health::critical,
            fmt::format(
                "{} \"{}\": {}", definition.method, definition.display, response.error().what
            )
        );
    }
    co_return verdict(
        status_of(response->status),
        fmt::format(
            "HTTP {} {}: {} {} Output: {}",
            definition.method,
            definition.display,
            response->status,
            reason_phrase(response->status),
            std::string_view(response->body).substr(0, kOutputBytesMax)
        )
    );
}

io::Task<ProbeResult> probe_https(
    io::Network& network, ProbeDefinition definition, Instant deadline
) {
    io::TlsClientConfig config;
    config.verify_peer = !definition.tls_skip_verify;
    auto context = io::TlsContext::client(config);
    if (!context) co_return verdict(Health::critical, context.error().what);
    TlsNetwork secure(
        network,
        *std::move(context),
        definition.tls_server_name.empty() ? definition.host : definition.tls_server_name
    );
    auto result = co_await probe_http(secure, std::move(definition), deadline);
    co_return std::move(result);
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

io::Task<ProbeResult> probe(io::Network& network, ProbeDefinition definition, Instant deadline) {
    if (definition.kind == ProbeDefinition::Kind::tcp) {
        return probe_tcp(network, std::move(definition), deadline);
    }
    if (definition.is_tls) return probe_https(network, std::move(definition), deadline);
    return probe_http(network, std::move(definition), deadline);
}

}  // namespace datapunk::mesh::probe
