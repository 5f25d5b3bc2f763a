#include "apps/agent_session.h"

#include <optional>

#include "http/client.h"
#include "io/environment.h"
#include "io/epoll_loop.h"
#include "io/tcp.h"
#include "wire/url.h"

namespace datapunk::mesh::apps {

namespace {

constexpr std::uint16_t kAdminPort = 19000;

std::string token_of(const AgentAccess& access) {
    if (!access.token.empty()) return access.token;
    for (const auto& [name, value] : io::process_environment()) {
        if (name == "DPMESH_ADMIN_TOKEN") return value;
    }
    return {};
}

io::Task<void> fetch(
    io::Network& network,
    wire::HostPort agent,
    http::Request request,
    Instant deadline,
    std::optional<Result<http::Response>>* out
) {
    http::Client client(network, {.keep_alive = false});
    const std::uint16_t port = agent.port.value_or(kAdminPort);
    auto answer = co_await client.fetch(agent.host, port, std::move(request), deadline);
    out->emplace(std::move(answer));
}

}  // namespace

Result<http::Response> ask_agent(const AgentAccess& access, http::Request request) {
    auto agent = wire::parse_host_port(access.agent);
    if (!agent) return std::move(agent).error();
    auto loop = io::EpollLoop::create();
    if (!loop) return std::move(loop).error();
    io::KernelNetwork network(**loop);
    const std::string token = token_of(access);
    if (!token.empty()) request.headers.push_back({"Authorization", "Bearer " + token});
    const Instant deadline = (*loop)->now() + std::chrono::milliseconds(access.timeout_ms);
    std::optional<Result<http::Response>> answer;
    io::TaskGroup asking;
    asking.spawn(fetch(network, *agent, std::move(request), deadline, &answer));
    while (!answer) (*loop)->turn(kNever);
    return *std::move(answer);
}

}  // namespace datapunk::mesh::apps
