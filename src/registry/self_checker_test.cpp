#include "registry/self_checker.h"

#include <gmock/gmock.h>

#include <vector>

#include "sim/run.h"
#include "sim/sim_processes.h"
#include "sim/sim_world.h"

namespace datapunk::mesh::registry {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr Capabilities kRunsChecks{};
constexpr Capabilities kLease{.kept_alive_by = KeptAliveBy::lease};
constexpr Capabilities kReadOnly{.can_register = false, .kept_alive_by = KeptAliveBy::nobody};

ServiceConfig web() {
    ServiceConfig config{.name = "web", .id = "web-1", .host = "10.0.0.2", .port = 80};
    config.check.kind = HealthCheck::Kind::tcp;
    config.check.interval = 1s;
    config.check.successes_before_passing = 1;
    config.check.failures_before_critical = 2;
    return config;
}

TEST(SelfCheck, IsNeededWhereTheRegistryRunsNoneOrMustNotKnow) {
    ServiceConfig config = web();
    EXPECT_FALSE(runs_here(config.check, kRunsChecks));
    EXPECT_TRUE(runs_here(config.check, kLease));
    EXPECT_FALSE(runs_here(config.check, kReadOnly));
    config.check.expect = "+OK";
    EXPECT_TRUE(runs_here(config.check, kRunsChecks));
    config.check.kind = HealthCheck::Kind::ttl;
    EXPECT_FALSE(runs_here(config.check, kLease));
}

TEST(SelfCheck, TheRegistryIsToldOfAHeartbeatOnly) {
    ServiceConfig config = web();
    EXPECT_EQ(as_announced(config, kRunsChecks), config);
    config.check.kind = HealthCheck::Kind::http;
    config.check.bearer_token = "secret";
    config.check.initial = Health::passing;
    config.check.deregister_after = 90s;
    const ServiceConfig told = as_announced(config, kRunsChecks);
    EXPECT_EQ(told.check.kind, HealthCheck::Kind::ttl);
    EXPECT_EQ(told.check.bearer_token, "");
    EXPECT_EQ(told.check.ttl, config.check.ttl);
    EXPECT_EQ(told.check.initial, Health::passing);
    EXPECT_EQ(told.check.deregister_after, 90s);
    EXPECT_EQ(told.host, config.host);
}

class SelfCheckerTest : public testing::Test {
  protected:
    sim::SimWorld world_{sim::seed_for_test(3)};
    std::vector<std::pair<std::string, Health>> reports_;
    SelfChecker::Report report_ = [this](const std::string& id, Health health, std::string) {
        if (reports_.empty() || reports_.back() != std::pair(id, health)) {
            reports_.emplace_back(id, health);
        }
    };
};

TEST_F(SelfCheckerTest, ReportsWhatComesOutUntilItIsStopped) {
    SelfChecker checker(world_.host("10.0.0.1"), report_);
    ASSERT_TRUE(checker.start(web()));
    {
        const auto listener = world_.host("10.0.0.2").listen(*io::parse_ip("10.0.0.2", 80), {});
        world_.loop().run_for(3s);
        EXPECT_THAT(reports_, ElementsAre(std::pair("web-1", Health::passing)));
    }
    world_.loop().run_for(5s);
    EXPECT_THAT(
        reports_,
        ElementsAre(std::pair("web-1", Health::passing), std::pair("web-1", Health::critical))
    );
    checker.stop("web-1");
    reports_.clear();
    world_.loop().run_for(5s);
    EXPECT_THAT(reports_, IsEmpty());
    EXPECT_EQ(checker.size(), 0U);
}

TEST_F(SelfCheckerTest, CallsTheFunctionOfACustomCheck) {
    SelfChecker checker(world_.host("10.0.0.1"), report_);
    ServiceConfig config = web();
    Health health = Health::warning;
    int calls = 0;
    config.check = HealthCheck::calling([&] {
        ++calls;
        return CheckResult{health, "so so"};
    });
    config.check.interval = 1s;
    config.check.successes_before_passing = 1;
    config.check.failures_before_critical = 1;
    ASSERT_TRUE(checker.start(config));
    world_.loop().run_for(5s);
    health = Health::critical;
    world_.loop().run_for(2s);
    EXPECT_THAT(
        reports_,
        ElementsAre(std::pair("web-1", Health::warning), std::pair("web-1", Health::critical))
    );
    EXPECT_GE(calls, 6);
}

TEST_F(SelfCheckerTest, ProgramsAreRunOnlyIfThatIsEnabled) {
    ServiceConfig config = web();
    config.check.kind = HealthCheck::Kind::exec;
    config.check.command = {"/bin/up"};
    SelfChecker off(world_.host("10.0.0.1"), report_);
    const auto refused = off.start(config);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::denied);
    sim::SimProcesses processes(world_.loop());
    processes.script("/bin/up", {.exit_status = 0});
    SelfChecker on(world_.host("10.0.0.1"), report_, &processes);
    ASSERT_TRUE(on.start(config));
    world_.loop().run_for(3s);
    EXPECT_THAT(reports_, ElementsAre(std::pair("web-1", Health::passing)));
}

TEST_F(SelfCheckerTest, AnAliasIsForARegistryToFollow) {
    SelfChecker checker(world_.host("10.0.0.1"), report_);
    ServiceConfig config = web();
    config.check.kind = HealthCheck::Kind::alias;
    config.check.alias = "db-1";
    EXPECT_EQ(checker.start(config).error().code, Code::invalid);
}

}  // namespace
}  // namespace datapunk::mesh::registry
