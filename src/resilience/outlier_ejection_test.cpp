#include "resilience/outlier_ejection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "core/rng.h"

namespace datapunk::mesh::resilience {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

std::uint64_t test_seed() {
    const char* given = std::getenv("SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : 20260103;
}

struct Set {
    explicit Set(std::size_t n) : stats(n) {
        for (OutlierStats& one : stats) all.push_back(&one);
    }

    void success_percent(std::size_t i, std::uint32_t percent, std::uint32_t calls = 100) {
        stats[i].successes = calls * percent / 100;
        stats[i].failures = calls - stats[i].successes;
    }

    std::vector<std::size_t> swept(const OutlierConfig& config, Instant now) {
        std::vector<std::size_t> out;
        for (const Ejection& one : sweep(all, config, now)) out.push_back(one.index);
        return out;
    }

    std::vector<OutlierStats> stats;
    std::vector<OutlierStats*> all;
};

const Instant kNow = Instant{} + minutes(100);

TEST(OutlierEjection, FiveFailuresInARowEjectAndFourDoNot) {
    Set set(3);
    const OutlierConfig config;
    for (int i = 0; i < 4; ++i) EXPECT_FALSE(record_failure(set.stats[0], config, kNow));
    EXPECT_FALSE(try_eject(set.all, 0, config, kNow));
    record_success(set.stats[0], kNow);
    for (int i = 0; i < 4; ++i) EXPECT_FALSE(record_failure(set.stats[0], config, kNow));
    EXPECT_TRUE(record_failure(set.stats[0], config, kNow));
    const auto ejection = try_eject(set.all, 0, config, kNow);
    ASSERT_TRUE(ejection);
    EXPECT_EQ(ejection->until, kNow + seconds(30));
    EXPECT_EQ(describe(*ejection), "5 failures in a row");
}

TEST(OutlierEjection, EndsExactlyWhenItIsDueWithoutASweep) {
    Set set(2);
    set.success_percent(0, 0);
    set.success_percent(1, 100);
    ASSERT_EQ(set.swept({}, kNow).size(), 1U);
    EXPECT_TRUE(is_ejected(set.stats[0], kNow + seconds(30) - Duration(1)));
    EXPECT_FALSE(is_ejected(set.stats[0], kNow + seconds(30)));
}

TEST(OutlierEjection, LateResultsDuringAnEjectionDoNotCount) {
    Set set(2);
    set.stats[0].ejected_until = kNow + seconds(1);
    const OutlierConfig config;
    for (int i = 0; i < 9; ++i) EXPECT_FALSE(record_failure(set.stats[0], config, kNow));
    record_success(set.stats[0], kNow);
    EXPECT_EQ(set.stats[0].failures + set.stats[0].successes, 0U);
}

TEST(OutlierEjection, FailurePercentageNeedsVolumeAndReachesTheLimitExactly) {
    const OutlierConfig config{.stdev_factor = 0};
    for (const auto& [percent, calls, out] :
         {std::tuple{15U, 20U, 1U}, std::tuple{20U, 20U, 0U}, std::tuple{0U, 19U, 0U}}) {
        Set set(2);
        set.success_percent(0, percent, calls);
        EXPECT_EQ(set.swept(config, kNow).size(), out) << percent << " of " << calls;
    }
}

TEST(OutlierEjection, SuccessRateFindsOneBadAmongTwoToNineEndpoints) {
    for (std::size_t n = 2; n <= 9; ++n) {
        Set set(n);
        for (std::size_t i = 0; i < n; ++i) set.success_percent(i, i == n / 2 ? 60 : 99);
        EXPECT_THAT(set.swept({}, kNow), testing::ElementsAre(n / 2)) << n;
    }
}

TEST(OutlierEjection, SuccessRateFindsUpToHalfOfThemEquallyBad) {
    for (std::size_t n = 4; n <= 12; ++n) {
        const std::size_t bad = n / 2;
        Set set(n);
        for (std::size_t i = 0; i < n; ++i) set.success_percent(i, i < bad ? 50 : 100);
        EXPECT_EQ(set.swept({.max_ejected_percent = 100}, kNow).size(), bad) << n;
    }
}

TEST(OutlierEjection, SmallDifferencesAndCommonTroubleEjectNobody) {
    Set near(5);
    for (std::size_t i = 0; i < 5; ++i) near.success_percent(i, i == 0 ? 92 : 100);
    EXPECT_TRUE(near.swept({}, kNow).empty());
    Set common(5);
    for (std::size_t i = 0; i < 5; ++i) {
        common.success_percent(i, 50 + static_cast<std::uint32_t>(i));
    }
    EXPECT_TRUE(common.swept({}, kNow).empty());
}

TEST(OutlierEjection, ChanceAloneRarelyEjects) {
    const std::uint64_t seed = test_seed();
    SCOPED_TRACE(testing::Message() << "SEED=" << seed);
    core::Rng rng(seed);
    int ejected = 0;
    for (int round = 0; round < 1000; ++round) {
        Set set(10);
        for (OutlierStats& one : set.stats) {
            for (int i = 0; i < 100; ++i) ++(rng.chance(0.9) ? one.successes : one.failures);
        }
        ejected += static_cast<int>(set.swept({}, kNow).size());
    }
    EXPECT_LE(ejected, 5);
}

TEST(OutlierEjection, TheShareIsRelativeButOneIsAlwaysAllowed) {
    for (const auto& [percent, out] : {std::pair{0.0, 1U}, {10.0, 1U}, {49.0, 4U}, {50.0, 5U}}) {
        Set set(10);
        for (std::size_t i = 0; i < 10; ++i) set.success_percent(i, i < 8 ? 0 : 100);
        EXPECT_EQ(set.swept({.max_ejected_percent = percent}, kNow).size(), out) << percent;
    }
}

TEST(OutlierEjection, TheNumberIsAbsoluteBesideTheShareButOneIsAlwaysAllowed) {
    for (const std::uint32_t most : {0U, 1U, 2U, 3U}) {
        Set set(10);
        for (std::size_t i = 0; i < 10; ++i) set.success_percent(i, i < 5 ? 0 : 100);
        const OutlierConfig config{.max_ejected_percent = 40, .max_ejected = most};
        EXPECT_EQ(sweep(set.all, config, kNow).size(), most == 0 ? 4U : most);
    }
}

// mean - 1.9 sigma over all can never fire once 21.7 % are bad: 1 / (1 + 1.9^2).
TEST(OutlierEjection, TrapSigmaOverAllIsBlindWhereTheWalkAndThePercentageSee) {
    for (const std::size_t bad : {3U, 5U, 6U, 9U}) {
        Set set(10);
        double sum = 0;
        double squares = 0;
        for (std::size_t i = 0; i < 10; ++i) {
            const double percent = i < bad ? 10 : 100;
            set.success_percent(i, static_cast<std::uint32_t>(percent));
            sum += percent;
            squares += percent * percent;
        }
        const double mean = sum / 10;
        EXPECT_GT(10, mean - 1.9 * std::sqrt(squares / 10 - mean * mean)) << "the usual rule";
        const auto found = sweep(set.all, {.max_ejected_percent = 100}, kNow);
        EXPECT_EQ(found.size(), bad);
        for (const Ejection& one : found) EXPECT_LT(one.index, bad);
    }
}

TEST(OutlierEjection, SilenceEjectsUnderTheSameLimits) {
    Set set(3);
    const OutlierConfig config{.phi = 8, .max_ejected_percent = 100};
    EXPECT_FALSE(try_eject_silent(set.all, 0, 7.9, config, kNow));
    EXPECT_FALSE(try_eject_silent(set.all, 0, 100, {}, kNow)) << "off";
    const auto first = try_eject_silent(set.all, 0, 8, config, kNow);
    ASSERT_TRUE(first);
    EXPECT_EQ(describe(*first), "calls are out and nothing is answered: suspicion 8.0, limit 8.0");
    EXPECT_FALSE(try_eject_silent(set.all, 0, 9, config, kNow)) << "it is out";
    EXPECT_TRUE(try_eject_silent(set.all, 1, 9, config, kNow));
    EXPECT_FALSE(try_eject_silent(set.all, 2, 1000, config, kNow)) << "the last";
}

TEST(OutlierEjection, TheWorstGoFirst) {
    Set set(4);
    set.success_percent(0, 14);
    set.success_percent(1, 0);
    set.success_percent(2, 100);
    set.success_percent(3, 100);
    EXPECT_THAT(set.swept({.max_ejected_percent = 25}, kNow), testing::ElementsAre(1));
}

TEST(OutlierEjection, NeverEjectsTheLastUsableOne) {
    Set alone(1);
    alone.success_percent(0, 0);
    EXPECT_TRUE(alone.swept({.max_ejected_percent = 100}, kNow).empty());
    Set pair(2);
    pair.stats[1].usable = false;
    pair.stats[0].in_a_row = 100;
    EXPECT_FALSE(try_eject(pair.all, 0, {.max_ejected_percent = 100}, kNow));
    pair.stats[1].usable = true;
    EXPECT_TRUE(try_eject(pair.all, 0, {.max_ejected_percent = 100}, kNow));
}

TEST(OutlierEjection, TimeGrowsWithTheCountUpToTheCapAndDecaysPerHealthySweep) {
    Set set(2);
    const OutlierConfig config{.base_ejection = seconds(30), .max_ejection = seconds(80)};
    Instant now = kNow;
    for (const int wait : {30, 60, 80, 80}) {
        set.stats[0].in_a_row = 5;
        const auto ejection = try_eject(set.all, 0, config, now);
        ASSERT_TRUE(ejection);
        EXPECT_EQ(ejection->until, now + seconds(wait));
        EXPECT_TRUE(sweep(set.all, config, now + seconds(1)).empty());
        now = ejection->until;
    }
    const std::uint32_t count = set.stats[0].ejections;
    for (std::uint32_t i = count; i > 0; --i) {
        EXPECT_EQ(set.stats[0].ejections, i);
        sweep(set.all, config, now);
    }
    sweep(set.all, config, now);
    EXPECT_EQ(set.stats[0].ejections, 0U);
}

TEST(OutlierEjection, DisabledDoesNothing) {
    Set set(3);
    const OutlierConfig config{.enabled = false};
    for (int i = 0; i < 50; ++i) EXPECT_FALSE(record_failure(set.stats[0], config, kNow));
    set.success_percent(0, 0);
    EXPECT_TRUE(sweep(set.all, config, kNow).empty());
}

TEST(OutlierEjection, DescribesWithTheNumbers) {
    Set set(3);
    set.success_percent(0, 8, 40);
    set.success_percent(1, 100);
    set.success_percent(2, 100);
    EXPECT_EQ(describe(sweep(set.all, {}, kNow).at(0)), "92.5 % of 40 calls failed, limit 85.0 %");
    set.success_percent(1, 61);
    set.success_percent(2, 100);
    EXPECT_EQ(
        describe(sweep(set.all, {}, kNow + seconds(60)).at(0)),
        "61.0 % of 100 calls succeeded, the others' limit is 90.5 %"
    );
}

TEST(OutlierEjection, RandomSchedulesNeverLoseTheLastOneOrTheShare) {
    const std::uint64_t seed = test_seed();
    SCOPED_TRACE(testing::Message() << "SEED=" << seed);
    core::Rng rng(seed);
    for (int round = 0; round < 200; ++round) {
        Set set(1 + rng.below(12));
        OutlierConfig config;
        config.max_ejected_percent = static_cast<double>(rng.below(101));
        config.max_ejected = static_cast<std::uint32_t>(rng.below(4));
        config.phi = 8;
        Instant now = kNow;
        for (int step = 0; step < 500; ++step) {
            now += milliseconds(rng.below(2000));
            const std::size_t at = rng.below(set.stats.size());
            if (rng.chance(0.02)) set.stats[at].usable = !set.stats[at].usable;
            const auto usable = [&] {
                std::size_t count = 0;
                for (const OutlierStats& one : set.stats) {
                    count += one.usable && !is_ejected(one, now) ? 1 : 0;
                }
                return count;
            };
            const auto ejected = [&] {
                std::size_t count = 0;
                for (const OutlierStats& one : set.stats) count += is_ejected(one, now) ? 1 : 0;
                return count;
            };
            const std::size_t usable_before = usable();
            const std::size_t ejected_before = ejected();
            if (rng.chance(0.1)) {
                sweep(set.all, config, now);
            } else if (rng.chance(0.1)) {
                try_eject_silent(set.all, at, 10 * rng.unit(), config, now);
            } else {
                for (int i = 0; i < 6; ++i) {
                    if (record_failure(set.stats[at], config, now)) {
                        try_eject(set.all, at, config, now);
                    }
                }
            }
            if (usable_before > 0) {
                ASSERT_GE(usable(), 1U);
            }
            const std::size_t grew = ejected();
            if (grew > ejected_before && grew > 1) {
                ASSERT_LE(
                    100.0 * static_cast<double>(grew),
                    config.max_ejected_percent * static_cast<double>(set.stats.size()) + 1e-6
                );
                ASSERT_LE(grew, config.max_ejected == 0 ? grew : config.max_ejected);
            }
        }
    }
}

}  // namespace
}  // namespace datapunk::mesh::resilience
