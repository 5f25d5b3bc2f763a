// registry: the embedded registry alone.

#include <fmt/format.h>

#include <csignal>
#include <cstdio>

#include "apps/commands.h"
#include "apps/local_registry.h"
#include "apps/registry_session.h"
#include "config/sources.h"
#include "io/epoll_loop.h"
#include "io/log_sink.h"
#include "io/process_usage.h"
#include "io/signals.h"
#include "io/tcp.h"

namespace datapunk::mesh::apps {

namespace {

core::Level level_of(std::string_view name) {
    for (const core::Level level :
         {core::Level::debug, core::Level::info, core::Level::warn, core::Level::error}) {
        if (to_string(level) == name) return level;
    }
    return core::Level::off;
}

io::Task<void> serve_until_signal(
    io::EpollLoop& loop, LocalRegistry& registry, io::Signals& signals, core::Logger log
) {
    auto signal = co_await signals.next(kNever);
    log.info("signal", {{"number", signal ? *signal : 0}});
    co_await registry.drain(loop.now() + std::chrono::seconds(5));
    loop.stop();
}

}  // namespace

int run_registry(const RegistryCommand& command) {
    if (command.data_dir.empty() == !command.dev) {
        fmt::print(stderr, "dpmesh: either --data-dir DIR (durable) or --dev (in memory)\n");
        return exit_usage;
    }
    auto loop = io::EpollLoop::create();
    if (!loop) return report(loop.error());
    auto signals = io::KernelSignals::create(**loop, {SIGTERM, SIGINT});
    if (!signals) return report(signals.error());
    std::signal(SIGPIPE, SIG_IGN);  // a log reader that went away is no reason to end
    io::raise_file_limit();
    auto sink = io::open_log({});
    if (!sink) return report(sink.error());
    const core::Logger log(*sink, level_of(command.log_level));
    io::KernelNetwork network(**loop);
    LocalRegistryConfig config{
        .address = command.address,
        .port = command.port,
        .data_dir = command.data_dir,
        .node_name = command.node
    };
    config.dns.enabled = !command.no_dns;
    config.dns.port = command.dns_port;
    if (command.dev) config.deregister_after_min = kDevDeregisterAfterMin;
    config.connections_per_client = command.connections_per_client;
    config.acl.enabled = command.acl;
    config.acl.is_default_allow = command.acl_default_policy == "allow";
    if (!command.acl_token_file.empty()) {
        auto token = config::read_secret_file(command.acl_token_file);
        if (!token) return report(token.error());
        const std::size_t end = token->find_last_not_of(" \t\r\n");
        token->resize(end == std::string::npos ? 0 : end + 1);
        config.acl.initial_management = *std::move(token);
    }
    if (!command.acl && !command.acl_token_file.empty()) {
        fmt::print(stderr, "dpmesh: --acl-token-file has no effect without --acl\n");
        return exit_usage;
    }
    auto registry = LocalRegistry::start(network, config, log);
    if (!registry) {
        fmt::print(stderr, "dpmesh: {}\n", registry.error().what);
        return exit_failed;
    }
    io::TaskGroup tasks;
    tasks.spawn(serve_until_signal(**loop, **registry, **signals, log));
    (*loop)->run();
    return exit_ok;
}

}  // namespace datapunk::mesh::apps
