#include "mesh/world.h"

#include <fmt/format.h>

#include "io/epoll_loop.h"
#include "io/tcp.h"
#include "mesh/fixed_backend.h"
#include "registry/consul/consul_backend.h"

namespace datapunk::mesh::internal {

namespace {

using BackendResult = Result<std::unique_ptr<registry::Backend>>;

struct MakeBackend {
    io::Network& network;

    BackendResult operator()(const Consul& choice) const {
        auto made = registry::consul::ConsulBackend::create(
            network,
            {.host = choice.host,
             .port = choice.port,
             .token = choice.token,
             .datacenter = choice.datacenter}
        );
        if (!made) return std::move(made).error();
        return std::unique_ptr<registry::Backend>(*std::move(made));
    }

    BackendResult operator()(const Embedded&) const {
        return Error{.code = Code::invalid, .what = "no embedded registry in this build"};
    }

    BackendResult operator()(const Fixed& choice) const {
        auto services = FixedBackend::checked(choice.services);
        if (!services) return std::move(services).error();
        return std::unique_ptr<registry::Backend>(
            std::make_unique<FixedBackend>(network.loop(), *std::move(services))
        );
    }
};

}  // namespace

Result<World> make_world(const MeshOptions& options) {
    auto loop = io::EpollLoop::create();
    if (!loop) return std::move(loop).error();
    World world;
    world.network = std::make_unique<io::KernelNetwork>(**loop);
    world.loop = *std::move(loop);
    world.clock = io::make_thread_clock();
    auto backend = std::visit(MakeBackend{*world.network}, options.registry);
    if (!backend) return std::move(backend).error();
    world.backend = *std::move(backend);
    return world;
}

Result<> check(const MeshOptions& options) {
    std::string problems;
    const auto add = [&](const std::string& where, const Result<>& verdict) {
        if (verdict) return;
        if (!problems.empty()) problems += "; ";
        problems += fmt::format("{}: {}", where, verdict.error().what);
    };
    add("policy", mesh::check(options.policy));
    for (const auto& [name, policy] : options.services) {
        add("services", check_service_name(name));
        add(fmt::format("services[\"{}\"]", name), mesh::check(policy));
    }
    add("discovery", mesh::check(options.discovery));
    const auto add_time = [&](const char* field, Duration time) {
        if (time > Duration::zero()) return;
        add(field, Error{.what = "must be positive"});
    };
    add_time("timeout", options.timeout);
    add_time("stop_timeout", options.stop_timeout);
    if (problems.empty()) return Ok{};
    return Error{.code = Code::invalid, .what = "mesh options: " + problems};
}

}  // namespace datapunk::mesh::internal
