#include "resilience/leased_slice.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "core/rng.h"

namespace datapunk::mesh::resilience {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kTick = LeasedSlice::kExchangeInterval;

// What Redis keeps: slice_exchange.cpp has the same in Lua.
struct Bucket {
    SliceConfig config;
    double tokens = config.burst;

    std::int64_t grant(const LeasedSlice::Ask& ask, std::int64_t processes) {
        tokens = std::min(config.burst, tokens + static_cast<double>(ask.returned));
        const auto share = std::max<std::int64_t>(
            1, static_cast<std::int64_t>(tokens * 2 / static_cast<double>(processes))
        );
        const auto granted =
            std::min({ask.wanted, share, static_cast<std::int64_t>(std::floor(tokens))});
        tokens -= static_cast<double>(granted);
        return granted;
    }

    void pass(Duration time) {
        const double s = std::chrono::duration<double>(time).count();
        tokens = std::min(config.burst, tokens + config.rate * s);
    }
};

struct Fleet {
    Fleet(std::size_t processes, SliceConfig c) : config(c), bucket{c} {
        for (std::size_t i = 0; i < processes; ++i) {
            slices.push_back(std::make_unique<LeasedSlice>(config));
        }
    }

    std::int64_t held() const {
        std::int64_t sum = 0;
        for (const auto& slice : slices) sum += slice->held();
        return sum;
    }

    void exchange() {
        now += kTick;
        bucket.pass(kTick);
        for (const auto& slice : slices) {
            const auto ask = slice->ask(now);
            if (!is_up) {
                slice->failed(now);
                continue;
            }
            const std::int64_t granted = bucket.grant(ask, std::ssize(slices));
            EXPECT_LE(granted, ask.wanted);
            slice->granted(granted, std::ssize(slices), now);
        }
    }

    // Every process tries so often in each interval: how many tokens they got, together.
    std::int64_t run(int intervals, int tries) {
        std::int64_t taken = 0;
        for (int i = 0; i < intervals; ++i) {
            for (const auto& slice : slices) {
                for (int n = 0; n < tries; ++n) taken += slice->try_take() ? 1 : 0;
            }
            exchange();
        }
        return taken;
    }

    SliceConfig config;
    Bucket bucket;
    std::vector<std::unique_ptr<LeasedSlice>> slices;
    Instant now{seconds(100)};
    bool is_up = true;
};

TEST(LeasedSlice, TogetherTheyTakeTheRateAndNoMore) {
    Fleet fleet(10, {.rate = 100, .burst = 100});
    const std::int64_t at_start = fleet.held();
    // Each wants as much as all may have.
    const std::int64_t taken = fleet.run(600, 10);
    EXPECT_LE(taken, 60 * 100 + 100 + at_start);
    EXPECT_GE(taken, 60 * 100 * 95 / 100);
}

TEST(LeasedSlice, OneBusyProcessAmongIdleOnesGetsNearlyAll) {
    Fleet fleet(10, {.rate = 1000, .burst = 1000});
    fleet.run(20, 0);
    std::int64_t taken = 0;
    for (int i = 0; i < 300; ++i) {
        for (int n = 0; n < 200; ++n) taken += fleet.slices[3]->try_take() ? 1 : 0;
        fleet.exchange();
    }
    EXPECT_GE(taken, 30 * 1000 * 90 / 100);
    EXPECT_LE(taken, 30 * 1000 + 2 * 1000);
}

TEST(LeasedSlice, WithoutAnswersEachHasItsPart) {
    Fleet fleet(10, {.rate = 100, .burst = 100});
    fleet.run(50, 2);
    for (const auto& slice : fleet.slices) EXPECT_FALSE(slice->is_alone());
    fleet.is_up = false;
    fleet.exchange();
    const std::int64_t at_start = fleet.held();
    const std::int64_t taken = fleet.run(300, 10);
    for (const auto& slice : fleet.slices) EXPECT_TRUE(slice->is_alone());
    EXPECT_LE(taken, 30 * 100 + 100 + at_start);
    EXPECT_GE(taken, 30 * 100 * 95 / 100);
    fleet.is_up = true;
    fleet.exchange();
    for (const auto& slice : fleet.slices) EXPECT_FALSE(slice->is_alone());
}

TEST(LeasedSlice, WhoIsAloneFromTheStartHasTheWholeRate) {
    LeasedSlice slice({.rate = 3, .burst = 30});
    EXPECT_EQ(slice.held(), 1) << "the first call need not wait for the first exchange";
    std::int64_t taken = 0;
    Instant now{};
    for (int i = 0; i < 100; ++i) {
        taken += slice.try_take() ? 1 : 0;
        (void)slice.ask(now);
        slice.failed(now);
        now += kTick;
    }
    EXPECT_GE(taken, 28);
    EXPECT_LE(taken, 31);
}

TEST(LeasedSlice, AnAnswerThatComesLateIsReducedByWhatWasFilledIn) {
    LeasedSlice slice({.rate = 100, .burst = 100});
    Instant now{seconds(1)};
    (void)slice.ask(now);
    slice.granted(0, 1, now);
    while (slice.try_take()) {
    }
    now += kTick;
    const auto ask = slice.ask(now);
    ASSERT_GE(ask.wanted, 30);
    for (int i = 0; i < 2; ++i) slice.failed(now += kTick);  // on its way
    const std::int64_t filled = slice.held();
    EXPECT_GE(filled, 20);
    slice.granted(30, 1, now);
    EXPECT_EQ(slice.held(), 30);
}

TEST(LeasedSlice, WhatIsFarTooMuchIsReturned) {
    LeasedSlice slice({.rate = 10, .burst = 100});
    Instant now{seconds(1)};
    (void)slice.ask(now);
    slice.granted(200, 4, now);
    const std::int64_t before = slice.held();
    const auto ask = slice.ask(now += kTick);
    EXPECT_EQ(ask.wanted, 0);
    EXPECT_EQ(slice.held(), before - ask.returned);
    EXPECT_EQ(slice.held(), 13) << "its part of half of the burst";
    EXPECT_TRUE(slice.ask(now += kTick).is_empty());
}

TEST(LeasedSlice, ATimeThatStoodStillOrJumpedIsNoSource) {
    LeasedSlice slice({.rate = 10, .burst = 1000});
    Instant now{seconds(100)};
    slice.failed(now);
    while (slice.try_take()) {
    }
    slice.failed(now);
    slice.failed(now - seconds(50));
    EXPECT_EQ(slice.held(), 0);
    slice.failed(now + seconds(3600));
    EXPECT_LE(slice.held(), 10);
}

TEST(LeasedSlice, OtherNumbersKeepWhatIsHeldInProportionAndNeverMakeMore) {
    LeasedSlice slice({.rate = 100, .burst = 100});
    Instant now{seconds(1)};
    (void)slice.ask(now);
    slice.granted(30, 4, now);
    EXPECT_EQ(slice.held(), 40);
    slice.reconfigure({.rate = 50, .burst = 100});
    EXPECT_EQ(slice.held(), 20);
    slice.reconfigure({.rate = 1000, .burst = 1000});
    EXPECT_EQ(slice.held(), 20) << "more comes from the bucket only";
    slice.reconfigure({.rate = 1000, .burst = 100});
    EXPECT_EQ(slice.held(), 2);
    EXPECT_EQ(slice.processes(), 4);
    EXPECT_FALSE(slice.is_alone());
}

TEST(LeasedSlice, WhatIsOwedIsBoundedAndPaidFirst) {
    LeasedSlice slice({.rate = 10, .burst = 10});
    EXPECT_EQ(slice.try_owe(3), 0);
    EXPECT_EQ(slice.try_owe(3), 1);
    EXPECT_EQ(slice.try_owe(3), 2);
    EXPECT_EQ(slice.try_owe(3), 3);
    EXPECT_EQ(slice.try_owe(3), std::nullopt);
    EXPECT_FALSE(slice.try_take());
    Instant now{seconds(1)};
    EXPECT_GE(slice.ask(now).wanted, 4);
    slice.granted(3, 1, now);
    EXPECT_FALSE(slice.try_take());
    slice.granted(1, 1, now += kTick);
    EXPECT_TRUE(slice.try_take());
}

TEST(LeasedSlice, HoldsNoMoreThanTheBurstHoweverLongNobodyTakes) {
    Fleet fleet(3, {.rate = 1000, .burst = 50});
    fleet.run(100, 40);
    for (int i = 0; i < 100; ++i) {
        fleet.is_up = i % 10 != 0;
        fleet.run(5, 0);
        for (const auto& slice : fleet.slices) EXPECT_LE(slice->held(), 50);
    }
    const std::int64_t held = fleet.slices[0]->held();
    EXPECT_GE(held, 9) << "its part of half of the burst";
    EXPECT_EQ(fleet.slices[0]->give_up().returned, held);
    EXPECT_EQ(fleet.slices[0]->held(), 0);
    EXPECT_TRUE(fleet.slices[0]->give_up().is_empty());
}

TEST(LeasedSlice, ThreadsTakeEachTokenOnce) {
    LeasedSlice slice({.rate = 0, .burst = 100'000});
    slice.granted(10'000, 1, Instant{});
    const std::int64_t held = slice.held();
    std::atomic<std::int64_t> taken{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&] {
            for (int i = 0; i < 5'000; ++i) taken += slice.try_take() ? 1 : 0;
        });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(taken + slice.held(), held);
    EXPECT_EQ(slice.held(), 0);
}

}  // namespace
}  // namespace datapunk::mesh::resilience
