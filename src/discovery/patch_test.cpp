// A registry that says only what has changed: what discovery makes of it.

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "discovery/fake_registry.h"
#include "discovery/service_discovery.h"
#include "sim/run.h"
#include "sim/sim_loop.h"

namespace datapunk::mesh::discovery {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

class Patches : public testing::Test {
  public:
    Patches() {
        registry.tells_patches = true;
        for (const char* id : {"a", "b", "c", "d"}) put(id);
        watch = *discovery.watch("api", [this](const EndpointChange& change) {
            heard.push_back(change);
        });
        loop.run_for(1s);
    }

    void put(const std::string& id, std::uint16_t port = 80) {
        registry.put({.id = id, .service = "api", .host = "10.0.0.1", .port = port});
    }

    static std::vector<std::string> ids(const std::vector<ServiceEndpoint>& endpoints) {
        std::vector<std::string> out;
        for (const ServiceEndpoint& one : endpoints) out.push_back(one.id);
        return out;
    }

    sim::SimLoop loop{sim::seed_for_test(1)};
    FakeRegistry registry{loop};
    ServiceDiscovery discovery{loop, registry, {}, core::Logger()};
    std::vector<EndpointChange> heard;
    Watch watch;
};

TEST_F(Patches, AreToldToWatchersAsTheyCame) {
    put("b", 81);
    put("e");
    registry.remove("api", "d");
    loop.run_for(1s);
    ASSERT_GE(heard.size(), 2U);
    EXPECT_THAT(ids(heard.back().all->endpoints), ElementsAre("a", "b", "c", "e"));
    EXPECT_EQ(heard.back().all->endpoints[1].port, 81);
    EXPECT_EQ(heard.back().all->index, registry.index);
    EXPECT_GT(registry.patches, 0);
    // Who held the set before still has it.
    EXPECT_THAT(ids(heard.front().all->endpoints), ElementsAre("a", "b", "c", "d"));
    EXPECT_EQ(heard.front().all->endpoints[1].port, 80);
}

TEST_F(Patches, WithoutNewsConfirmWhatIsKnown) {
    loop.run_for(10min);
    EXPECT_EQ(heard.size(), 1U);
    const EndpointSetPtr known = discovery.known("api");
    EXPECT_LT(loop.now() - known->learned_at, 1min);
    discovery.for_each_status([&](const SetStatus& status) {
        EXPECT_EQ(status.learned_at, known->learned_at);
        EXPECT_FALSE(status.stale);
    });
    EXPECT_EQ(registry.wholes, 1);
}

TEST_F(Patches, ThatTakeMostAwayAreConfirmedFirst) {
    for (const char* id : {"a", "b", "c"}) registry.remove("api", id);
    loop.run_for(1s);
    EXPECT_EQ(discovery.known("api")->endpoints.size(), 4U);
    EXPECT_GT(discovery.stats().held_back, 0U);
    loop.run_for(1min);
    EXPECT_THAT(ids(discovery.known("api")->endpoints), ElementsAre("d"));
}

TEST_F(Patches, ThatTakeAwayWhatWeTookOutOurselvesAreBelieved) {
    for (const char* id : {"a", "b", "c", "d"}) {
        registry.remove("api", id);
        discovery.note_deregistered("api", id);
    }
    loop.run_for(1s);
    EXPECT_THAT(discovery.known("api")->endpoints, IsEmpty());
}

TEST_F(Patches, AreNotAskedForAfterAFailure) {
    registry.set_down(true);
    loop.run_for(1min);
    put("e");
    registry.set_down(false);
    const int before = registry.wholes;
    loop.run_for(2min);
    EXPECT_GT(registry.wholes, before);
    EXPECT_THAT(ids(discovery.known("api")->endpoints), ElementsAre("a", "b", "c", "d", "e"));
}

TEST_F(Patches, AreNotReliedOnForEver) {
    loop.run_for(24h);
    EXPECT_GE(registry.wholes, 20);  // about once an hour
    EXPECT_LE(registry.wholes, 32);
    EXPECT_GT(registry.patches, 1000);
}

}  // namespace
}  // namespace datapunk::mesh::discovery
