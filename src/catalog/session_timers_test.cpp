#include "catalog/session_timers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "catalog/test_support.h"

namespace datapunk::mesh::catalog {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

class SessionTimersTest : public testing::Test {
  protected:
    SessionTimersTest() {
        run(local_node());
        timers.restart(catalog, at(0s));
    }

    static Instant at(Duration since_start) { return Instant() + 1h + since_start; }

    void run(Command command) {
        const Result<Applied> outcome = catalog.apply(std::move(command));
        ASSERT_TRUE(outcome.ok()) << outcome.error().what;
        timers.sync(catalog, *outcome, at(now));
    }

    void create(std::string id, std::string ttl, Duration lock_delay = 15s) {
        CreateSession command;
        command.session.id = std::move(id);
        command.session.node = "ref1";
        command.session.ttl = std::move(ttl);
        command.session.lock_delay = lock_delay;
        run(command);
    }

    // The loop's timer: woken when due() asked for it, until then.
    std::vector<Command> pass_until(Duration then) {
        std::vector<Command> all;
        while (true) {
            SessionTimers::Due due = timers.due(at(now));
            for (Command& command : due.commands) {
                all.push_back(command);
                run(std::move(command));
            }
            if (due.next > at(then)) break;
            if (due.next > at(now)) now = due.next - at(0s);
        }
        now = then;
        return all;
    }

    std::vector<Command> ends(std::string id) { return {DestroySession{std::move(id)}}; }

    Catalog catalog;
    SessionTimers timers;
    Duration now = 0s;
};

TEST_F(SessionTimersTest, ATtlIsALowerBoundAndTwiceItTheEnd) {
    create("s", "10s");
    EXPECT_THAT(pass_until(20s - 1ns), IsEmpty());
    EXPECT_EQ(pass_until(20s), ends("s"));
    EXPECT_EQ(timers.due(at(21s)).next, kNever);
}

TEST_F(SessionTimersTest, ARenewalBeginsAnew) {
    create("s", "10s");
    pass_until(19s);
    EXPECT_TRUE(timers.renew("s", at(now)));
    EXPECT_THAT(pass_until(39s - 1ns), IsEmpty());
    EXPECT_EQ(pass_until(39s), ends("s"));
}

TEST_F(SessionTimersTest, ARenewalDuringTheExpiryHasToAskTheLog) {
    create("s", "10s");
    pass_until(20s - 1ns);
    now = 20s;
    EXPECT_THAT(timers.due(at(now)).commands, ElementsAre(Command(DestroySession{"s"})));
    EXPECT_FALSE(timers.renew("s", at(now)));
    EXPECT_THAT(timers.due(at(20s)).commands, IsEmpty());
    // The log refused the write: tried again.
    EXPECT_EQ(timers.due(at(20s)).next, at(21s));
    EXPECT_THAT(timers.due(at(21s)).commands, ElementsAre(Command(DestroySession{"s"})));
}

TEST_F(SessionTimersTest, WithoutATtlNothingEnds) {
    create("s", "");
    create("t", "0s");
    EXPECT_TRUE(timers.renew("s", at(now)));
    EXPECT_EQ(timers.due(at(0s)).next, kNever);
}

TEST_F(SessionTimersTest, LockDelaysEndThroughTheLog) {
    create("s", "", 5s);
    run(KvAcquire{"a", "v", 0, "s"});
    run(KvAcquire{"b", "v", 0, "s"});
    pass_until(3s);
    run(DestroySession{"s"});
    EXPECT_THAT(pass_until(8s - 1ns), IsEmpty());
    EXPECT_THAT(pass_until(8s), ElementsAre(Command(EndLockDelays{{"a", "b"}})));
    EXPECT_THAT(catalog.lock_delays(), IsEmpty());
    EXPECT_EQ(timers.due(at(now)).next, kNever);
}

TEST_F(SessionTimersTest, ARestartBeginsEveryDeadlineAnew) {
    create("s", "10s");
    create("t", "", 5s);
    run(KvAcquire{"a", "v", 0, "t"});
    run(DestroySession{"t"});
    pass_until(4s);
    timers.restart(catalog, at(now));
    EXPECT_THAT(pass_until(9s - 1ns), IsEmpty());
    EXPECT_THAT(pass_until(9s), ElementsAre(Command(EndLockDelays{{"a"}})));
    EXPECT_THAT(pass_until(24s - 1ns), IsEmpty());
    EXPECT_EQ(pass_until(24s), ends("s"));
}

TEST_F(SessionTimersTest, TimeInWhichNobodyCouldRenewDoesNotCount) {
    create("s", "10s");
    pass_until(5s);
    now = 3605s;  // the machine slept for an hour
    EXPECT_THAT(timers.due(at(now)).commands, IsEmpty());
    EXPECT_THAT(pass_until(3620s - 1ns), IsEmpty());
    EXPECT_EQ(pass_until(3620s), ends("s"));
}

TEST_F(SessionTimersTest, AfterAStandstillThereIsTimeForTheRenewals) {
    create("s", "10s");
    pass_until(20s - 1ms);
    now = 100s;
    EXPECT_THAT(timers.due(at(now)).commands, IsEmpty());
    EXPECT_THAT(pass_until(105s - 1ns), IsEmpty());
    EXPECT_EQ(pass_until(105s), ends("s"));
}

TEST_F(SessionTimersTest, ALongPauseWithoutSessionsIsNoStandstill) {
    pass_until(0s);
    now = 1000s;
    create("s", "10s");
    EXPECT_EQ(pass_until(1020s), ends("s"));
}

}  // namespace
}  // namespace datapunk::mesh::catalog
