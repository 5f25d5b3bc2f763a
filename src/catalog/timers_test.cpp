#include "catalog/timers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "catalog/test_support.h"

namespace datapunk::mesh::catalog {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

class CheckTimersTest : public testing::Test {
  protected:
    CheckTimersTest() {
        run(local_node());
        run(with_check(web("w1"), ttl_check("c1", 10s)));
        pass();
    }

    void run(Command command) {
        Result<Applied> outcome = catalog.apply(std::move(command));
        ASSERT_TRUE(outcome.ok()) << outcome.error().what;
        timers.sync(catalog, outcome->local_checks, now);
    }

    bool report(Health health, std::string output) {
        const UpdateCheck result = status("c1", health, std::move(output));
        const bool must_log = timers.report(catalog, result, now);
        if (must_log) run(result);
        return must_log;
    }

    void pass() { report(Health::passing, "ok"); }

    std::vector<Command> due() { return timers.due(catalog, now).commands; }

    Catalog catalog;
    CheckTimers timers;
    Instant now{1000s};
};

TEST_F(CheckTimersTest, TurnsCriticalWhenNobodyRenews) {
    EXPECT_EQ(timers.due(catalog, now).next, now + 10s);
    now += 10s - 1ns;
    EXPECT_THAT(due(), IsEmpty());
    now += 1ns;
    const std::vector<Command> expired = due();
    EXPECT_THAT(expired, ElementsAre(Command(status("c1", Health::critical, "TTL expired"))));
    run(expired[0]);
    EXPECT_EQ(timers.due(catalog, now).next, kNever);
}

TEST_F(CheckTimersTest, AHeartbeatRenewsWithoutALogRecord) {
    now += 9s;
    EXPECT_FALSE(report(Health::passing, "ok"));
    EXPECT_EQ(timers.due(catalog, now).next, now + 10s);
}

TEST_F(CheckTimersTest, AsksAgainIfTheExpiryCouldNotBeLogged) {
    now += 10s;
    EXPECT_EQ(due().size(), 1U);
    EXPECT_THAT(due(), IsEmpty());
    now += CheckTimers::kRetry;
    EXPECT_EQ(due().size(), 1U);
}

TEST_F(CheckTimersTest, ItsOwnStandstillIsNotTheServicesFault) {
    now += 10min;
    EXPECT_THAT(due(), IsEmpty());
    now += CheckTimers::kStallGrace;
    EXPECT_EQ(due().size(), 1U);
}

TEST_F(CheckTimersTest, ARestartGivesAFullTtl) {
    now += 9s;
    timers.restart(catalog, now);
    EXPECT_EQ(timers.due(catalog, now).next, now + 10s);
}

TEST_F(CheckTimersTest, NewOutputIsSeenAtOnceAndReachesTheCatalogLater) {
    EXPECT_FALSE(report(Health::passing, "slow"));
    EXPECT_EQ(timers.output(catalog, "c1"), "slow");
    EXPECT_EQ(catalog.agent_check("c1").check->output, "ok");
    for (int i = 0; i < 59; ++i) {
        now += 5s;
        pass();
        report(Health::passing, "slow");
    }
    now += 10s - 1ns;
    report(Health::passing, "slower");
    now += 5s;
    UpdateCheck push = status("c1", Health::passing, "slower");
    push.sync_output = true;
    now += 5min - 5s;
    report(Health::passing, "slower");
    EXPECT_THAT(due(), ElementsAre(Command(push)));
    run(push);
    EXPECT_EQ(catalog.agent_check("c1").check->output, "slower");
    EXPECT_EQ(timers.due(catalog, now).next, now + 10s);
}

TEST_F(CheckTimersTest, RemovesAServiceThatStaysCritical) {
    RegisterService reaped = with_check(web("w2"), ttl_check("c2", 1h));
    reaped.checks[0].check.definition.deregister_after = 90s;
    run(reaped);
    now += 90s - 1ns;
    EXPECT_THAT(due(), testing::Not(testing::Contains(Command(DeregisterService{"w2"}))));
    now += 1ns;
    EXPECT_THAT(due(), testing::Contains(Command(DeregisterService{"w2"})));
    run(DeregisterService{"w2"});
    now += 1h;
    pass();
    EXPECT_THAT(due(), IsEmpty());
}

TEST_F(CheckTimersTest, RecoveryStopsTheRemoval) {
    RegisterService reaped = with_check(web("w2"), ttl_check("c2", 1h));
    reaped.checks[0].check.definition.deregister_after = 60s;
    run(reaped);
    now += 59s;
    run(status("c2", Health::passing));
    now += 1s;
    EXPECT_THAT(due(), testing::Not(testing::Contains(Command(DeregisterService{"w2"}))));
    run(status("c2", Health::critical));
    now += 59s;
    EXPECT_THAT(due(), testing::Not(testing::Contains(Command(DeregisterService{"w2"}))));
    now += 1s;
    EXPECT_THAT(due(), testing::Contains(Command(DeregisterService{"w2"})));
}

}  // namespace
}  // namespace datapunk::mesh::catalog
