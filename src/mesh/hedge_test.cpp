// Hedged calls of the library: two attempts at a time, on two threads, and one answer.

#include <datapunk/mesh/mesh.h>
#include <gmock/gmock.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "io/thread_clock.h"
#include "mesh/hedge_race.h"
#include "mesh/hedger.h"

namespace datapunk::mesh {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

ServicePolicy hedging(Duration delay) {
    ServicePolicy policy{.balance = RoundRobin{}, .hedge = {.max = 0.5, .delay = delay}};
    policy.retry.attempts = 2;
    policy.retry.backoff = {.base = Duration::zero(), .max = Duration::zero()};
    policy.retry.budget.min_per_second = 1000;
    return policy;
}

// A signal between the attempts of a test, that no test waits for in vain.
class Flag {
  public:
    void raise() {
        const std::lock_guard lock(mutex_);
        is_up_ = true;
        changed_.notify_all();
    }

    bool wait() {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, seconds(20), [this] { return is_up_; });
    }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool is_up_ = false;
};

class HedgedCall : public testing::Test {
  protected:
    void make(Duration delay) {
        auto made = ServiceMesh::create(
            {.registry =
                 Fixed{
                     .services =
                         {{"api",
                           {{.host = "10.0.0.1", .port = 80}, {.host = "10.0.0.2", .port = 80}}}}
                 },
             .policy = hedging(delay),
             .log_level = LogLevel::off}
        );
        ASSERT_TRUE(made);
        mesh.emplace(*std::move(made));
        for (int i = 0; i < 20; ++i) {  // the hedges' share has tokens
            ASSERT_TRUE(mesh->run("api", {}, [](const auto&, Attempt&) { return Result<>(Ok{}); }));
        }
    }

    std::optional<ServiceMesh> mesh;
    const CallOptions may_hedge{.deadline = seconds(30), .hedge = true};
};

TEST_F(HedgedCall, TheHedgeAnswersAndTheFirstIsToldToReturn) {
    make(milliseconds(1));
    Flag told;
    std::atomic<bool> was_cancelled{false};
    std::mutex mutex;
    std::set<std::string> hosts;
    const auto answer = mesh->call<std::string>(
        "api",
        may_hedge,
        [&](const ServiceEndpoint& endpoint, Attempt& attempt) -> Result<std::string> {
            {
                const std::lock_guard lock(mutex);
                hosts.insert(endpoint.host);
            }
            EXPECT_EQ(attempt.number(), 1U);
            if (attempt.is_hedge()) return std::string("hedge");
            attempt.on_cancel([&told] { told.raise(); });
            EXPECT_TRUE(told.wait());
            was_cancelled = attempt.is_cancelled();
            return std::string("first, too late");
        }
    );
    ASSERT_TRUE(answer);
    EXPECT_EQ(*answer, "hedge");
    EXPECT_TRUE(was_cancelled);
    EXPECT_EQ(hosts.size(), 2U) << "never the same endpoint";
    Service api = *mesh->service("api");
    std::string told_why;
    for (const auto& line : api.explain()) told_why += line + "\n";
    EXPECT_THAT(told_why, HasSubstr("hedge of attempt 1 after "));
    EXPECT_THAT(told_why, HasSubstr(": sent; "));
}

TEST_F(HedgedCall, TheFirstAnswersAndTheHedgeIsToldToReturn) {
    make(milliseconds(1));
    Flag hedged;
    Flag told;
    const auto answer = mesh->call<int>(
        "api",
        may_hedge,
        [&](const ServiceEndpoint&, Attempt& attempt) -> Result<int> {
            if (!attempt.is_hedge()) {
                EXPECT_TRUE(hedged.wait());
                return 1;
            }
            attempt.on_cancel([&told] { told.raise(); });
            hedged.raise();
            EXPECT_TRUE(told.wait());
            return Error{.code = Code::aborted, .what = "cancelled"};
        }
    );
    ASSERT_TRUE(answer);
    EXPECT_EQ(*answer, 1);
}

TEST_F(HedgedCall, AHedgeThatFailsLeavesTheFirstItsTime) {
    make(milliseconds(1));
    Flag failed;
    int firsts = 0;
    const auto answer = mesh->call<int>(
        "api",
        may_hedge,
        [&](const ServiceEndpoint&, Attempt& attempt) -> Result<int> {
            if (attempt.is_hedge()) {
                failed.raise();
                return Error{.code = Code::unavailable, .what = "refused"};
            }
            ++firsts;
            EXPECT_TRUE(failed.wait());
            EXPECT_FALSE(attempt.is_cancelled());
            return 7;
        }
    );
    ASSERT_TRUE(answer);
    EXPECT_EQ(*answer, 7);
    EXPECT_EQ(firsts, 1);
}

TEST_F(HedgedCall, WhenBothFailTheCallIsTriedAgainOnce) {
    make(milliseconds(1));
    Flag hedged;
    std::atomic<int> runs{0};
    const auto ran = mesh->run("api", may_hedge, [&](const auto&, Attempt& attempt) -> Result<> {
        if (runs++ >= 2) return Ok{};
        if (attempt.is_hedge()) hedged.raise();
        EXPECT_TRUE(hedged.wait());
        return Error{.code = Code::unavailable, .what = "refused"};
    });
    EXPECT_TRUE(ran);
    EXPECT_EQ(runs, 3);
}

TEST_F(HedgedCall, ExceptionsOfTheFirstPassThroughAfterTheHedgeHasReturned) {
    make(milliseconds(1));
    Flag hedged;
    std::atomic<bool> has_returned{false};
    EXPECT_THROW(
        (void)mesh->run(
            "api",
            may_hedge,
            [&](const auto&, Attempt& attempt) -> Result<> {
                if (attempt.is_hedge()) {
                    Flag told;
                    attempt.on_cancel([&told] { told.raise(); });
                    hedged.raise();
                    EXPECT_TRUE(told.wait());
                    has_returned = true;
                    return Ok{};
                }
                EXPECT_TRUE(hedged.wait());
                throw std::runtime_error("first");
            }
        ),
        std::runtime_error
    );
    EXPECT_TRUE(has_returned);
}

// Cutting the loser short makes it throw, and may throw itself: the hedge has answered.
TEST_F(HedgedCall, ALoserThatThrowsWhenItIsCutShortSpoilsNothing) {
    make(milliseconds(1));
    int answers = 0;
    const auto done = mesh->run("api", may_hedge, [&](const auto&, Attempt& attempt) -> Result<> {
        if (attempt.is_hedge()) {
            ++answers;
            return Ok{};
        }
        Flag cut;
        attempt.on_cancel([&cut] {
            cut.raise();
            throw std::runtime_error("not connected");
        });
        EXPECT_TRUE(cut.wait());
        throw std::runtime_error("the socket was shut down");
    });
    EXPECT_TRUE(done);
    EXPECT_EQ(answers, 1);
}

TEST_F(HedgedCall, AHedgeThatThrowsIsNoAnswer) {
    make(milliseconds(1));
    Flag hedged;
    const auto ran = mesh->run("api", may_hedge, [&](const auto&, Attempt& attempt) -> Result<> {
        if (attempt.is_hedge()) {
            hedged.raise();
            throw std::runtime_error("hedge");
        }
        EXPECT_TRUE(hedged.wait());
        return Ok{};
    });
    EXPECT_TRUE(ran);
}

TEST_F(HedgedCall, WhoDoesNotAskForItRunsOnOneThread) {
    make(Duration(1));
    const auto self = std::this_thread::get_id();
    for (const bool idempotent : {true, false}) {
        CallOptions options{.idempotent = idempotent};
        options.hedge = !idempotent;  // asked for, and not allowed
        for (int i = 0; i < 20; ++i) {
            const auto ran = mesh->run("api", options, [&](const auto&, Attempt& attempt) {
                EXPECT_EQ(std::this_thread::get_id(), self);
                EXPECT_FALSE(attempt.is_hedge());
                return Result<>(Ok{});
            });
            EXPECT_TRUE(ran);
        }
    }
}

// Whatever comes first, however often: each call has one answer, of the attempt that gave it.
TEST_F(HedgedCall, RacesEndWithOneAnswer) {
    make(Duration(1000));
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&] {
            for (int i = 0; i < 300; ++i) {
                const auto answer = mesh->call<std::string>(
                    "api",
                    may_hedge,
                    [&](const ServiceEndpoint& endpoint, Attempt&) -> Result<std::string> {
                        for (int n = 0; n < 50; ++n) std::this_thread::yield();
                        return endpoint.host;
                    }
                );
                ASSERT_TRUE(answer);
                EXPECT_THAT(*answer, HasSubstr("10.0.0."));
            }
        });
    }
    for (auto& thread : threads) thread.join();
}

class HedgerTest : public testing::Test {
  protected:
    ~HedgerTest() override { hedger.stop(); }

    std::unique_ptr<io::ThreadClock> clock = io::make_thread_clock();
    internal::Hedger hedger{*clock};
};

TEST_F(HedgerTest, WhatIsSettledInTimeNeverRuns) {
    bool has_run = false;
    for (int i = 0; i < 100; ++i) {
        const auto job =
            hedger.schedule(clock->now() + seconds(3600), [&has_run] { has_run = true; });
        hedger.settle(*job);
    }
    EXPECT_FALSE(has_run);
    EXPECT_EQ(hedger.threads(), 1U);
}

TEST_F(HedgerTest, OneThatRunsIsWaitedFor) {
    Flag begun;
    Flag may_end;
    std::atomic<bool> has_ended{false};
    const auto job = hedger.schedule(clock->now(), [&] {
        begun.raise();
        EXPECT_TRUE(may_end.wait());
        has_ended = true;
    });
    ASSERT_TRUE(begun.wait());
    // While it runs, others have their turn.
    Flag other;
    const auto next = hedger.schedule(clock->now(), [&other] { other.raise(); });
    EXPECT_TRUE(other.wait());
    may_end.raise();
    hedger.settle(*job);
    EXPECT_TRUE(has_ended);
    hedger.settle(*next);
}

TEST_F(HedgerTest, AnEarlierOneIsNotHeldUpByALaterOne) {
    const auto late = hedger.schedule(clock->now() + seconds(3600), [] {});
    Flag ran;
    const auto soon = hedger.schedule(clock->now() + milliseconds(1), [&ran] { ran.raise(); });
    EXPECT_TRUE(ran.wait());
    hedger.settle(*soon);
    hedger.settle(*late);
}

TEST(HedgeRace, ACallbackIsCalledOnceAlsoIfItComesTooLateAndNotAfterItsOwnerHasLeft) {
    internal::HedgeRace race;
    int calls = 0;
    race.on_cancel(0, [&calls] { ++calls; });
    race.cancel(0);
    race.cancel(0);
    EXPECT_EQ(calls, 1);
    race.on_cancel(0, [&calls] { ++calls; });
    EXPECT_EQ(calls, 2) << "it is cancelled already";
    race.on_cancel(1, [&calls] { ++calls; });
    race.leave(1);
    race.cancel(1);
    EXPECT_EQ(calls, 2);
    EXPECT_FALSE(race.is_cancelled(1));
}

}  // namespace
}  // namespace datapunk::mesh
