// registry: the embedded registry alone.

#include <fmt/format.h>

#include <csignal>
#include <cstdio>

#include "apps/commands.h"
#include "apps/local_registry.h"
#include "apps/registry_session.h"
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
