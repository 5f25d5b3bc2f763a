#include "mesh/world.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <system_error>

#include "core/shared_fields.h"
#include "io/epoll_loop.h"
#include "io/tcp.h"
#include "mesh/connect.h"
#include "redis/redis_config.h"
#include "registry/embedded/embedded_backend.h"
#include "registry/embedded/open_log.h"

namespace datapunk::mesh::internal {

namespace {

// Gives `world` the registry that was chosen.
struct AddRegistry {
    World& world;
    io::EpollLoop& loop;
    const core::Logger& log;

    Result<> operator()(const Embedded& choice) const {
        auto log_of_commands = registry::embedded::open_command_log(choice.data_dir);
        if (!log_of_commands) return std::move(log_of_commands).error();
        registry::embedded::EmbeddedConfig config;
        config.node.name = "local";
        config.node.address = "127.0.0.1";
        auto opened = registry::embedded::EmbeddedRegistry::open(
            *world.loop, *std::move(log_of_commands), config, log
        );
        if (!opened) return std::move(opened).error();
        world.embedded = *std::move(opened);
        world.checks =
            std::make_unique<registry::embedded::CheckRunner>(*world.embedded, *world.network, log);
        world.backend = std::make_unique<registry::embedded::EmbeddedBackend>(*world.embedded);
        return Ok{};
    }

    template <class Choice>
    Result<> operator()(const Choice& choice) const {
        auto made = connect({loop, *world.network, log}, choice);
        if (!made) return std::move(made).error();
        world.backend = *std::move(made);
        return Ok{};
    }
};

}  // namespace

Result<World> make_world(const MeshOptions& options, const core::Logger& log) {
    auto loop = io::EpollLoop::create();
    if (!loop) return std::move(loop).error();
    World world;
    io::EpollLoop& kernel_loop = **loop;
    world.network = std::make_unique<io::KernelNetwork>(kernel_loop);
    world.loop = *std::move(loop);
    world.clock = io::make_thread_clock();
    if (auto added = std::visit(AddRegistry{world, kernel_loop, log}, options.registry); !added) {
        return std::move(added).error();
    }
    return world;
}

Result<> check_policy(const MeshOptions& options, const ServicePolicy& policy) {
    if (auto good = mesh::check(policy); !good) return good;
    const auto fields = core::fields_that_need_redis(policy);
    if (!fields.empty() && options.discovery.shared_cache.host.empty()) {
        return Error{
            .code = Code::invalid,
            .what = fmt::format(
                "policy: {} needs Redis: set MeshOptions::discovery.shared_cache.host",
                fields.front()
            )
        };
    }
    return Ok{};
}

Result<> check(const MeshOptions& options) {
    std::string problems;
    const auto add = [&](const std::string& where, const Result<>& verdict) {
        if (verdict) return;
        if (!problems.empty()) problems += "; ";
        problems += fmt::format("{}: {}", where, verdict.error().what);
    };
    add("policy", check_policy(options, options.policy));
    for (const auto& [name, policy] : options.services) {
        add("services", check_service_name(name));
        add(fmt::format("services[\"{}\"]", name), check_policy(options, policy));
    }
    add("discovery", mesh::check(options.discovery));
    const bool is_printable = std::none_of(options.owner.begin(), options.owner.end(), [](char c) {
        return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    });
    if (!is_printable || options.owner.size() > 128) {
        add("owner", Error{.what = "at most 128 bytes of printable text"});
    }
    if (const auto tls = redis::tls_of(options.discovery.shared_cache); !tls)
        add("discovery.shared_cache.tls", tls.error());
    const auto add_time = [&](const char* field, Duration time) {
        if (time > Duration::zero()) return;
        add(field, Error{.what = "must be positive"});
    };
    add_time("timeout", options.timeout);
    add_time("stop_timeout", options.stop_timeout);
    if (options.drain_delay < Duration::zero() || options.drain_delay > std::chrono::minutes(5)) {
        add("drain_delay", Error{.what = "must be 0..5min"});
    }
    if (problems.empty()) return Ok{};
    return Error{.code = Code::invalid, .what = "mesh options: " + problems};
}

}  // namespace datapunk::mesh::internal
