#include "proxy/tcp_session.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/hash.h"
#include "metrics/names.h"
#include "proxy/caller_key.h"
#include "proxy/proxy_header.h"
#include "proxy/relay_outcome.h"
#include "wire/client_hello.h"

namespace datapunk::mesh::proxy {

using resilience::Outcome;

std::string_view ListenerTcp::service_for(std::string_view server_name) const noexcept {
    const auto is_for = [&](const std::string& name) {
        if (!name.starts_with("*.")) return name == server_name;
        const std::string_view below = std::string_view(name).substr(1);
        return server_name.size() > below.size() && server_name.ends_with(below);
    };
    // Exact names before wildcards, longer wildcards before shorter ones.
    const std::string* best = nullptr;
    std::string_view found = service;
    for (const SniRoute& route : sni) {
        for (const std::string& name : route.names) {
            if (!is_for(name)) continue;
            const bool is_better =
                best == nullptr ||
                (best->starts_with('*') && (!name.starts_with('*') || name.size() > best->size()));
            if (!is_better) continue;
            best = &name;
            found = route.service;
        }
    }
    return found;
}

std::string_view ListenerCapture::service_for(const io::SocketAddress& destination) const noexcept {
    for (const Destination& one : destinations) {
        const bool is_there =
            one.addresses.empty() ||
            std::any_of(one.addresses.begin(), one.addresses.end(), [&](const auto& range) {
                return range.contains(destination);
            });
        const bool is_port =
            one.ports.empty() ||
            std::find(one.ports.begin(), one.ports.end(), destination.port) != one.ports.end();
        if (is_there && is_port) return one.service;
    }
    return {};
}

TcpSession::TcpSession(
    Proxy& proxy, ListenerState& listener, io::StreamPtr caller, ConnectionInfo info
)
    : proxy_(proxy),
      listener_(listener),
      caller_(std::move(caller)),
      info_(std::move(info)),
      started_(proxy.loop().now()) {}

TcpSession::~TcpSession() = default;

io::Task<void> TcpSession::run() {
    co_await route_and_serve();
    finish();
}

io::Task<void> TcpSession::route_and_serve() {
    if (!listener_.config.tls.allows(info_.identity)) {
        outcome_ = "not_allowed";
        why_ =
            info_.identity.empty() ? "no identity that may call here was proved" : info_.identity;
        co_return;
    }
    const ListenerTcp& tcp = listener_.config.tcp;
    const ListenerCapture& capture = listener_.config.capture;
    const std::string_view meant =
        info_.is_captured ? capture.service_for(info_.to) : std::string_view();
    std::string_view name = meant.empty() ? tcp.service : meant;
    if (meant.empty() && !tcp.sni.empty()) {
        auto server = co_await read_server_name();
        if (!server) {
            outcome_ = "no_greeting";
            why_ = server.error().what;
            co_return;
        }
        name = tcp.service_for(*server);
        if (name.empty() && !capture.is_on) {
            outcome_ = "no_route";
            why_ = fmt::format("no service is for \"{:.100}\"", *server);
            co_return;
        }
    }
    if (name.empty()) {
        co_await pass_on();
        co_return;
    }
    service_ = proxy_.shared().services.find(name);
    if (service_ == nullptr) {
        outcome_ = "unknown_service";
        co_return;
    }
    upstream_ = &proxy_.state_of(*service_);
    count_for(service_->name());
    co_await serve();
}

void TcpSession::count_for(std::string_view service) {
    metrics::MetricRegistry& registry = proxy_.shared().metrics;
    const auto& bytes = metrics::names::kTcpBytes;
    bytes_up_ = registry.counter(bytes, {service, "up"}, proxy_.shard());
    bytes_down_ = registry.counter(bytes, {service, "down"}, proxy_.shard());
}

io::Task<void> TcpSession::run_on(std::string early) {
    read_ = std::move(early);
    co_await pass_on();
    finish();
}

// Nothing of ours is for it: it goes where it was meant to.
io::Task<void> TcpSession::pass_on() {
    if (!info_.is_captured || !listener_.config.capture.pass_on) {
        outcome_ = "no_route";
        why_ = info_.is_captured ? fmt::format("nothing is for {}", info_.to.to_string())
                                 : "it was meant for this listener itself";
        co_return;
    }
    endpoint_ = info_.to.to_string();
    count_for("-");
    const UpstreamPoolConfig& pool = proxy_.shared().pool;
    const Instant until = proxy_.loop().now() + pool.connect_timeout;
    auto stream = co_await proxy_.network().connect(info_.to, until);
    if (!stream) {
        outcome_ = "connect_failure";
        why_ = stream.error().what;
        co_return;
    }
    auto token = guarded(pool.loops, **stream);
    if (!token) {
        outcome_ = "loop";
        why_ = token.error().what;
        co_return;
    }
    auto sent = co_await send_proxy_header(**stream, until);
    if (!sent) {
        outcome_ = "connect_failure";
        why_ = sent.error().what;
        co_return;
    }
    co_await relay(*std::move(stream));
}

// What the caller's TLS greeting asks for: it is read here and goes to the endpoint as it is.
// Behind a TLS door the name is known already.
io::Task<Result<std::string>> TcpSession::read_server_name() {
    if (info_.is_secure) co_return info_.server_name;
    const Instant deadline = proxy_.loop().now() + listener_.config.head_timeout;
    std::string name;
    for (;;) {
        const wire::HelloRead read = wire::read_server_name(read_, name);
        if (read == wire::HelloRead::done) co_return name;
        if (read == wire::HelloRead::malformed) {
            co_return Error{
                .code = Code::invalid,
                .what = "the caller's first bytes are no TLS greeting",
                .source = Source::downstream
            };
        }
        const std::size_t had = read_.size();
        read_.resize(had + 2048);
        const std::span<char> room(read_.data() + had, 2048);
        auto got = co_await caller_->read(room, deadline);
        read_.resize(had + (got ? *got : 0));
        if (!got) co_return std::move(got).error();
        if (*got == 0) {
            co_return Error{
                .code = Code::unavailable,
                .what = "the caller has gone before its greeting",
                .source = Source::downstream
            };
        }
    }
}

io::Task<void> TcpSession::serve() {
    policy::ServicePolicies& service = *service_;
    io::Loop& loop = proxy_.loop();
    const Instant deadline = loop.now() + service.policy()->deadline;
    policy::CallState call{resilience::Deadline(deadline)};
    if (service.policy()->affinity.by == AffinityConfig::Kind::address)
        call.hash = core::hash64(info_.ip);
    call.caller = caller_of(*service.call_limits(), info_);
    for (;;) {
        auto begun = service.begin_attempt(call, loop.now());
        if (const auto* none = std::get_if<policy::NoEndpoint>(&begun)) {
            outcome_ = to_string(none->reason);
            why_ = policy::to_error(*none, service.name(), loop.now()).what;
            co_return;
        }
        auto& at = std::get<policy::HeldEndpoint>(begun);
        endpoint_ = at.address();
        auto dialled = co_await dial(at, deadline);
        if (dialled) {
            // The endpoint has proved itself: it is in flight from here on, but no longer judged.
            service.confirm_attempt(at, loop.now());
            ConnectionSlot slot = std::move(dialled->slot);
            co_await relay(std::move(dialled->stream));
            service.finish_attempt(std::move(at), Outcome::success, loop.now());
            co_return;
        }
        outcome_ = "connect_failure";
        why_ = dialled.error().what;
        const bool is_ours = dialled.error().code == Code::exhausted;
        const resilience::AttemptEnd end{
            .outcome = is_ours ? Outcome::cancelled : Outcome::connect_failure,
            .idempotent = true,
            .replayable = true
        };
        if (is_ours) outcome_ = "limit";
        const resilience::RetryDecision again = service.after_attempt(call, end, loop.now());
        service.finish_attempt(std::move(at), end.outcome, loop.now());
        if (!again) co_return;
        co_await io::sleep_for(loop, again.wait);
    }
}

io::Task<Result<TcpSession::Dialled>> TcpSession::dial(
    const policy::HeldEndpoint& at, Instant deadline
) {
    UpstreamUse& use = upstream_->use;
    Dialled dialled;
    dialled.slot = ConnectionSlot(use, proxy_.tcp_connections());
    if (!dialled.slot) {
        co_return Error{
            .code = Code::exhausted, .what = "all connections of the service are in use"
        };
    }
    const std::string host = at.endpoint().host;
    const std::uint16_t port = at.endpoint().port;
    const Instant until =
        std::min(deadline, proxy_.loop().now() + proxy_.shared().pool.connect_timeout);
    auto stream = co_await io::connect_to(proxy_.network(), host, port, until);
    if (!stream) {
        use.failed.add();
        co_return std::move(stream).error();
    }
    auto token = guarded(proxy_.shared().pool.loops, **stream);
    if (!token) co_return std::move(token).error();
    dialled.slot.keep(*std::move(token));
    // Before TLS: it is about the connection, not about what is said on it.
    auto sent = co_await send_proxy_header(**stream, until);
    if (!sent) co_return std::move(sent).error();
    dialled.stream = *std::move(stream);
    if (use.tls != nullptr) {
        auto secured = co_await use.tls->secure(std::move(dialled.stream), host, port, until);
        if (!secured) {
            use.tls_failed.add();
            co_return std::move(secured).error();
        }
        dialled.stream = std::move(secured->stream);
    }
    use.created.add();
    co_return dialled;
}

io::Task<Result<>> TcpSession::send_proxy_header(io::Stream& to, Instant deadline) {
    std::string header;
    append_proxy_header(header, listener_.config.tcp.send_proxy, info_.from, info_.to);
    if (header.empty()) co_return Ok{};
    const io::Slices slices(header);
    auto written = co_await to.write(slices, deadline);
    co_return std::move(written);
}

io::Task<void> TcpSession::relay(io::StreamPtr endpoint) {
    const ListenerConfig& config = listener_.config;
    const Duration longest = config.tcp.duration_max;
    io::Relay relay(
        *caller_,
        *endpoint,
        {.idle_timeout = config.idle_timeout,
         .deadline = longest > Duration::zero() ? started_ + longest : kNever}
    );
    relay.put_back(std::move(read_));
    relay_ = &relay;
    if (is_cut_) relay.stop();
    const io::RelayEnd end = co_await relay.run();
    count_bytes();
    relay_ = nullptr;
    outcome_ = outcome_of(end);
    if (end == io::RelayEnd::finished) {
        caller_->close();
        endpoint->close();
    } else {
        endpoint->reset();
    }
}

void TcpSession::count_bytes() {
    if (relay_ == nullptr) return;
    up_ = relay_->a_to_b();
    down_ = relay_->b_to_a();
    bytes_up_.add(up_ - std::exchange(counted_up_, up_));
    bytes_down_.add(down_ - std::exchange(counted_down_, down_));
}

void TcpSession::cut() {
    is_cut_ = true;
    if (relay_ != nullptr) {
        relay_->stop();
    } else {
        caller_->reset();
    }
}

void TcpSession::finish() {
    if (outcome_ != "finished") caller_->reset();
    const std::string_view service =
        service_ == nullptr ? std::string_view("-") : std::string_view(service_->name());
    const auto& family = metrics::names::kTcpConnections;
    proxy_.shared().metrics.counter(family, {service, outcome_}, proxy_.shard()).add();
    if (!listener_.config.access_log) return;
    const Duration took = proxy_.loop().now() - started_;
    // A reset is what a session shows that came to nothing.
    proxy_.log_access(!why_.empty(), took, [&](AccessLog::Worker& log, double share) {
        const std::array<core::LogField, 11> fields = {{
            {"listener", listener_.config.name},
            {"peer", info_.ip},
            {"identity", info_.identity},
            {"service", service},
            {"endpoint", endpoint_},
            {"bytes_up", up_},
            {"bytes_down", down_},
            {"ms", std::chrono::duration<double, std::milli>(took).count()},
            {"outcome", outcome_},
            {"why", why_},
            {"sample", share},
        }};
        log.write(
            proxy_.loop().wall_now(),
            {.event = "connection", .fields = fields.data(), .field_count = fields.size()}
        );
    });
}

}  // namespace datapunk::mesh::proxy
