#include "health/health_state.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "core/rng.h"

namespace datapunk::mesh::health {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

std::uint64_t test_seed() {
    const char* given = std::getenv("SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : 20260107;
}

TEST(HealthState, TurnsCriticalAtTheThirdFailureInARow) {
    Instant now{};
    HealthState state({}, Health::passing, now);
    EXPECT_FALSE(state.on_result(Health::critical, "refused", now));
    EXPECT_FALSE(state.on_result(Health::critical, "refused", now));
    EXPECT_FALSE(state.on_result(Health::passing, "", now));
    EXPECT_FALSE(state.on_result(Health::critical, "refused", now));
    EXPECT_FALSE(state.on_result(Health::critical, "refused", now));
    now += seconds(10);
    const auto change = state.on_result(Health::critical, "refused\nby 10.0.0.1", now);
    EXPECT_EQ(
        change,
        (HealthTransition{
            .from = Health::passing,
            .to = Health::critical,
            .reason = "3 failures in a row: refused",
            .at = now,
        })
    );
    EXPECT_EQ(state.since(), now);
    EXPECT_FALSE(state.on_result(Health::critical, "refused", now + seconds(10)));
    EXPECT_EQ(state.since(), now);
}

TEST(HealthState, TurnsPassingAtTheSecondSuccessInARow) {
    const Instant now{};
    HealthState state({}, Health::critical, now);
    EXPECT_FALSE(state.on_result(Health::passing, "", now));
    EXPECT_FALSE(state.on_result(Health::critical, "", now));
    EXPECT_FALSE(state.on_result(Health::passing, "", now));
    EXPECT_EQ(state.status(), Health::critical);
    const auto change = state.on_result(Health::passing, "", now);
    ASSERT_TRUE(change);
    EXPECT_EQ(change->reason, "2 successes in a row");
}

TEST(HealthState, WarningCountsAsASuccessAndIsReached) {
    const Instant now{};
    HealthState state({}, Health::critical, now);
    EXPECT_FALSE(state.on_result(Health::passing, "", now));
    EXPECT_EQ(state.on_result(Health::warning, "429", now)->to, Health::warning);
    EXPECT_EQ(state.on_result(Health::passing, "", now)->to, Health::passing);
    for (int i = 0; i < 2; ++i) EXPECT_FALSE(state.on_result(Health::critical, "", now));
    EXPECT_TRUE(state.on_result(Health::critical, "", now));
}

TEST(HealthState, ThresholdsOfOneTurnAtOnce) {
    const Instant now{};
    HealthState state(
        {.failures_before_critical = 1, .successes_before_passing = 1}, Health::passing, now
    );
    EXPECT_EQ(state.on_result(Health::critical, "x", now)->reason, "1 failure in a row: x");
    EXPECT_EQ(state.on_result(Health::passing, "", now)->reason, "1 success in a row");
}

TEST(HealthState, FailuresDuringTheGracePeriodDoNotCount) {
    Instant now{};
    HealthState state({}, Health::passing, now, seconds(30));
    for (; now < Instant{} + seconds(30); now += seconds(1)) {
        EXPECT_FALSE(state.on_result(Health::critical, "", now));
    }
    EXPECT_FALSE(state.on_result(Health::critical, "", now));
    EXPECT_FALSE(state.on_result(Health::critical, "", now));
    EXPECT_TRUE(state.on_result(Health::critical, "", now));
}

TEST(HealthState, ATtlCheckExpiresExactlyAfterItsTtlAndIsToldItsStatusAtOnce) {
    const HealthCheck check{.kind = HealthCheck::Kind::ttl, .ttl = seconds(30)};
    Instant now{};
    HealthState state(check, Health::critical, now);
    EXPECT_EQ(state.on_result(Health::passing, "ok", now)->to, Health::passing);
    EXPECT_EQ(state.expires_at(), now + seconds(30));
    EXPECT_FALSE(state.expire(now + seconds(30) - Duration(1)));
    now += seconds(20);
    EXPECT_FALSE(state.on_result(Health::passing, "ok", now));
    EXPECT_FALSE(state.expire(now + seconds(29)));
    const auto change = state.expire(now + seconds(30));
    ASSERT_TRUE(change);
    EXPECT_EQ(change->reason, "TTL expired");
    EXPECT_EQ(state.output(), "TTL expired");
    EXPECT_EQ(state.expires_at(), kNever);
    EXPECT_FALSE(state.expire(now + seconds(60)));
    EXPECT_EQ(state.on_result(Health::warning, "", now + seconds(61))->to, Health::warning);
    EXPECT_EQ(state.on_result(Health::critical, "", now + seconds(62))->to, Health::critical);
}

TEST(HealthState, OnlyTtlChecksExpire) {
    HealthState state({}, Health::passing, Instant{});
    EXPECT_EQ(state.expires_at(), kNever);
    EXPECT_FALSE(state.expire(Instant{} + minutes(600)));
}

TEST(HealthState, DeregistrationIsDueAfterSoLongCriticalWithoutABreak) {
    Instant now{};
    HealthState state({.successes_before_passing = 1}, Health::critical, now);
    EXPECT_EQ(state.deregister_at(), now + minutes(1));
    now += seconds(59);
    state.on_result(Health::passing, "", now);
    EXPECT_EQ(state.deregister_at(), kNever);
    for (int i = 0; i < 3; ++i) state.on_result(Health::critical, "", now);
    EXPECT_EQ(state.deregister_at(), now + minutes(1));
    HealthState never({.deregister_after = Duration::zero()}, Health::critical, now);
    EXPECT_EQ(never.deregister_at(), kNever);
}

TEST(HealthState, OutputIsBounded) {
    HealthState state({}, Health::passing, Instant{});
    state.on_result(Health::passing, std::string(kOutputBytesMax + 1, 'x'), Instant{});
    EXPECT_EQ(state.output().size(), kOutputBytesMax);
}

TEST(HealthState, StatusIsWhatTheLastLongEnoughRunSaid) {
    const std::uint64_t seed = test_seed();
    SCOPED_TRACE(testing::Message() << "SEED=" << seed);
    core::Rng rng(seed);
    for (int round = 0; round < 100; ++round) {
        HealthCheck check;
        check.failures_before_critical = 1 + static_cast<std::uint32_t>(rng.below(4));
        check.successes_before_passing = 1 + static_cast<std::uint32_t>(rng.below(4));
        HealthState state(check, Health::passing, Instant{});
        Health expected = Health::passing;
        std::vector<Health> history;
        for (int step = 0; step < 200; ++step) {
            history.push_back(static_cast<Health>(rng.below(3)));
            std::uint32_t run = 0;
            const bool bad = history.back() == Health::critical;
            for (auto it = history.rbegin(); it != history.rend(); ++it, ++run) {
                if ((*it == Health::critical) != bad) break;
            }
            const Health before = expected;
            if (run >= (bad ? check.failures_before_critical : check.successes_before_passing)) {
                expected = history.back();
            }
            const auto change = state.on_result(history.back(), "", Instant{});
            ASSERT_EQ(state.status(), expected);
            ASSERT_EQ(change.has_value(), before != expected);
        }
    }
}

}  // namespace
}  // namespace datapunk::mesh::health
