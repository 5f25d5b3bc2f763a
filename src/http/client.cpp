#include "http/client.h"

#include <fmt/format.h>

#include <algorithm>

#include "http/message_reader.h"
#include "http/response_stream.h"
#include "wire/http1/chars.h"
#include "wire/http1/encode.h"
#include "wire/url.h"

namespace datapunk::mesh::http {

using wire::http1::Method;
using wire::http1::ResponseHead;

namespace {

// Beyond so many peers, those with expired connections only are forgotten.
constexpr std::size_t kPeersKept = 64;

constexpr std::string_view kHttp11 = "http/1.1";  // as ALPN calls it

// All but the empty line. False if something in it would break the framing: names and paths come
// from users.
bool append_head(std::string& head, const Request& request, Method method) {
    using namespace wire::http1;
    if (!is_field_name(request.method) || request.target.empty() ||
        !all_in(request.target, kTarget))
        return false;
    head.reserve(256 + request.target.size());
    append_request_line(head, request.method, request.target);
    if (!try_append_field(head, "Host", request.host)) return false;
    for (const HeaderLine& line : request.headers) {
        if (!try_append_field(head, line.name, line.value)) return false;
    }
    if (!request.body.empty() || method == Method::put || method == Method::post)
        append_field(head, "Content-Length", request.body.size());
    return true;
}

}  // namespace

// One question on one connection.
struct Client::Exchange {
    MessageReader& reader;
    bool answered = false;  // some byte has come back
    bool is_kept = false;   // the connection can be used again once the body is read
};

struct Client::Idle {
    io::StreamPtr stream;
    Instant since;
};

Result<std::shared_ptr<const io::TlsContext>> client_tls(io::TlsClientConfig config) {
    config.alpn = {std::string(kHttp11)};
    return io::TlsContext::client(config);
}

Client::Client(io::Network& network, ClientConfig config)
    : network_(network), config_(std::move(config)) {}

Client::~Client() = default;

io::StreamPtr Client::take_idle(const std::string& key) {
    const auto found = idle_.find(key);
    if (found == idle_.end()) return nullptr;
    while (!found->second.empty()) {
        Idle idle = std::move(found->second.back());
        found->second.pop_back();
        const bool expired = network_.loop().now() - idle.since > config_.idle_timeout;
        // Something to read on an idle connection is its end, or an answer nobody asked for.
        if (!expired && !idle.stream->maybe_readable()) return std::move(idle.stream);
    }
    idle_.erase(found);
    return nullptr;
}

void Client::put_idle(const std::string& key, io::StreamPtr stream) {
    if (idle_.size() >= kPeersKept) {
        const Instant oldest = network_.loop().now() - config_.idle_timeout;
        std::erase_if(idle_, [oldest](const auto& peer) {
            return peer.second.empty() || peer.second.back().since < oldest;
        });
    }
    std::vector<Idle>& list = idle_[key];
    if (list.size() >= config_.idle_per_peer_max) list.erase(list.begin());
    list.push_back({std::move(stream), network_.loop().now()});
}

io::Task<Result<io::StreamPtr>> Client::connect(
    std::string host, std::uint16_t port, Instant deadline
) {
    auto connected = co_await io::connect_to(network_, host, port, deadline);
    if (!connected || config_.tls == nullptr) co_return std::move(connected);
    const std::string& name = config_.tls_server_name.empty() ? host : config_.tls_server_name;
    auto secure = io::TlsStream::client(*std::move(connected), config_.tls, name);
    auto agreed = co_await secure->handshake(deadline);
    if (!agreed) co_return std::move(agreed).error();
    // A server without ALPN is taken at its word; one that chose another protocol is not.
    if (const std::string_view chosen = secure->alpn(); !chosen.empty() && chosen != kHttp11) {
        co_return Error{
            .code = Code::invalid,
            .what = fmt::format("{} wants to speak {}", secure->peer().to_string(), chosen),
            .source = Source::upstream
        };
    }
    co_return io::StreamPtr(std::move(secure));
}

io::Task<Result<Response>> Client::fetch(
    std::string host, std::uint16_t port, Request request, Instant deadline
) {
    const std::string key = wire::HostPort{.host = host, .port = port}.text();
    if (request.host.empty()) request.host = key;
    const bool idempotent = is_idempotent(wire::http1::method_of(request.method));
    for (;;) {
        io::StreamPtr stream = take_idle(key);
        const bool reused = stream != nullptr;
        if (!reused) {
            const Instant connect_deadline =
                std::min(deadline, network_.loop().now() + config_.connect_timeout);
            auto connected = co_await connect(host, port, connect_deadline);
            if (!connected) co_return std::move(connected).error();
            stream = *std::move(connected);
        }
        bool answered = false;
        bool reusable = false;
        auto response = co_await exchange(*stream, request, deadline, answered, reusable);
        if (response && reusable && config_.keep_alive) put_idle(key, std::move(stream));
        const bool raced = !response && reused && !answered && idempotent &&
                           response.error().code == Code::unavailable;
        if (!raced) co_return std::move(response);
    }
}

io::Task<Result<std::unique_ptr<ResponseStream>>> Client::stream(
    std::string host, std::uint16_t port, Request request, Instant deadline
) {
    if (request.host.empty()) {
        request.host = wire::HostPort{.host = host, .port = port}.text();
    }
    const Instant connect_deadline =
        std::min(deadline, network_.loop().now() + config_.connect_timeout);
    auto connected = co_await connect(std::move(host), port, connect_deadline);
    if (!connected) co_return std::move(connected).error();
    auto opened = std::make_unique<ResponseStream>(*std::move(connected), config_.head_bytes_max);
    Exchange exchange{opened->reader_};
    auto head = co_await begin(exchange, request, deadline);
    if (!head) co_return std::move(head).error();
    opened->response_ = *std::move(head);
    co_return std::move(opened);
}

io::Task<Result<Response>> Client::exchange(
    io::Stream& stream, const Request& request, Instant deadline, bool& answered, bool& reusable
) {
    MessageReader reader(stream, {.head_bytes_max = config_.head_bytes_max});
    Exchange exchange{reader};
    auto head = co_await begin(exchange, request, deadline);
    answered = exchange.answered;
    if (!head) co_return std::move(head).error();
    Response response = *std::move(head);
    while (!reader.body_done()) {
        auto piece = co_await reader.next_piece(deadline);
        if (!piece) co_return std::move(piece).error();
        if (response.body.size() + piece->bytes.size() > config_.body_bytes_max) {
            co_return Error{
                .code = Code::exhausted,
                .what = fmt::format(
                    "the answer of {} is over {} bytes",
                    stream.peer().to_string(),
                    config_.body_bytes_max
                ),
                .source = Source::upstream
            };
        }
        response.body += piece->bytes;
    }
    reusable = exchange.is_kept && !reader.has_more();
    co_return std::move(response);
}

io::Task<Result<Response>> Client::begin(
    Exchange& exchange, const Request& request, Instant deadline
) {
    MessageReader& reader = exchange.reader;
    io::Stream& stream = reader.input().stream();
    const Method method = wire::http1::method_of(request.method);
    std::string head;
    if (!append_head(head, request, method)) {
        co_return Error{
            .code = Code::invalid,
            .what = "the request cannot be sent: a bad method, target, host or field"
        };
    }
    if (!config_.keep_alive) wire::http1::append_field(head, "Connection", "close");
    head += "\r\n";
    io::Slices slices(head);
    slices.add(request.body);
    auto written = co_await stream.write(slices, deadline);
    if (!written) co_return std::move(written).error();

    ResponseHead answer;
    do {
        const HeadRead read = co_await reader.read_response(answer, method, deadline);
        exchange.answered = exchange.answered || read == HeadRead::done || !reader.input().empty();
        if (read == HeadRead::failed) co_return reader.error();
        if (read == HeadRead::closed) {
            co_return Error{
                .code = Code::unavailable,
                .what = fmt::format("{} closed without an answer", stream.peer().to_string()),
                .source = Source::upstream,
                .retryable = true
            };
        }
        if (read == HeadRead::rejected) {
            co_return Error{
                .code = Code::invalid,
                .what = fmt::format(
                    "{} did not answer in HTTP/1.1 ({})",
                    stream.peer().to_string(),
                    to_string(reader.why())
                ),
                .source = Source::upstream
            };
        }
    } while (answer.is_interim());

    Response response{.status = answer.status};
    for (const auto& field : answer.fields) {
        response.headers.push_back({std::string(field.name), std::string(field.value)});
    }
    exchange.is_kept = answer.keep_alive && answer.framing != wire::http1::Framing::until_close;
    co_return response;
}

}  // namespace datapunk::mesh::http
