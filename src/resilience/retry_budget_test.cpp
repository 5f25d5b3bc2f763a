#include "resilience/retry_budget.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <thread>
#include <vector>

#include "core/rng.h"

namespace datapunk::mesh::resilience {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

std::uint64_t test_seed() {
    const char* given = std::getenv("SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : 20260102;
}

int drain(RetryBudget& budget, Instant now) {
    int taken = 0;
    while (taken < 1'000'000 && budget.try_withdraw(now)) ++taken;
    return taken;
}

TEST(RetryBudget, GivesTheReserveWhenIdleAndNotOneMore) {
    RetryBudget budget({.ratio = 0.2, .min_per_second = 3, .window = seconds(10)});
    EXPECT_EQ(drain(budget, Instant{}), 30);
    EXPECT_EQ(budget.available(Instant{}), 0);
}

TEST(RetryBudget, FiveCallsAtTwentyPercentBuyOneRetry) {
    RetryBudget budget({.ratio = 0.2, .min_per_second = 0});
    const Instant now{};
    for (int i = 0; i < 4; ++i) budget.deposit(now);
    EXPECT_FALSE(budget.try_withdraw(now));
    budget.deposit(now, 3);
    EXPECT_TRUE(budget.try_withdraw(now));
    EXPECT_FALSE(budget.try_withdraw(now));
}

TEST(RetryBudget, ZeroRatioAndZeroReserveNeverRetry) {
    RetryBudget budget({.ratio = 0, .min_per_second = 0});
    for (int i = 0; i < 1000; ++i) budget.deposit(Instant{});
    EXPECT_FALSE(budget.try_withdraw(Instant{}));
}

TEST(RetryBudget, DepositsExpireAfterTheWindow) {
    RetryBudget budget({.ratio = 1, .min_per_second = 0, .window = seconds(10)});
    const Instant now{};
    for (int i = 0; i < 10; ++i) budget.deposit(now);
    EXPECT_TRUE(budget.try_withdraw(now + seconds(10) - Duration(1)));
    EXPECT_FALSE(budget.try_withdraw(now + seconds(10)));
}

TEST(RetryBudget, WithdrawalsExpireTooAndALongIdleTimeRestoresTheReserve) {
    RetryBudget budget({.ratio = 0, .min_per_second = 1, .window = seconds(10)});
    Instant now{};
    EXPECT_EQ(drain(budget, now), 10);
    EXPECT_EQ(drain(budget, now + seconds(9)), 0);
    EXPECT_EQ(drain(budget, now + seconds(10)), 10);
    now += hours(24 * 365);
    EXPECT_EQ(drain(budget, now), 10);
}

TEST(RetryBudget, SurvivesTheTurnOfTheSliceNumbers) {
    RetryBudget budget({.ratio = 1, .min_per_second = 0, .window = seconds(1)});
    const Instant turn = Instant{} + milliseconds(100) * (std::int64_t{1} << 28);
    for (Instant now = turn - seconds(3); now < turn + seconds(3); now += milliseconds(300)) {
        budget.deposit(now);
        EXPECT_TRUE(budget.try_withdraw(now));
        EXPECT_FALSE(budget.try_withdraw(now));
    }
}

// The same rule with a map from slice to counts.
struct NaiveBudget {
    RetryBudgetConfig config;
    std::map<std::int64_t, std::pair<int, int>> slices;

    std::int64_t slice(Instant now) const { return now.time_since_epoch() / (config.window / 10); }

    bool withdraw(Instant now) {
        double balance =
            config.min_per_second * std::chrono::duration<double>(config.window).count();
        for (const auto& [at, counts] : slices) {
            if (at > slice(now) - 10) balance += config.ratio * counts.first - counts.second;
        }
        if (balance < 1 - 1e-9) return false;
        ++slices[slice(now)].second;
        return true;
    }
};

TEST(RetryBudget, NeverExceedsItsBoundAndAgreesWithTheNaiveModel) {
    const std::uint64_t seed = test_seed();
    SCOPED_TRACE(testing::Message() << "SEED=" << seed);
    core::Rng rng(seed);
    for (int round = 0; round < 100; ++round) {
        const RetryBudgetConfig config{
            .ratio = rng.unit(),
            .min_per_second = static_cast<double>(rng.below(4)),
            .window = seconds(1 + rng.below(20)),
        };
        RetryBudget budget(config);
        NaiveBudget naive{config, {}};
        const Instant start = Instant{} + seconds(rng.below(1'000'000));
        Instant now = start;
        int calls = 0;
        int retries = 0;
        for (int step = 0; step < 2000; ++step) {
            now += milliseconds(rng.below(rng.chance(0.01) ? 60'000 : 50));
            if (rng.chance(0.5)) {
                ++calls;
                budget.deposit(now, static_cast<unsigned>(rng.below(100)));
                ++naive.slices[naive.slice(now)].first;
            } else {
                const bool expected = naive.withdraw(now);
                ASSERT_EQ(budget.try_withdraw(now), expected) << round << " step " << step;
                retries += expected ? 1 : 0;
            }
            const double seconds_so_far =
                std::chrono::duration<double>(now - start + 2 * config.window).count();
            ASSERT_LE(retries, config.ratio * calls + config.min_per_second * seconds_so_far);
        }
        EXPECT_GT(retries, 0);
    }
}

TEST(RetryBudget, ThreadsTogetherNeverTakeMoreThanThereIs) {
    for (int round = 0; round < 50; ++round) {
        RetryBudget budget({.ratio = 0.1, .min_per_second = 0});
        const Instant now{};
        std::atomic<int> taken = 0;
        std::vector<std::thread> threads;
        for (unsigned t = 0; t < 4; ++t) {
            threads.emplace_back([&, t] {
                for (int i = 0; i < 1000; ++i) {
                    budget.deposit(now, t);
                    if (budget.try_withdraw(now)) taken.fetch_add(1);
                }
            });
        }
        for (std::thread& thread : threads) thread.join();
        EXPECT_LE(taken.load(), 400);
        EXPECT_GT(taken.load(), 0);
        EXPECT_EQ(taken.load() + drain(budget, now), 400);
    }
}

TEST(RetryBudget, ASharedReserveIsTakenWhenTheDepositsAreUsedUp) {
    RetryBudget budget({.ratio = 0.2, .min_per_second = 3, .shared = true});
    ASSERT_NE(budget.shared_reserve(), nullptr);
    EXPECT_EQ(budget.shared_reserve()->config(), (SliceConfig{.rate = 3, .burst = 30}));
    const Instant now{};
    budget.shared_reserve()->granted(4, 10, now);
    for (int i = 0; i < 10; ++i) budget.deposit(now);
    EXPECT_EQ(budget.available(now), 7);
    EXPECT_EQ(drain(budget, now), 7) << "two by deposits, one it began with, four granted";
    EXPECT_EQ(budget.shared_reserve()->held(), 0);
    EXPECT_EQ(drain(budget, now + seconds(60)), 0) << "nothing comes by itself";
}

TEST(RetryBudget, WithoutAReserveThereIsNothingToShare) {
    const RetryBudget none({.min_per_second = 0, .shared = true});
    EXPECT_EQ(none.shared_reserve(), nullptr);
    const RetryBudget own({.min_per_second = 3});
    EXPECT_EQ(own.shared_reserve(), nullptr);
}

TEST(RetryBudget, ItsReserveIsSharedOrNotFromOneMomentToTheNext) {
    RetryBudgetConfig config{.ratio = 0, .min_per_second = 3};
    RetryBudget budget(config);
    const Instant now{};
    config.shared = true;
    budget.reconfigure(config, now);
    const auto leased = budget.shared_reserve();
    ASSERT_NE(leased, nullptr);
    EXPECT_EQ(drain(budget, now), 1) << "what a slice begins with, and no reserve of its own";
    config.ratio = 0.5;
    budget.reconfigure(config, now);
    EXPECT_EQ(budget.shared_reserve(), leased) << "the same tokens";
    config.min_per_second = 5;
    budget.reconfigure(config, now);
    EXPECT_EQ(budget.shared_reserve(), leased) << "what is held goes on under other numbers";
    EXPECT_EQ(leased->config(), (SliceConfig{.rate = 5, .burst = 50}));
    leased->granted(8, 2, now);
    config.shared = false;
    budget.reconfigure(config, now);
    EXPECT_EQ(budget.shared_reserve(), nullptr);
    EXPECT_FALSE(leased->is_wanted()) << "who exchanges it returns it";
    EXPECT_EQ(drain(budget, now), 50);
    EXPECT_EQ(leased->give_up().returned, 8);
    config.shared = true;
    budget.reconfigure(config, now);
    EXPECT_EQ(budget.shared_reserve(), leased);
    EXPECT_TRUE(leased->is_wanted());
    EXPECT_EQ(drain(budget, now), 0) << "no second beginning";
}

// A reserve of its own for each of a thousand that start in an outage is what sharing prevents.
TEST(RetryBudget, TrapAProcessThatStartsHasOneTokenOfASharedReserveAndWhatItsCallsPayIn) {
    RetryBudget budget({.ratio = 0.2, .min_per_second = 3, .shared = true});
    Instant now{};
    EXPECT_EQ(drain(budget, now), 1);
    for (int i = 0; i < 50; ++i) budget.deposit(now);
    EXPECT_EQ(drain(budget, now), 10);
    // Somebody exchanges it, in vain: it fills by itself.
    for (int i = 0; i < 100; ++i) {
        (void)budget.shared_reserve()->ask(now);
        budget.shared_reserve()->failed(now);
        now += std::chrono::milliseconds(100);
    }
    EXPECT_NEAR(drain(budget, now), 30, 1);
}

}  // namespace
}  // namespace datapunk::mesh::resilience
