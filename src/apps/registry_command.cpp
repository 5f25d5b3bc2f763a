// registry: the embedded registry alone.

#include <fmt/format.h>

#include <csignal>
#include <cstdio>

#include "apps/commands.h"
#include "apps/local_registry.h"
#include "apps/registry_session.h"
#include "config/sources.h"
#include "io/epoll_loop.h"
#include "io/heap_trim.h"
#include "io/log_sink.h"
#include "io/process_usage.h"
#include "io/signals.h"
#include "io/tcp.h"
#include "io/tls_slot.h"

namespace datapunk::mesh::apps {

namespace {

core::Level level_of(std::string_view name) {
    for (const core::Level level :
         {core::Level::debug, core::Level::info, core::Level::warn, core::Level::error}) {
        if (to_string(level) == name) return level;
    }
    return core::Level::off;
}

// What the flags ask for, but for TLS.
Result<LocalRegistryConfig> config_of(const RegistryCommand& command) {
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
        if (!token) return std::move(token).error();
        const std::size_t end = token->find_last_not_of(" \t\r\n");
        token->resize(end == std::string::npos ? 0 : end + 1);
        config.acl.initial_management = *std::move(token);
    }
    return config;
}

// Flags that make no sense together; empty if there are none.
std::string_view contradiction(const RegistryCommand& command) {
    if (command.data_dir.empty() == !command.dev) {
        return "either --data-dir DIR (durable) or --dev (in memory)";
    }
    if (!command.acl && !command.acl_token_file.empty()) {
        return "--acl-token-file has no effect without --acl";
    }
    if (command.tls_certificate.empty() != command.tls_key.empty()) {
        return "--tls-certificate and --tls-key need each other";
    }
    return {};
}

Result<std::shared_ptr<const io::TlsContext>> tls_of(const RegistryCommand& command) {
    return http::server_tls(
        {.certificate_chain = command.tls_certificate,
         .private_key = command.tls_key,
         .client_ca = command.tls_client_ca,
         .alpn = {}}
    );
}

// What cannot be used is refused and told; the old certificate stays.
void renew(io::TlsSlot& slot, const RegistryCommand& command, const core::Logger& log) {
    auto made = tls_of(command);
    if (!made) return log.error("the certificate is not used", {{"error", made.error().what}});
    slot.set(*std::move(made));
    log.info("the certificate was read again", {{"file", command.tls_certificate}});
}

struct Serving {
    io::EpollLoop& loop;
    LocalRegistry& registry;
    io::Signals& signals;
    io::TlsSlot* tls;
    const RegistryCommand& command;
    core::Logger log;
};

io::Task<void> serve_until_signal(Serving serving) {
    for (;;) {
        auto signal = co_await serving.signals.next(kNever);
        serving.log.info("signal", {{"number", signal ? *signal : 0}});
        const bool is_reload = signal && *signal == SIGHUP;
        if (!is_reload) break;
        if (serving.tls != nullptr) renew(*serving.tls, serving.command, serving.log);
    }
    co_await serving.registry.drain(serving.loop.now() + std::chrono::seconds(5));
    serving.loop.stop();
}

}  // namespace

int run_registry(const RegistryCommand& command) {
    if (const std::string_view problem = contradiction(command); !problem.empty()) {
        fmt::print(stderr, "dpmesh: {}\n", problem);
        return exit_usage;
    }
    auto loop = io::EpollLoop::create();
    if (!loop) return report(loop.error());
    auto signals = io::KernelSignals::create(**loop, {SIGTERM, SIGINT, SIGHUP});
    if (!signals) return report(signals.error());
    std::signal(SIGPIPE, SIG_IGN);  // a log reader that went away is no reason to end
    io::raise_file_limit();
    auto sink = io::open_log({});
    if (!sink) return report(sink.error());
    const core::Logger log(*sink, level_of(command.log_level));
    io::KernelNetwork network(**loop);
    auto config = config_of(command);
    if (!config) return report(config.error());
    std::shared_ptr<io::TlsSlot> tls;
    if (!command.tls_certificate.empty()) {
        auto context = tls_of(command);
        if (!context) return report(context.error());
        tls = std::make_shared<io::TlsSlot>(*std::move(context));
        config->tls = tls;
    }
    auto registry = LocalRegistry::start(network, *config, log);
    if (!registry) {
        fmt::print(stderr, "dpmesh: {}\n", registry.error().what);
        return exit_failed;
    }
    io::TaskGroup tasks;
    Serving serving{**loop, **registry, **signals, tls.get(), command, log};
    tasks.spawn(serve_until_signal(std::move(serving)));
    tasks.spawn(io::keep_heap_small(**loop));
    io::forget_start_pages();
    (*loop)->run();
    return exit_ok;
}

}  // namespace datapunk::mesh::apps
