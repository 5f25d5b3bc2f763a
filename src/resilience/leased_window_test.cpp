#include "resilience/leased_window.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "resilience/test_keeper.h"

namespace datapunk::mesh::resilience {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr WindowConfig kHundred{.calls = 100, .per = seconds(10)};

std::int64_t take_all(LeasedWindow& window, Instant now) {
    std::int64_t taken = 0;
    while (window.try_take(now)) ++taken;
    return taken;
}

struct Pair {
    void exchange(LeasedWindow& window, const std::string& who) {
        const auto granted = keeper.lease(who, window.config(), window.ask(now), now);
        window.granted(granted.tokens, granted.processes, now);
    }

    TestKeeper keeper;
    Instant now{seconds(1000)};
    LeasedWindow one{kHundred};
    LeasedWindow other{kHundred};
};

TEST(LeasedWindow, BeforeTheFirstExchangeASecondsPartMayBegin) {
    LeasedWindow window(kHundred);
    const Instant now{seconds(1)};
    EXPECT_EQ(take_all(window, now), 10);
    EXPECT_GE(window.retry_in(now), seconds(9));
    (void)window.ask(now);
    window.failed(now);
    EXPECT_EQ(take_all(window, now), 0) << "others begin likewise";
    window.failed(now + seconds(6));
    EXPECT_EQ(take_all(window, now + seconds(6)), 90) << "nobody else is known";
    LeasedWindow slow({.calls = 1, .per = std::chrono::hours(24)});
    EXPECT_EQ(take_all(slow, now), 1);
}

TEST(LeasedWindow, WhatIsInHandOrHasBegunAnywhereIsNotHandedOut) {
    Pair pair;
    pair.exchange(pair.one, "one");
    pair.exchange(pair.other, "other");
    EXPECT_EQ(pair.one.held(), 7) << "a sixteenth: it was the only one";
    EXPECT_EQ(pair.other.held(), 7);
    std::int64_t taken = 0;
    for (int i = 0; i < 50; ++i) {
        taken += take_all(pair.one, pair.now);
        pair.now += milliseconds(100);
        pair.exchange(pair.one, "one");
    }
    EXPECT_EQ(taken, 93) << "all but what the other has in hand";
    EXPECT_EQ(take_all(pair.other, pair.now), 7);
}

TEST(LeasedWindow, AnIdleOneKeepsItsPartAndReturnsTheRest) {
    Pair pair;
    for (int i = 0; i < 5; ++i) {
        (void)pair.one.try_take(pair.now);
        for (int n = 0; n < 20; ++n) (void)pair.one.try_take(pair.now);
        pair.exchange(pair.one, "one");
        pair.now += milliseconds(100);
    }
    for (int i = 0; i < 150; ++i) {
        pair.exchange(pair.one, "one");
        pair.now += milliseconds(100);
    }
    EXPECT_EQ(pair.one.begun().begun(pair.now), 0U);
    EXPECT_GT(pair.one.held(), 0);
    EXPECT_LE(pair.one.held(), 10) << "once and a half";
    for (int i = 0; i < 3; ++i) {
        for (int n = 0; n < 200; ++n) (void)pair.other.try_take(pair.now);
        pair.exchange(pair.other, "other");
        pair.now += milliseconds(100);
    }
    const auto begun = static_cast<std::int64_t>(pair.other.begun().begun(pair.now));
    EXPECT_GE(pair.other.held() + begun, 85);
}

TEST(LeasedWindow, AnAnswerThatIsLostIsPutRightWithTheNextQuestion) {
    Pair pair;
    pair.exchange(pair.one, "one");
    for (int i = 0; i < 20; ++i) {
        pair.now += milliseconds(100);
        (void)pair.one.try_take(pair.now);
        (void)pair.keeper.lease("one", kHundred, pair.one.ask(pair.now), pair.now);
        pair.one.failed(pair.now);
    }
    pair.exchange(pair.one, "one");
    const auto begun = static_cast<std::int64_t>(pair.one.begun().begun(pair.now));
    for (int i = 0; i < 30; ++i) {
        pair.now += milliseconds(100);
        for (int n = 0; n < 200; ++n) (void)pair.other.try_take(pair.now);
        pair.exchange(pair.other, "other");
        pair.exchange(pair.one, "one");
    }
    const auto all = static_cast<std::int64_t>(pair.other.begun().begun(pair.now)) +
                     pair.other.held() + pair.one.held() + begun;
    EXPECT_EQ(all, 100) << "nothing was lost, and nothing made";
}

TEST(LeasedWindow, AKeeperThatHasForgottenEverythingIsToldWhatHasBegun) {
    Pair pair;
    for (int i = 0; i < 20; ++i) {
        for (int n = 0; n < 200; ++n) (void)pair.one.try_take(pair.now);
        pair.exchange(pair.one, "one");
        pair.now += milliseconds(100);
    }
    EXPECT_GE(pair.one.begun().begun(pair.now), 90U);
    pair.keeper.forget_everything();
    pair.exchange(pair.one, "one");
    for (int i = 0; i < 20; ++i) {
        for (int n = 0; n < 200; ++n) (void)pair.other.try_take(pair.now);
        pair.exchange(pair.other, "other");
        pair.now += milliseconds(100);
    }
    EXPECT_LE(pair.one.begun().begun(pair.now) + pair.other.begun().begun(pair.now), 110U)
        << "ten of which began before the first exchange";
}

TEST(LeasedWindow, WhoHasNotBeenAnsweredForLongTrustsItsPartOnly) {
    Pair pair;
    pair.exchange(pair.other, "other");
    pair.exchange(pair.one, "one");
    EXPECT_FALSE(pair.one.is_alone());
    pair.now += milliseconds(5001);
    EXPECT_EQ(take_all(pair.one, pair.now), 50) << "half: there were two";
}

TEST(LeasedWindow, WhereThereAreMoreProcessesThanCallsIdleOnesHoldNothing) {
    TestKeeper keeper;
    const WindowConfig few{.calls = 10, .per = seconds(10)};
    std::vector<std::unique_ptr<LeasedWindow>> windows;
    for (int i = 0; i < 40; ++i) windows.push_back(std::make_unique<LeasedWindow>(few));
    Instant now{seconds(1000)};
    std::int64_t taken = 0;
    for (int round = 0; round < 100; ++round) {
        for (std::size_t i = 0; i < windows.size(); ++i) {
            if (i == 37 && round > 50) taken += windows[i]->try_take(now) ? 1 : 0;
            const auto granted = keeper.lease(std::to_string(i), few, windows[i]->ask(now), now);
            windows[i]->granted(granted.tokens, granted.processes, now);
        }
        now += milliseconds(100);
    }
    EXPECT_EQ(taken, 10);
}

TEST(LeasedWindow, OtherNumbersGoOnWithWhatHasBegun) {
    Pair pair;
    for (int i = 0; i < 20; ++i) {
        for (int n = 0; n < 200; ++n) (void)pair.one.try_take(pair.now);
        pair.exchange(pair.one, "one");
        pair.now += milliseconds(100);
    }
    EXPECT_EQ(pair.one.begun().begun(pair.now), 100U);
    const auto more = [&](const WindowConfig& config) {
        pair.one.reconfigure(config, pair.now);
        std::int64_t taken = 0;
        for (int i = 0; i < 10; ++i) {
            taken += take_all(pair.one, pair.now);
            pair.exchange(pair.one, "one");
            pair.now += milliseconds(100);
        }
        return taken;
    };
    EXPECT_EQ(more({.calls = 130, .per = seconds(10)}), 30);
    EXPECT_EQ(more({.calls = 20, .per = seconds(10)}), 0);
    EXPECT_EQ(more({.calls = 130, .per = seconds(60)}), 0) << "all of it counts as begun just now";
}

TEST(LeasedWindow, ThreadsTakeEachTokenOnce) {
    LeasedWindow window({.calls = 100'000, .per = seconds(60)});
    const Instant now{seconds(1)};
    const auto ask = window.ask(now);
    EXPECT_EQ(ask.wanted, 6'250);
    window.granted(10'000, 1, now);
    std::atomic<std::int64_t> taken{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&] {
            for (int i = 0; i < 5'000; ++i) taken += window.try_take(now) ? 1 : 0;
        });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(taken, 10'000);
    EXPECT_EQ(window.ask(now).spent, 10'000U);
}

}  // namespace
}  // namespace datapunk::mesh::resilience
