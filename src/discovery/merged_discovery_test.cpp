// Discovery over several registries that fail one by one.

#include <gmock/gmock.h>

#include "discovery/fake_registry.h"
#include "discovery/service_discovery.h"
#include "registry/merged/merged_backend.h"
#include "sim/run.h"
#include "sim/sim_loop.h"

namespace datapunk::mesh::discovery {
namespace {

using namespace std::chrono_literals;
using registry::merged::MergeConfig;
using registry::merged::MergeMode;
using testing::ElementsAre;

// A FakeRegistry that the test keeps.
class Lent final : public registry::Backend {
  public:
    explicit Lent(FakeRegistry& to) : to_(to) {}

    std::string_view kind() const noexcept override { return to_.kind(); }

    io::Task<Result<registry::Answer>> wait(
        std::string service, std::uint64_t after, Duration longest, Instant deadline
    ) override {
        return to_.wait(std::move(service), after, longest, deadline);
    }

    io::Task<Result<>> register_service(ServiceConfig config, Instant deadline) override {
        return to_.register_service(std::move(config), deadline);
    }

    io::Task<Result<>> deregister_service(std::string id, Instant deadline) override {
        return to_.deregister_service(std::move(id), deadline);
    }

    io::Task<Result<bool>> has_service(std::string id, Instant deadline) override {
        return to_.has_service(std::move(id), deadline);
    }

    io::Task<Result<>> heartbeat(std::string id, Health health, std::string note, Instant deadline)
        override {
        return to_.heartbeat(std::move(id), health, std::move(note), deadline);
    }

    io::Task<Result<std::vector<registry::ServiceSummary>>> services(Instant deadline) override {
        return to_.services(deadline);
    }

  private:
    FakeRegistry& to_;
};

class MergedDiscovery : public testing::Test {
  public:
    void start(MergeConfig config) {
        std::vector<registry::merged::MergeMember> members;
        members.push_back({.name = "one", .backend = std::make_unique<Lent>(one)});
        members.push_back({.name = "two", .backend = std::make_unique<Lent>(two)});
        merged = *registry::merged::MergedBackend::create(loop, std::move(members), config);
        discovery.emplace(loop, *merged, ServiceDiscoveryConfig{}, core::Logger());
        watch = *discovery->watch("api", [this](const EndpointChange& change) {
            heard.clear();
            for (const ServiceEndpoint& e : change.all->endpoints) heard.push_back(e.id);
            fewest = std::min(fewest, heard.size());
        });
        loop.run_for(1s);
        fewest = heard.size();
    }

    void put(FakeRegistry& registry, const std::string& id, std::uint16_t port) {
        registry.put({.id = id, .service = "api", .host = "10.0.0.1", .port = port});
    }

    Result<EndpointSetPtr> discover() {
        auto result = sim::run_on(loop, discovery->discover("api", false, loop.now() + 20s), 10min);
        return result ? *std::move(result) : Error{.what = "it did not end"};
    }

    // Of every service, by name.
    bool discover_all() {
        return sim::run_on(loop, merged->services(loop.now() + 20s), 10min)->ok();
    }

    std::uint16_t watch_port(const std::string& id) {
        const ServiceEndpoint* found = discovery->known("api")->find(id);
        return found == nullptr ? std::uint16_t{0} : found->port;
    }

    sim::SimLoop loop{sim::seed_for_test(1)};
    FakeRegistry one{loop};
    FakeRegistry two{loop};
    std::unique_ptr<registry::merged::MergedBackend> merged;
    std::optional<ServiceDiscovery> discovery;
    Watch watch;
    std::vector<std::string> heard;
    std::size_t fewest = 99;
};

TEST_F(MergedDiscovery, HearsOfChangesInEither) {
    put(one, "a", 1);
    put(two, "b", 2);
    start({.rules = {.mode = MergeMode::all}});
    EXPECT_THAT(heard, ElementsAre("a", "b"));
    put(two, "c", 3);
    loop.run_for(100ms);
    EXPECT_THAT(heard, ElementsAre("a", "b", "c"));
    put(one, "d", 4);
    loop.run_for(200ms);
    EXPECT_THAT(heard, ElementsAre("a", "b", "c", "d"));
    one.remove("api", "a");
    loop.run_for(1s);
    EXPECT_THAT(heard, ElementsAre("b", "c", "d"));
}

TEST_F(MergedDiscovery, AMemberThatIsAwayForADayKeepsItsPartAndTheOthersNewsGoOn) {
    put(one, "a", 1);
    put(two, "b", 2);
    start({.rules = {.mode = MergeMode::all}});
    one.set_down(true);
    loop.run_for(12h);
    put(two, "c", 3);
    loop.run_for(1s);
    EXPECT_THAT(heard, ElementsAre("a", "b", "c"));
    loop.run_for(12h);
    EXPECT_EQ(fewest, 2U);
    EXPECT_TRUE(discover());
    put(one, "d", 4);
    one.set_down(false);
    loop.run_for(1min);
    EXPECT_THAT(heard, ElementsAre("a", "b", "c", "d"));
}

TEST_F(MergedDiscovery, AMemberThatHangsDelaysOnlyTheFirstAnswer) {
    put(two, "b", 2);
    one.is_silent = true;
    start({.rules = {.mode = MergeMode::all}, .patience = 1s});
    loop.run_for(1s);
    EXPECT_THAT(heard, ElementsAre("b"));
    const Instant begun = loop.now();
    put(two, "c", 3);
    loop.run_for(100ms);
    EXPECT_THAT(heard, ElementsAre("b", "c"));
    EXPECT_LE(loop.now() - begun, 110ms);
}

TEST_F(MergedDiscovery, AMemberThatLosesItsDataIsNotBelievedAtOnce) {
    for (int i = 0; i < 3; ++i)
        put(one, "a" + std::to_string(i), static_cast<std::uint16_t>(i + 1));
    for (int i = 0; i < 9; ++i)
        put(two, "b" + std::to_string(i), static_cast<std::uint16_t>(i + 11));
    start({.rules = {.mode = MergeMode::all}});
    ASSERT_EQ(heard.size(), 12U);
    one.wipe();         // a quarter of all: alone, that would be no reason to doubt
    loop.run_for(40s);  // its index went backwards: noticed when the wait is over
    EXPECT_EQ(heard.size(), 12U);
    EXPECT_GE(discovery->stats().index_resets, 1U);
    loop.run_for(2min);
    EXPECT_EQ(heard.size(), 9U) << "confirmed";
}

TEST_F(MergedDiscovery, AllAwayIsAnOutageAsOfOne) {
    put(one, "a", 1);
    put(two, "b", 2);
    start({.rules = {.mode = MergeMode::all}});
    one.set_down(true);
    two.set_down(true);
    loop.run_for(24h);
    EXPECT_THAT(heard, ElementsAre("a", "b"));
    EXPECT_EQ(fewest, 2U);
    EXPECT_FALSE(discover());
    EXPECT_TRUE(discovery->known("api")->stale);
    two.set_down(false);
    loop.run_for(1min);
    EXPECT_FALSE(discovery->known("api")->stale);
    EXPECT_THAT(heard, ElementsAre("a", "b"));
}

TEST_F(MergedDiscovery, TheSecondStepsInWhenTheFirstIsAwayForLongAndLeavesAgain) {
    put(one, "a", 1);
    put(two, "b", 2);
    start({});
    EXPECT_THAT(heard, ElementsAre("a"));
    one.set_down(true);
    loop.run_for(29s);
    EXPECT_THAT(heard, ElementsAre("a"));
    loop.run_for(15s);  // and the removal of "a" is confirmed
    EXPECT_THAT(heard, ElementsAre("b"));
    one.set_down(false);
    loop.run_for(2min);
    EXPECT_THAT(heard, ElementsAre("a"));
    EXPECT_GE(fewest, 1U);
}

TEST_F(MergedDiscovery, AMemberThatWantsToBeLeftAloneIsWhileTheOthersNewsGoOn) {
    put(one, "a", 1);
    put(two, "b", 2);
    start({.rules = {.mode = MergeMode::all}});
    one.retry_after = 40s;
    one.set_down(true);
    loop.run_for(100ms);
    one.set_down(false);
    const int asked = one.queries["api"];
    for (std::uint16_t port = 3; port < 13; ++port) {
        put(two, "b", port);
        loop.run_for(3s);
        EXPECT_EQ(watch_port("b"), port);
    }
    EXPECT_TRUE(discover()) << "the other one's word";
    EXPECT_TRUE(discover_all());
    EXPECT_EQ(one.queries["api"], asked) << "30 s of 40";
    put(one, "c", 20);
    loop.run_for(20s);
    EXPECT_GT(one.queries["api"], asked);
    EXPECT_THAT(heard, ElementsAre("a", "b", "c"));
}

TEST_F(MergedDiscovery, ThatBothWantToBeLeftAloneIsSaidAndKept) {
    put(one, "a", 1);
    put(two, "b", 2);
    start({.rules = {.mode = MergeMode::all}});
    one.retry_after = 20s;
    two.retry_after = 40s;
    one.set_down(true);
    two.set_down(true);
    loop.run_for(100ms);
    one.set_down(false);
    two.set_down(false);
    const int asked = one.queries["api"];
    const auto refused = discover();
    ASSERT_FALSE(refused);
    EXPECT_GT(refused.error().retry_after, 15s);
    EXPECT_LE(refused.error().retry_after, 20s) << "until the first of them may be asked";
    loop.run_for(15s);
    EXPECT_EQ(one.queries["api"], asked);
    const int other = two.queries["api"];
    put(one, "c", 3);
    loop.run_for(15s);
    EXPECT_THAT(heard, ElementsAre("a", "b", "c"));
    EXPECT_EQ(two.queries["api"], other) << "30 s of 40";
}

TEST_F(MergedDiscovery, AMemberThatFailsIsAskedAtItsPaceHoweverMuchNewsTheOtherHas) {
    put(one, "a", 1);
    put(two, "b", 2);
    start({.rules = {.mode = MergeMode::all}});
    one.set_down(true);
    loop.run_for(1min);
    const int asked = one.queries["api"];
    for (std::uint16_t port = 0; port < 600; ++port) {
        put(two, "b", static_cast<std::uint16_t>(100 + port));
        loop.run_for(100ms);
    }
    EXPECT_LT(one.queries["api"] - asked, 40) << "in a minute, at pauses of up to 10 s";
}

TEST_F(MergedDiscovery, AnyFaultsInOneOfThemNeverEmptyTheSet) {
    const std::uint64_t seed = sim::seed_for_test(3);
    SCOPED_TRACE(sim::seed_hint(seed));
    core::Rng rng(seed);
    put(one, "a", 1);
    put(two, "b", 2);
    start({.rules = {.mode = MergeMode::all}});
    for (int step = 0; step < 200; ++step) {
        switch (rng.below(4)) {
            case 0:
                one.set_down(rng.chance(0.5));
                break;
            case 1:
                one.is_silent = rng.chance(0.3);
                break;
            case 2:
                one.latency = Duration(static_cast<std::int64_t>(rng.below(3'000'000'000)));
                break;
            default:
                put(two, "b", static_cast<std::uint16_t>(2 + rng.below(100)));
                break;
        }
        loop.run_for(Duration(static_cast<std::int64_t>(rng.below(20'000'000'000))));
        ASSERT_THAT(heard, ElementsAre("a", "b")) << step;
    }
    EXPECT_EQ(fewest, 2U);
}

}  // namespace
}  // namespace datapunk::mesh::discovery
