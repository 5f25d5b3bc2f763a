// Discovery through the Consul backend and real HTTP, over a simulated network that breaks.

#include <gmock/gmock.h>

#include "core/strings.h"
#include "discovery/fake_registry.h"
#include "discovery/service_discovery.h"
#include "http/server.h"
#include "registry/consul/consul_backend.h"
#include "sim/run.h"
#include "sim/sim_world.h"
#include "wire/json_writer.h"
#include "wire/url.h"

namespace datapunk::mesh::discovery {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

// Says in Consul's words what a FakeRegistry knows.
class AgentDoor final : public http::Handler {
  public:
    AgentDoor(io::Loop& loop, FakeRegistry& registry) : loop_(loop), registry_(registry) {}

    io::Task<http::Response> handle(http::Request request) override {
        const auto query = wire::Query::parse(request.query());
        const std::string service(request.path().substr(std::string("/v1/health/service/").size()));
        const std::uint64_t after =
            core::parse_number<std::uint64_t>(query->value("index").value_or("0")).value_or(0);
        const Duration longest = *core::parse_duration(query->value("wait").value_or("0"));
        const Instant deadline = loop_.now() + longest + 1s;
        auto answer = co_await registry_.wait(service, after, longest, deadline);
        if (!answer) co_return http::text_response(500, "No cluster leader");
        std::string body;
        wire::JsonWriter json(body);
        json.begin_array();
        for (const ServiceEndpoint& one : answer->endpoints) {
            json.begin_object().key("Service").begin_object();
            json.key("ID").string(one.id).key("Service").string(one.service);
            json.key("Address").string(one.host).key("Port").number(one.port);
            json.end_object().end_object();
        }
        json.end_array();
        http::Response response = http::json_response(200, std::move(body));
        response.headers.push_back({"X-Consul-Index", std::to_string(answer->index)});
        co_return std::move(response);
    }

  private:
    io::Loop& loop_;
    FakeRegistry& registry_;
};

class ConsulWorld : public testing::Test {
  public:
    ConsulWorld() {
        EXPECT_TRUE(server_.listen(*io::parse_ip(kAgent, 8500)));
        put("a");
        watch_ = *discovery_.watch("api", [this](const EndpointChange& change) {
            last_.clear();
            for (const ServiceEndpoint& one : change.all->endpoints) last_.push_back(one.id);
        });
        world_.loop().run_for(1s);
        EXPECT_THAT(last_, ElementsAre("a"));
    }

    void put(std::string id) {
        registry_.put({.id = std::move(id), .service = "api", .host = "10.0.0.9", .port = 80});
    }

    static constexpr const char* kSelf = "10.0.0.1";
    static constexpr const char* kAgent = "10.0.0.2";

    sim::SimWorld world_{sim::seed_for_test(1)};
    FakeRegistry registry_{world_.loop()};
    AgentDoor door_{world_.loop(), registry_};
    http::Server server_{world_.host(kAgent), door_, {}, core::Logger()};
    std::unique_ptr<registry::consul::ConsulBackend> backend_ =
        *registry::consul::ConsulBackend::create(world_.host(kSelf), {.host = kAgent});
    ServiceDiscovery discovery_{world_.loop(), *backend_, {}, core::Logger()};
    std::vector<std::string> last_;
    Watch watch_;
};

TEST_F(ConsulWorld, AChangeReachesTheWatcherInARoundTrip) {
    put("b");
    world_.loop().run_for(50ms);
    EXPECT_THAT(last_, ElementsAre("a", "b"));
}

TEST_F(ConsulWorld, AnAgentThatFallsSilentIsNoticedAndComesBack) {
    world_.partition(kSelf, kAgent);
    put("b");
    world_.loop().run_for(10min);
    EXPECT_TRUE(discovery_.known("api")->stale);
    EXPECT_THAT(last_, ElementsAre("a"));
    world_.heal(kSelf, kAgent);
    world_.loop().run_for(1min);
    EXPECT_FALSE(discovery_.known("api")->stale);
    EXPECT_THAT(last_, ElementsAre("a", "b"));
}

TEST_F(ConsulWorld, ConnectionsThatAreResetAreMadeAgainUnnoticed) {
    for (int i = 0; i < 20; ++i) {
        world_.reset_connections(kAgent);
        put("b" + std::to_string(i % 10));
        world_.loop().run_for(2s);
    }
    world_.loop().run_for(30s);
    EXPECT_EQ(last_.size(), 11U);
    EXPECT_EQ(discovery_.stats().errors, 0U);  // the client asks again on a fresh connection
}

TEST_F(ConsulWorld, NothingStaysOpenOnceNobodyWatches) {
    watch_.stop();
    world_.loop().run_for(2min);
    EXPECT_EQ(registry_.outstanding(), 0U);
    EXPECT_EQ(server_.connections(), 0U);
}

}  // namespace
}  // namespace datapunk::mesh::discovery
