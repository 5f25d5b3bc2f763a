// What a mesh has written, its own callers see: how long that is waited for, in virtual time.

#include "mesh/own_writes.h"

#include <gtest/gtest.h>

#include "discovery/fake_registry.h"
#include "sim/run.h"
#include "sim/sim_loop.h"

namespace datapunk::mesh::internal {
namespace {

using namespace std::chrono_literals;

class OwnWritesTest : public testing::Test {
  public:
    OwnWritesTest() {
        registry.put({.id = "a", .service = "api", .host = "10.0.0.1", .port = 80});
        watch = *discovery.watch("api", [](const EndpointChange&) {});
        loop.run_for(1s);
    }

    // How long it was waited for.
    Duration see_gone(const std::function<bool()>& is_back = {}) {
        const Instant begun = loop.now();
        EXPECT_TRUE(sim::run_on(loop, writes.see_gone("api", "a", is_back)));
        return loop.now() - begun;
    }

    sim::SimLoop loop{sim::seed_for_test(1)};
    discovery::FakeRegistry registry{loop};
    discovery::ServiceDiscovery discovery{loop, registry, {}, core::Logger()};
    OwnWrites writes{loop, discovery};
    Watch watch;
};

TEST_F(OwnWritesTest, WhatIsGoneIsSeenAtTheNextAnswer) {
    registry.remove("api", "a");
    EXPECT_LT(see_gone(), 100ms);
    EXPECT_TRUE(discovery.known("api")->endpoints.empty()) << "not held back: it was expected";
}

TEST_F(OwnWritesTest, ARegistryThatStillShowsItIsWaitedForAMoment) {
    const Duration took = see_gone();
    EXPECT_GT(took, 900ms);
    EXPECT_LE(took, 1s);
}

TEST_F(OwnWritesTest, WhatIsRegisteredAgainMeanwhileIsNotWaitedFor) {
    bool is_back = true;
    EXPECT_EQ(see_gone([&] { return is_back; }), 0s);
    is_back = false;
    int asked = 0;
    EXPECT_LT(see_gone([&] { return ++asked > 2; }), 100ms);
}

}  // namespace
}  // namespace datapunk::mesh::internal
