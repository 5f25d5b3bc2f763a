// What an earlier run left is removed, and nothing else is.

#include <gmock/gmock.h>

#include <optional>

#include "io/incarnation.h"
#include "mesh/registrar.h"
#include "mesh/test_backend.h"
#include "sim/run.h"
#include "sim/sim_loop.h"

namespace datapunk::mesh::internal {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::UnorderedElementsAre;

class ReapTest : public ::testing::Test {
  protected:
    void leave(const std::string& id, const std::string& owner, const std::string& run) {
        ServiceConfig config{.name = "web", .id = id, .host = "10.0.0.1", .port = 80};
        if (!owner.empty()) config.meta[std::string(meta_key::owner)] = owner;
        if (!run.empty()) config.meta[std::string(meta_key::incarnation)] = run;
        registry_.services[id] = config;
    }

    Registrar& start(const std::string& configured) {
        who_ = Ownership::of_this_process(configured);
        return registrar_.emplace(RegistrarParts{
            .loop = loop_,
            .backend = backend_,
            .log = {},
            .metrics = metrics_,
            .timeout = seconds(1),
            .who = who_,
        });
    }

    std::vector<std::string> there() const {
        std::vector<std::string> ids;
        for (const auto& [id, config] : registry_.services) ids.push_back(id);
        return ids;
    }

    sim::SimLoop loop_{sim::seed_for_test(1)};
    TestBackend::State registry_;
    TestBackend backend_{loop_, registry_};
    metrics::MetricRegistry metrics_;
    Ownership who_;
    std::optional<Registrar> registrar_;
    // This process, had it begun at another time: a run that has ended.
    const std::string dead_ = io::incarnation() + "1";
    const std::string elsewhere_ = "0" + io::incarnation();
};

TEST_F(ReapTest, OfItsOwnHostOnlyWhatTheKernelKnowsToHaveEnded) {
    const std::string host = io::host_name();
    leave("dead", host, dead_);
    leave("ours", host, io::incarnation());
    leave("elsewhere", host, elsewhere_);
    leave("foreign", "somebody", dead_);
    leave("unmarked", "", "");
    leave("half", host, "");
    start("");
    loop_.run_for(minutes(1));
    EXPECT_THAT(there(), UnorderedElementsAre("ours", "elsewhere", "foreign", "unmarked", "half"));
}

TEST_F(ReapTest, OfAConfiguredOwnerEveryEarlierRun) {
    leave("dead", "api on n1", dead_);
    leave("ours", "api on n1", io::incarnation());
    leave("elsewhere", "api on n1", elsewhere_);
    leave("other", "api on n2", elsewhere_);
    start("api on n1");
    loop_.run_for(minutes(1));
    EXPECT_THAT(there(), UnorderedElementsAre("ours", "other"));
}

TEST_F(ReapTest, WaitsForTheRegistryAndThenLooksOnce) {
    leave("dead", io::host_name(), dead_);
    registry_.is_down = true;
    start("");
    loop_.run_for(minutes(1));
    EXPECT_TRUE(registry_.services.contains("dead"));
    registry_.is_down = false;
    loop_.run_for(seconds(10));
    EXPECT_FALSE(registry_.services.contains("dead"));
    registry_.log.clear();
    loop_.run_for(minutes(10));
    EXPECT_EQ(registry_.count("services"), 0U);
}

TEST_F(ReapTest, WhatIsAnnouncedAnewUnderTheIdOfAnOrphanStays) {
    for (int delay_ms = 0; delay_ms < 1500; delay_ms += 10) {
        registry_ = {};
        leave("web-1", io::host_name(), dead_);
        Registrar& registrar = start("");
        loop_.run_for(std::chrono::milliseconds(delay_ms));
        const ServiceConfig config{
            .name = "web",
            .id = "web-1",
            .host = "10.0.0.1",
            .port = 81,
            .check = {.kind = HealthCheck::Kind::none}
        };
        ASSERT_TRUE(*sim::run_on(loop_, registrar.announce(config, loop_.now() + seconds(5))));
        loop_.run_for(seconds(5));
        ASSERT_EQ(registry_.services["web-1"].port, 81);
        EXPECT_EQ(
            registry_.services["web-1"].meta.at(std::string(meta_key::incarnation)),
            io::incarnation()
        );
    }
}

TEST_F(ReapTest, ARegistrationWithoutRoomForMarksGoesWithout) {
    Registrar& registrar = start("");
    ServiceConfig config{
        .name = "web",
        .id = "web-1",
        .host = "10.0.0.1",
        .port = 81,
        .check = {.kind = HealthCheck::Kind::none}
    };
    for (int i = 0; i < 63; ++i) config.meta["k" + std::to_string(i)] = "v";
    ASSERT_TRUE(*sim::run_on(loop_, registrar.announce(config, loop_.now() + seconds(5))));
    EXPECT_EQ(registry_.services["web-1"].meta.size(), 63U);
}

}  // namespace
}  // namespace datapunk::mesh::internal
