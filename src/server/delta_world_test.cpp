// A client of ours that follows a service of our registry over a network that breaks: whatever
// happens to the two, in the end it knows what the registry knows.

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "http/server.h"
#include "registry/consul/consul_backend.h"
#include "registry/embedded/embedded_backend.h"
#include "server/delta.h"
#include "server/test_server.h"
#include "sim/sim_world.h"

namespace datapunk::mesh::server {
namespace {

using namespace std::chrono_literals;
using registry::Answer;
using registry::News;
using registry::Patch;

// As discovery does it, without anything that doubts the registry.
class FollowingClient {
  public:
    FollowingClient(io::Loop& loop, registry::Backend& backend) : loop_(loop), backend_(backend) {
        group_.spawn(run());
    }

    std::vector<ServiceEndpoint> endpoints;
    int patches = 0;
    int wholes = 0;

  private:
    io::Task<void> run() {
        registry::KnownAnswer known;
        while (true) {
            const std::string service = "api";
            const std::uint64_t before = known.index;
            const Instant deadline = loop_.now() + 40s;
            auto news = co_await backend_.follow(service, std::move(known), 20s, deadline);
            known = {};
            if (!news) {
                co_await io::sleep_for(loop_, 200ms);
                continue;
            }
            learn(*news);
            const std::uint64_t index = index_;
            if (index >= before) {
                known.index = index;
                known.memory = std::move(news->memory);
            }
        }
    }

    void learn(const News& news) {
        if (const auto* whole = std::get_if<Answer>(&news.what)) {
            ++wholes;
            index_ = whole->index;
            endpoints = whole->endpoints;
            return;
        }
        ++patches;
        const auto& patch = std::get<Patch>(news.what);
        index_ = patch.index;
        for (const std::string& id : patch.removed) {
            std::erase_if(endpoints, [&](const auto& one) { return one.id == id; });
        }
        for (const ServiceEndpoint& one : patch.changed) {
            std::erase_if(endpoints, [&](const auto& other) { return other.id == one.id; });
            endpoints.push_back(one);
        }
        const auto by_id = [](const auto& a, const auto& b) { return a.id < b.id; };
        std::sort(endpoints.begin(), endpoints.end(), by_id);
    }

    io::Loop& loop_;
    registry::Backend& backend_;
    std::uint64_t index_ = 0;
    io::TaskGroup group_;
};

class DeltaWorld : public testing::Test {
  public:
    explicit DeltaWorld(std::uint64_t seed = sim::seed_for_test(1)) : world_(seed), rng_(seed) {
        open();
        fill(60);
    }

    // A registry that knows nothing.
    void open() {
        listener_.reset();
        server_.reset();
        embedded_.reset();
        auto opened = registry::embedded::EmbeddedRegistry::open(
            world_.loop(),
            std::make_unique<registry::embedded::VolatileLog>(),
            test_registry_config(),
            core::Logger()
        );
        ASSERT_TRUE(opened);
        registry_ = *std::move(opened);
        embedded_ = std::make_unique<registry::embedded::EmbeddedBackend>(*registry_);
        server_ = std::make_unique<RegistryServer>(*registry_, RegistryServerConfig());
        serve();
    }

    void serve() {
        listener_ = std::make_unique<http::Server>(
            world_.host(kRegistry), *server_, http::ServerConfig(), core::Logger()
        );
        ASSERT_TRUE(listener_->listen(*io::parse_ip(kRegistry, 8500)));
    }

    // Another process with the same state: as after a restart.
    void restart() {
        listener_.reset();
        server_ = std::make_unique<RegistryServer>(*registry_, RegistryServerConfig());
        serve();
    }

    void fill(int count) {
        for (int i = 0; i < count; ++i) add(fmt::format("i{:03}", i));
    }

    void ask(std::string method, std::string target, std::string body = {}) {
        Desk(world_.loop(), *server_).ask(std::move(method), std::move(target), std::move(body));
    }

    void add(const std::string& id) {
        ask("PUT",
            "/v1/agent/service/register",
            fmt::format(
                R"({{"ID":"{}","Name":"api","Port":{},"Check":{{"TTL":"1h","Status":"passing"}}}})",
                id,
                80 + rng_.below(3)
            ));
    }

    void happen() {
        const std::string id = fmt::format("i{:03}", rng_.below(90));
        switch (rng_.below(10)) {
            case 0:
            case 1:
                return add(id);
            case 2:
                return ask("PUT", "/v1/agent/service/deregister/" + id);
            case 3:
                return ask(
                    "PUT",
                    "/v1/catalog/register",
                    fmt::format(
                        R"({{"Node":"far","Address":"10.0.0.9","Service":{{"ID":"{}","Service":"api","Port":81}}}})",
                        "far" + id
                    )
                );
            case 4:
                return ask(
                    "PUT",
                    "/v1/catalog/deregister",
                    fmt::format(R"({{"Node":"far","ServiceID":"{}"}})", "far" + id)
                );
            default:
                return ask(
                    "PUT",
                    fmt::format(
                        "/v1/agent/check/{}/service:{}", rng_.chance(0.5) ? "pass" : "fail", id
                    )
                );
        }
    }

    std::vector<ServiceEndpoint> truth() {
        auto answer = sim::run_on(
            world_.loop(), embedded_->wait("api", 0, Duration::zero(), world_.loop().now() + 1s)
        );
        return answer && *answer ? (*answer)->endpoints : std::vector<ServiceEndpoint>();
    }

    static constexpr const char* kSelf = "10.0.0.1";
    static constexpr const char* kRegistry = "10.0.0.2";

    sim::SimWorld world_;
    core::Rng rng_;
    std::unique_ptr<registry::embedded::EmbeddedRegistry> registry_;
    std::unique_ptr<registry::embedded::EmbeddedBackend> embedded_;
    std::unique_ptr<RegistryServer> server_;
    std::unique_ptr<http::Server> listener_;
    std::unique_ptr<registry::consul::ConsulBackend> backend_ =
        *registry::consul::ConsulBackend::create(world_.host(kSelf), {.host = kRegistry});
};

TEST_F(DeltaWorld, TheClientKnowsWhatTheRegistryKnowsAndIsToldLittle) {
    FollowingClient client(world_.loop(), *backend_);
    world_.loop().run_for(1s);
    ASSERT_EQ(client.endpoints, truth());
    for (int round = 0; round < 300; ++round) {
        for (std::uint64_t left = 1 + rng_.below(3); left > 0; --left) happen();
        world_.loop().run_for(50ms);
        ASSERT_EQ(client.endpoints, truth()) << round;
    }
    EXPECT_GT(client.patches, 200);
    EXPECT_EQ(backend_->misfits(), 0U);
}

TEST_F(DeltaWorld, AQuietServiceIsConfirmedWithoutBeingTold) {
    FollowingClient client(world_.loop(), *backend_);
    world_.loop().run_for(10min);
    EXPECT_EQ(client.wholes, 1);
    EXPECT_GT(client.patches, 20);
    EXPECT_EQ(client.endpoints, truth());
}

TEST_F(DeltaWorld, SurvivesWhateverHappens) {
    FollowingClient client(world_.loop(), *backend_);
    int emptied = 0;
    for (int round = 0; round < 300; ++round) {
        happen();
        const std::uint64_t pause = rng_.below(300);
        switch (rng_.below(40)) {
            case 0:
                world_.reset_connections(kRegistry);
                break;
            case 1:
                restart();
                break;
            case 2:
                open();
                fill(static_cast<int>(40 + rng_.below(40)));
                ++emptied;
                break;
            case 3:  // the history does not reach back so far
                world_.partition(kSelf, kRegistry);
                for (int i = 0; i < 60; ++i) happen();
                world_.heal(kSelf, kRegistry);
                break;
            case 4: {
                auto backup = Desk(world_.loop(), *server_).get("/v1/snapshot");
                happen();
                ask("PUT", "/v1/snapshot", std::move(backup));
                break;
            }
            default:
                break;
        }
        world_.loop().run_for(std::chrono::milliseconds(pause));
    }
    world_.loop().run_for(2min);
    EXPECT_EQ(client.endpoints, truth());
    EXPECT_GT(client.patches, 50);
    EXPECT_GT(client.wholes, 5);
    EXPECT_GT(emptied, 0);
    EXPECT_EQ(backend_->misfits(), 0U);
}

TEST_F(DeltaWorld, InOneProcessNothingIsToldTwiceEither) {
    FollowingClient client(world_.loop(), *embedded_);
    for (int round = 0; round < 400; ++round) {
        for (std::uint64_t left = 1 + rng_.below(3); left > 0; --left) happen();
        if (rng_.chance(0.02)) {
            auto backup = Desk(world_.loop(), *server_).get("/v1/snapshot");
            happen();
            ask("PUT", "/v1/snapshot", std::move(backup));
        }
        world_.loop().run_for(10ms);
        ASSERT_EQ(client.endpoints, truth()) << round;
    }
    EXPECT_GT(client.patches, 200);
}

TEST_F(DeltaWorld, AnIdThatTwoNodesUseIsToldInFullForAsLong) {
    for (registry::Backend* backend :
         std::initializer_list<registry::Backend*>{backend_.get(), embedded_.get()}) {
        FollowingClient client(world_.loop(), *backend);
        const auto is_told = [&] {
            world_.loop().run_for(1s);
            return client.endpoints == truth();
        };
        add("i000");
        EXPECT_TRUE(is_told());
        ask("PUT",
            "/v1/catalog/register",
            R"({"Node":"far","Address":"10.0.0.9","Service":{"ID":"i000","Service":"api","Port":81}})"
        );
        EXPECT_TRUE(is_told());
        EXPECT_EQ(client.endpoints[0].id, "i000@far");
        const int patches = client.patches;
        ask("PUT", "/v1/agent/check/fail/service:i001");
        EXPECT_TRUE(is_told());
        EXPECT_EQ(client.patches, patches);
        ask("PUT", "/v1/catalog/deregister", R"({"Node":"far","ServiceID":"i000"})");
        EXPECT_TRUE(is_told());
        ask("PUT", "/v1/agent/check/pass/service:i001");
        EXPECT_TRUE(is_told());
        EXPECT_GT(client.patches, patches);
    }
}

}  // namespace
}  // namespace datapunk::mesh::server
