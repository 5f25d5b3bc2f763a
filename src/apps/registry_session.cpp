#include "apps/registry_session.h"

#include <fmt/format.h>

#include <cstdio>

#include "http/client.h"
#include "io/environment.h"
#include "wire/url.h"

namespace datapunk::mesh::apps {

Result<std::unique_ptr<RegistrySession>> RegistrySession::open(const RegistryAccess& access) {
    registry::consul::Environment environment = io::process_environment();
    // The command line beats the environment.
    if (!access.address.empty()) environment["CONSUL_HTTP_ADDR"] = access.address;
    if (!access.token.empty()) environment["CONSUL_HTTP_TOKEN"] = access.token;
    auto config = registry::consul::with_environment({}, environment);
    if (!config) return std::move(config).error();
    auto loop = io::EpollLoop::create();
    if (!loop) return std::move(loop).error();
    std::unique_ptr<RegistrySession> session(new RegistrySession());
    session->loop_ = *std::move(loop);
    session->network_ = std::make_unique<io::KernelNetwork>(*session->loop_);
    session->timeout_ = std::chrono::milliseconds(access.timeout_ms);
    session->config_ = *config;
    auto backend = registry::consul::ConsulBackend::create(*session->network_, *std::move(config));
    if (!backend) return std::move(backend).error();
    session->backend_ = *std::move(backend);
    return session;
}

io::Task<Result<http::Response>> RegistrySession::fetch(http::Request request) {
    constexpr std::size_t kBodyBytesMax = 1UL << 30U;
    if (!config_.token.empty()) request.headers.push_back({"X-Consul-Token", config_.token});
    http::Client client(*network_, {.body_bytes_max = kBodyBytesMax, .keep_alive = false});
    const Instant until = deadline();
    auto answer = co_await client.fetch(config_.host, config_.port, std::move(request), until);
    co_return std::move(answer);
}

int report(const Error& error) {
    fmt::print(stderr, "dpmesh: {}\n", error.what);
    const bool unreachable = error.code == Code::unavailable || error.code == Code::timeout;
    if (error.code == Code::invalid) return exit_usage;
    return unreachable ? exit_unreachable : exit_failed;
}

}  // namespace datapunk::mesh::apps
