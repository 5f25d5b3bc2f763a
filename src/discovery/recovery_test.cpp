// How soon after an outage the registry is asked again, and how late if it wants to be left alone.

#include <gmock/gmock.h>

#include "discovery/fake_registry.h"
#include "discovery/service_discovery.h"
#include "metrics/metric_registry.h"
#include "registry/breaker_backend.h"
#include "sim/run.h"
#include "sim/sim_loop.h"

namespace datapunk::mesh::discovery {
namespace {

using namespace std::chrono_literals;

class RecoveryTest : public testing::Test {
  protected:
    RecoveryTest() {
        breaker.on_closed([this] { discovery.note_registry_is_back(); });
        put("a");
    }

    void put(std::string id) {
        registry.put({.id = std::move(id), .service = "api", .host = "10.0.0.1", .port = 80});
    }

    // Something else than discovery asks, as a heartbeat does.
    bool ask_otherwise() {
        return sim::run_on(loop, breaker.has_service("web-1", loop.now() + 1s))->ok();
    }

    Result<EndpointSetPtr> discover(bool use_cache) {
        const Instant deadline = loop.now() + 20s;
        return *sim::run_on(loop, discovery.discover("api", use_cache, deadline), 1min);
    }

    std::size_t known() const { return discovery.known("api")->endpoints.size(); }

    sim::SimLoop loop{sim::seed_for_test(1)};
    metrics::MetricRegistry metrics;
    std::unique_ptr<FakeRegistry> owned = std::make_unique<FakeRegistry>(loop);
    FakeRegistry& registry = *owned;
    ServiceDiscoveryConfig config;
    registry::BreakerBackend breaker{
        loop, std::move(owned), config.registry_breaker, metrics, core::Logger()
    };
    ServiceDiscovery discovery{loop, breaker, config, core::Logger()};
    Watch watch = *discovery.watch("api", [](const EndpointChange&) {});
};

TEST_F(RecoveryTest, WhenTheBreakerClosesDiscoveryAsksAtOnce) {
    loop.run_for(1s);
    ASSERT_EQ(known(), 1U);
    for (int outage = 0; outage < 20; ++outage) {
        registry.set_down(true);
        loop.run_for(10min);  // by now it waits up to half a minute before it tries again
        ASSERT_NE(breaker.state(), resilience::BreakerState::closed);
        const std::size_t before = known();
        put("b" + std::to_string(outage));
        registry.set_down(false);
        while (!ask_otherwise()) loop.run_for(10ms);
        ASSERT_EQ(breaker.state(), resilience::BreakerState::closed);
        loop.run_for(config.reconnect.base + 20ms);
        EXPECT_EQ(known(), before + 1) << "outage " << outage;
        EXPECT_FALSE(discovery.known("api")->stale);
        loop.run_for(1min);
    }
}

TEST_F(RecoveryTest, ARegistryThatWantsToBeLeftAloneIs) {
    loop.run_for(1s);
    registry.retry_after = 40s;
    registry.set_down(true);
    loop.run_for(100ms);
    const int asked = registry.queries["api"];
    registry.set_down(false);
    loop.run_for(30s);
    EXPECT_EQ(registry.queries["api"], asked);
    // Nor for somebody who wants its own word, nor because others are answered.
    const Instant begun = loop.now();
    const auto strict = discover(false);
    ASSERT_FALSE(strict);
    EXPECT_EQ(strict.error().what, "the fake registry is away");
    EXPECT_GT(strict.error().retry_after, 0s);
    EXPECT_TRUE(ask_otherwise());
    discovery.note_registry_is_back();
    EXPECT_EQ((*discover(true))->endpoints.size(), 1U);
    EXPECT_LT(loop.now() - begun, 100ms);
    loop.run_for(9s);
    EXPECT_EQ(registry.queries["api"], asked);
    loop.run_for(2s);
    EXPECT_GT(registry.queries["api"], asked);
    EXPECT_TRUE(discover(false));
}

TEST_F(RecoveryTest, ALongRetryAfterIsNotTakenAtItsWord) {
    loop.run_for(1s);
    registry.retry_after = 24h;
    registry.set_down(true);
    loop.run_for(100ms);
    registry.set_down(false);
    put("b");
    loop.run_for(59s);
    EXPECT_EQ(known(), 1U);
    loop.run_for(2s);
    EXPECT_EQ(known(), 2U);
}

}  // namespace
}  // namespace datapunk::mesh::discovery
