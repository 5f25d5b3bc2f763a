// agent, validate, config schema, version: the commands about this process and its configuration.

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <memory>

#include "apps/agent.h"
#include "apps/build_info.h"
#include "apps/commands.h"
#include "apps/registry_session.h"
#include "config/document.h"
#include "config/sources.h"
#include "io/environment.h"
#include "io/handover.h"
#include "io/heap_trim.h"
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

// Lets through what its level says, which may change.
class LevelSink final : public core::LogSink {
  public:
    LevelSink(std::shared_ptr<core::LogSink> sink, core::Level level)
        : sink_(std::move(sink)), level_(level) {}

    void set_level(core::Level level) { level_.store(level, std::memory_order_relaxed); }

    void write(const core::LogRecord& record) override {
        if (record.level >= level_.load(std::memory_order_relaxed)) sink_->write(record);
    }

  private:
    const std::shared_ptr<core::LogSink> sink_;
    std::atomic<core::Level> level_;
};

std::shared_ptr<LevelSink> open_sink(const config::LogSection& section) {
    auto sink = io::open_log({.format = section.format});
    if (!sink) return nullptr;
    return std::make_shared<LevelSink>(*std::move(sink), section.level);
}

AgentHooks hooks_of(std::vector<std::string> paths, std::shared_ptr<LevelSink> sink) {
    return {
        .read_config = [paths = std::move(paths)]() -> Result<config::Loaded> {
            if (std::find(paths.begin(), paths.end(), "-") != paths.end()) {
                return Error{
                    .code = Code::invalid,
                    .what = "the configuration came from standard input and cannot be read again"
                };
            }
            Result<> read = Ok{};
            config::Loaded loaded = load_config(paths, read);
            if (!read) return std::move(read).error();
            return loaded;
        },
        .set_log_level =
            [sink = std::move(sink)](core::Level level) {
                if (sink != nullptr) sink->set_level(level);
            }
    };
}

io::Task<void> reload(Agent& agent) {
    agent.reload_certificates();
    co_await agent.reload(false);  // says itself what came of it
}

// Sets `over` when SIGTERM or SIGINT comes. SIGHUP reads certificates and configuration anew,
// SIGUSR1 opens the access log again.
io::Task<void> until_told_to_stop(
    Agent& agent, io::Signals& signals, io::Event& over, core::Logger log
) {
    io::TaskGroup reloads;  // one that is asked for while another is under way is refused
    for (;;) {
        auto signal = co_await signals.next(kNever);
        log.info("signal", {{"number", signal ? *signal : 0}});
        if (signal && *signal == SIGUSR1) {
            agent.reopen_access_log();
            continue;
        }
        if (!signal || *signal != SIGHUP) break;
        agent.reopen_access_log();
        reloads.spawn(reload(agent));
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
        while (second && (*second == SIGHUP || *second == SIGUSR1)) {
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
    auto signals = io::KernelSignals::create(**loop, {SIGTERM, SIGINT, SIGHUP, SIGUSR1});
    if (!signals) return report(signals.error());
    std::signal(SIGPIPE, SIG_IGN);
    io::raise_file_limit();
    const std::shared_ptr<LevelSink> sink = open_sink(loaded.config->log);
    const core::Logger log(sink, core::Level::debug);
    io::ListeningSockets sockets;
    std::optional<io::HandoverClient> predecessor;
    if (command.take_over) {
        auto found = find_predecessor(loaded.config->upgrade.socket, sockets, log);
        if (!found) return report(found.error());
        if (*found) predecessor.emplace(**std::move(found));
    }
    Agent agent(**loop, std::move(loaded), command.dev, sockets, log, hooks_of(paths, sink));
    if (auto started = agent.start(predecessor ? &*predecessor : nullptr); !started) {
        log.error("cannot start", {{"why", started.error().what}});
        fmt::print(stderr, "dpmesh: {}\n", started.error().what);
        return exit_failed;
    }
    io::TaskGroup tasks;
    tasks.spawn(serve(**loop, agent, **signals, log));
    io::forget_start_pages();
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
