// explain: why a request went where it went, or what was decided lately about a service's calls;
// asked of a running agent's admin API.

#include <fmt/format.h>

#include <cstdio>
#include <optional>

#include "apps/commands.h"
#include "apps/registry_session.h"
#include "http/client.h"
#include "io/environment.h"
#include "io/epoll_loop.h"
#include "io/tcp.h"
#include "wire/url.h"

namespace datapunk::mesh::apps {

namespace {

constexpr std::uint16_t kAdminPort = 19000;

std::string token_of(const ExplainCommand& command) {
    if (!command.token.empty()) return command.token;
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

int run_explain(const ExplainCommand& command) {
    auto agent = wire::parse_host_port(command.agent);
    if (!agent) return report(agent.error());
    auto loop = io::EpollLoop::create();
    if (!loop) return report(loop.error());
    io::KernelNetwork network(**loop);
    http::Request request{
        .target = fmt::format(
            "/explain?{}={}{}",
            command.is_service ? "service" : "id",
            wire::percent_encode(command.what),
            command.output == Output::json ? "" : "&format=text"
        )
    };
    const std::string token = token_of(command);
    if (!token.empty()) request.headers.push_back({"Authorization", "Bearer " + token});
    const Instant deadline = (*loop)->now() + std::chrono::milliseconds(command.timeout_ms);
    std::optional<Result<http::Response>> answer;
    io::TaskGroup asking;
    asking.spawn(fetch(network, *agent, std::move(request), deadline, &answer));
    while (!answer) (*loop)->turn(kNever);
    if (!*answer) return report(answer->error());
    const http::Response& said = **answer;
    fmt::print(said.status == 200 ? stdout : stderr, "{}", said.body);
    return said.status == 200 ? exit_ok : exit_failed;
}

}  // namespace datapunk::mesh::apps
