// agent, validate, config schema, version: the commands about this process and its configuration.

#include <fmt/format.h>

#include <csignal>
#include <cstdio>

#include "apps/agent.h"
#include "apps/build_info.h"
#include "apps/commands.h"
#include "apps/registry_session.h"
#include "config/document.h"
#include "config/sources.h"
#include "io/environment.h"
#include "io/handover.h"
#include "io/listening_sockets.h"
#include "io/log_sink.h"
#include "io/process_usage.h"
#include "io/signals.h"
#include "wire/json_writer.h"

namespace datapunk::mesh::apps {

namespace {

// For each step of a handover; the running process answers within a turn of its loop.
constexpr Duration kHandoverTime = std::chrono::seconds(10);

config::Loaded load_config(const std::vector<std::string>& paths, Result<>& read) {
    std::vector<config::SourceText> files;
    if (!paths.empty()) {
        auto texts = config::read_sources(paths);
        if (!texts) {
            read = std::move(texts).error();
            return {};
        }
        files = *std::move(texts);
    }
    return config::load(
        {.files = std::move(files),
         .environment = io::process_environment(),
         .read_secret_file = config::read_secret_file}
    );
}

core::Logger make_logger(const config::LogSection& section) {
    auto sink = io::open_log({.format = section.format});
    if (!sink) return {};
    return {*sink, section.level};
}

// Sets `over` when SIGTERM or SIGINT comes. SIGHUP reads the certificates anew.
io::Task<void> until_told_to_stop(
    Agent& agent, io::Signals& signals, io::Event& over, core::Logger log
) {
    for (;;) {
        auto signal = co_await signals.next(kNever);
        log.info("signal", {{"number", signal ? *signal : 0}});
        if (!signal || *signal != SIGHUP) break;
        agent.reload_certificates();
    }
    over.set();
}

// Waits for SIGTERM, SIGINT or a process that takes over, then stops the agent. A second signal
// ends the waiting.
io::Task<void> serve(io::EpollLoop& loop, Agent& agent, io::Signals& signals, core::Logger log) {
    {
        io::TaskGroup waiting;
        waiting.spawn(until_told_to_stop(agent, signals, agent.taken_over(), log));
        co_await agent.taken_over().wait(kNever);
    }
    io::TaskGroup stopping;
    io::Event stopped(loop);
    const auto stop = [](Agent& a, io::Event& done) -> io::Task<void> {
        co_await a.stop();
        done.set();
    };
    const auto impatient = [](io::Signals& s, io::Event& done, core::Logger l) -> io::Task<void> {
        auto second = co_await s.next(kNever);
        while (second && *second == SIGHUP) {
            second = co_await s.next(kNever);
        }
        l.warn("second signal: stopping at once", {{"number", second ? *second : 0}});
        done.set();
    };
    stopping.spawn(impatient(signals, stopped, log));
    stopping.spawn(stop(agent, stopped));
    co_await stopped.wait(kNever);
    loop.stop();
}

// The agent to take over from, its sockets taken; nothing if there is none.
Result<std::optional<io::HandoverClient>> find_predecessor(
    const std::string& path, io::ListeningSockets& sockets, const core::Logger& log
) {
    if (path.empty())
        return Error{
            .code = Code::invalid, .what = "--take-over needs upgrade.socket in the configuration"
        };
    auto found = io::HandoverClient::connect(path, kHandoverTime);
    if (!found) return found;
    if (!*found) {
        log.info("nobody to take over from", {{"socket", path}});
        return found;
    }
    if (auto received = (*found)->receive(sockets); !received) return std::move(received).error();
    return found;
}

}  // namespace

int run_agent(const AgentCommand& command) {
    std::vector<std::string> paths = command.config;
    const auto environment = io::process_environment();
    if (const auto from = environment.find("MESH_CONFIG");
        paths.empty() && from != environment.end()) {
        paths.push_back(from->second);
    }
    if (paths.empty() && !command.dev) {
        fmt::print(
            stderr, "dpmesh: which configuration? --config FILE, or --dev to try things out\n"
        );
        return exit_usage;
    }
    Result<> read = Ok{};
    config::Loaded loaded = load_config(paths, read);
    if (!read) return report(read.error());
    if (!loaded.config) {
        fmt::print(stderr, "{}", config::render_problems(loaded.problems));
        return exit_failed;
    }
    auto loop = io::EpollLoop::create();
    if (!loop) return report(loop.error());
    auto signals = io::KernelSignals::create(**loop, {SIGTERM, SIGINT, SIGHUP});
    if (!signals) return report(signals.error());
    std::signal(SIGPIPE, SIG_IGN);
    io::raise_file_limit();
    const core::Logger log = make_logger(loaded.config->log);
    io::ListeningSockets sockets;
    std::optional<io::HandoverClient> predecessor;
    if (command.take_over) {
        auto found = find_predecessor(loaded.config->upgrade.socket, sockets, log);
        if (!found) return report(found.error());
        if (*found) predecessor.emplace(**std::move(found));
    }
    Agent agent(**loop, std::move(loaded), command.dev, sockets, log);
    if (auto started = agent.start(predecessor ? &*predecessor : nullptr); !started) {
        log.error("cannot start", {{"why", started.error().what}});
        fmt::print(stderr, "dpmesh: {}\n", started.error().what);
        return exit_failed;
    }
    io::TaskGroup tasks;
    tasks.spawn(serve(**loop, agent, **signals, log));
    (*loop)->run();
    log.info("stopped");
    return exit_ok;
}

int run_validate(const ValidateCommand& command) {
    Result<> read = Ok{};
    const config::Loaded loaded = load_config(command.config, read);
    if (!read) return report(read.error());
    if (!loaded.config) {
        fmt::print(stderr, "{}", config::render_problems(loaded.problems));
        return exit_failed;
    }
    if (auto startable = check_startable(*loaded.config); !startable) {
        fmt::print(stderr, "dpmesh: {}\n", startable.error().what);
        return exit_failed;
    }
    fmt::print("The configuration is valid.\n");
    return exit_ok;
}

int run_schema() {
    fmt::print("{}\n", config::generate_schema());
    return exit_ok;
}

int run_version(Output output) {
    const metrics::BuildInfo info = build_info();
    if (output == Output::json) {
        std::string text;
        wire::JsonWriter json(text);
        json.begin_object()
            .key("version")
            .string(info.version)
            .key("revision")
            .string(info.revision);
        json.key("compiler").string(info.compiler).end_object();
        fmt::print("{}\n", text);
    } else {
        fmt::print("dpmesh {} ({}, {})\n", info.version, info.revision, info.compiler);
    }
    return exit_ok;
}

}  // namespace datapunk::mesh::apps
