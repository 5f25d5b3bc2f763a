// What the registry costs without sockets: registrations a second, durable, at several levels of
// concurrency; health queries a second of a service of 40 instances.
// Consul 1.10 in memory on the machine of research: 992 registrations/s, 775 such queries/s.

#include <benchmark/benchmark.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "io/epoll_loop.h"
#include "registry/embedded/embedded_registry.h"
#include "registry/embedded/volatile_log.h"
#include "server/registry_server.h"
#include "store/sqlite_log.h"

namespace datapunk::mesh::server {
namespace {

class World {
  public:
    explicit World(bool is_durable) : loop_(*io::EpollLoop::create()) {
        registry::embedded::EmbeddedConfig config;
        config.node.name = "bench";
        config.node.address = "127.0.0.1";
        std::unique_ptr<store::CommandLog> log;
        if (is_durable) {
            directory_ = (std::filesystem::temp_directory_path() / "registry-XXXXXX").string();
            if (mkdtemp(directory_.data()) == nullptr) std::abort();
            log = *store::SqliteLog::open({.path = directory_ + "/registry.db"});
        } else {
            log = std::make_unique<registry::embedded::VolatileLog>();
        }
        registry_ = *registry::embedded::EmbeddedRegistry::open(
            *loop_, std::move(log), config, core::Logger()
        );
        server_ = std::make_unique<RegistryServer>(*registry_, RegistryServerConfig{});
    }

    ~World() {
        tasks_.cancel();
        server_.reset();
        registry_.reset();
        if (!directory_.empty()) std::filesystem::remove_all(directory_);
    }

    void ask(http::Request request) {
        ++open_;
        tasks_.spawn(count(server_->handle(std::move(request)), this));
    }

    void wait_for(std::size_t still_open) {
        while (open_ > still_open) loop_->turn(loop_->now() + std::chrono::seconds(1));
    }

    void add(int i) {
        http::Request request{.method = "PUT", .target = "/v1/agent/service/register"};
        request.body = R"({"Name":"api","ID":"api-)" + std::to_string(i) +
                       R"(","Address":"10.0.0.1","Port":8080,"Tags":["v1"],"Check":{"TTL":"60s"}})";
        ask(std::move(request));
    }

  private:
    static io::Task<void> count(io::Task<http::Response> task, World* self) {
        auto response = co_await std::move(task);
        if (response.status != 200) std::abort();
        benchmark::DoNotOptimize(response.content().data());
        --self->open_;
    }

    std::unique_ptr<io::EpollLoop> loop_;
    std::string directory_;
    std::unique_ptr<registry::embedded::EmbeddedRegistry> registry_;
    std::unique_ptr<RegistryServer> server_;
    std::size_t open_ = 0;
    io::TaskGroup tasks_;
};

// Argument: registrations at once, of 1,000 different instances.
void BM_RegisterDurable(benchmark::State& state) {
    World world(true);
    const auto at_once = static_cast<std::size_t>(state.range(0));
    int i = 0;
    for (auto _ : state) {
        world.wait_for(at_once - 1);
        const int n = i++;
        world.add(n % 1000 + (n / 1000 % 2) * 1000);
    }
    world.wait_for(0);
    state.SetItemsProcessed(state.iterations());
}

BENCHMARK(BM_RegisterDurable)->Arg(1)->Arg(16)->Arg(64)->Arg(256)->UseRealTime();

void BM_HealthQueryOf40(benchmark::State& state) {
    World world(false);
    for (int i = 0; i < 40; ++i) world.add(i);
    world.wait_for(0);
    for (auto _ : state) world.ask({.target = "/v1/health/service/api"});
    state.SetItemsProcessed(state.iterations());
}

BENCHMARK(BM_HealthQueryOf40);

// Every query finds a new index, as if each were the first after a change.
void BM_HealthQueryOf40AfterAChange(benchmark::State& state) {
    World world(false);
    for (int i = 0; i < 40; ++i) world.add(i);
    world.wait_for(0);
    int i = 0;
    for (auto _ : state) {
        http::Request change{.method = "PUT"};
        change.target = i++ % 2 == 0 ? "/v1/agent/check/pass/service:api-0"
                                     : "/v1/agent/check/fail/service:api-0";
        world.ask(std::move(change));
        world.wait_for(0);
        world.ask({.target = "/v1/health/service/api"});
    }
    state.SetItemsProcessed(state.iterations());
}

BENCHMARK(BM_HealthQueryOf40AfterAChange);

}  // namespace
}  // namespace datapunk::mesh::server
