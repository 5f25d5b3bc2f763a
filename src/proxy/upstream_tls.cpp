#include "proxy/upstream_tls.h"

#include <fmt/format.h>

#include "metrics/names.h"

namespace datapunk::mesh::proxy {

namespace {

constexpr std::string_view kHttp11 = "http/1.1";
constexpr std::string_view kHttp2 = "h2";

}  // namespace

UpstreamTlsUse::UpstreamTlsUse(
    const UpstreamTls& tls,
    metrics::MetricRegistry& registry,
    metrics::Shard shard,
    std::string_view service
)
    : tls_(tls), sessions_(std::make_shared<io::TlsSessions>()) {
    const auto& family = metrics::names::kTlsOriginations;
    done_ = registry.counter(family, {service, "done"}, shard);
    resumed_ = registry.counter(family, {service, "resumed"}, shard);
    for (std::size_t i = 1; i < kFailures; ++i) {
        const auto failure = static_cast<io::TlsFailure>(i);
        failed_[i] = registry.counter(family, {service, to_string(failure)}, shard);
    }
}

io::Task<Result<SecuredUpstream>> UpstreamTlsUse::secure(
    io::StreamPtr raw, std::string host, std::uint16_t port, Instant deadline, bool wants_http2
) {
    const auto context = tls_.contexts->get();
    const std::string& name = tls_.server_name.empty() ? host : tls_.server_name;
    SecuredUpstream secured{
        .stream = io::TlsStream::client(std::move(raw), context, name), .context = context->id()
    };
    if (wants_http2) secured.stream->offer({std::string(kHttp2), std::string(kHttp11)});
    // A ticket of one context says nothing to another: what that one trusts may be different.
    secured.stream->resume(sessions_, fmt::format("{} {}:{} {}", context->id(), host, port, name));
    auto shaken = co_await secured.stream->handshake(deadline);
    if (!shaken) {
        failed_[static_cast<std::size_t>(secured.stream->failure())].add();
        co_return std::move(shaken).error();
    }
    (secured.stream->is_resumed() ? resumed_ : done_).add();
    const std::string_view chosen = secured.stream->alpn();
    secured.is_http2 = wants_http2 && chosen == kHttp2;
    // A server without ALPN is taken at its word; one that chose another protocol is not.
    if (!chosen.empty() && chosen != kHttp11 && !secured.is_http2) {
        co_return Error{
            .code = Code::invalid,
            .what = fmt::format("{}:{} wants to speak {}", host, port, chosen),
            .source = Source::upstream
        };
    }
    co_return secured;
}

}  // namespace datapunk::mesh::proxy
