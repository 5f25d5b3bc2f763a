// The wall clock is set while services are followed: what is known stays, and stays as old as it
// is.

#include <gmock/gmock.h>

#include "discovery/fake_registry.h"
#include "discovery/service_discovery.h"
#include "registry/test_jumping_loop.h"

namespace datapunk::mesh::discovery {
namespace {

using namespace std::chrono_literals;

class DiscoveryClockJump : public testing::TestWithParam<Duration> {
  public:
    Result<EndpointSetPtr> discover() {
        return *sim::run_on(loop, discovery.discover("api", true, loop.now() + 5s));
    }

    void add(const std::string& id) {
        registry.put({.id = id, .service = "api", .host = "10.0.0.1", .port = 80});
    }

    registry::JumpingLoop loop;
    FakeRegistry registry{loop};
    ServiceDiscovery discovery{loop, registry, {}, core::Logger()};
};

TEST_P(DiscoveryClockJump, TheCacheIsServedAsLongAsItsTimeToLiveAndNoLonger) {
    add("a");
    ASSERT_TRUE(discover());
    EXPECT_EQ(registry.queries["api"], 1);
    loop.set_wall_clock(GetParam());
    loop.run_for(1s);
    ASSERT_TRUE(discover());
    EXPECT_EQ(registry.queries["api"], 1) << "it is a second old";
    loop.run_for(40s);  // 30 s, and a fifth of jitter
    ASSERT_TRUE(discover());
    EXPECT_EQ(registry.queries["api"], 2);
}

TEST_P(DiscoveryClockJump, AWatchHearsOfChangesAndOfNothingElse) {
    add("a");
    int changes = 0;
    EndpointSetPtr last;
    const Watch watch = *discovery.watch("api", [&](const EndpointChange& change) {
        ++changes;
        last = change.all;
    });
    loop.run_for(1s);
    EXPECT_EQ(changes, 1);
    loop.set_wall_clock(GetParam());
    loop.run_for(10min);
    EXPECT_EQ(changes, 1);
    EXPECT_FALSE(last->stale);
    registry.set_down(true);
    loop.run_for(1min);
    loop.set_wall_clock(-2 * GetParam());
    loop.run_for(1h);
    EXPECT_EQ(last->endpoints.size(), 1U) << "an outage takes nothing away";
    registry.set_down(false);
    add("b");
    loop.run_for(1min);
    EXPECT_EQ(last->endpoints.size(), 2U);
}

INSTANTIATE_TEST_SUITE_P(
    AYear, DiscoveryClockJump, testing::Values(Duration(24h * 365), Duration(-24h * 365))
);

}  // namespace
}  // namespace datapunk::mesh::discovery
