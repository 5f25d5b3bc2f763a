#include "policy/cell.h"

#include <gtest/gtest.h>

#include "core/rng.h"
#include "policy/test_service.h"

namespace datapunk::mesh::policy {
namespace {

using resilience::Outcome;

// Three cells see the same calls; two have their successes noted first, by the thread or on the
// endpoint's own line. Whatever the calls, every decision is the same at the same call, and in the
// end so are the counts.
TEST(Cell, NotingSuccessesChangesNoDecision) {
    const std::uint64_t seed = 17;
    core::Rng rng(seed);
    CallPolicy policy;
    for (int round = 0; round < 200; ++round) {
        SCOPED_TRACE(round);
        const ServiceEndpoint endpoint{.id = "a", .host = "127.0.0.1", .port = 1};
        CircuitBreakerConfig config;
        config.window_calls = 1 + static_cast<std::uint32_t>(rng.below(60));
        config.min_calls = 1 + static_cast<std::uint32_t>(rng.below(config.window_calls));
        policy.slow_call = rng.chance(0.5) ? std::chrono::milliseconds(45) : Duration::max();
        if (rng.chance(0.3)) config.ramp = std::chrono::seconds(20);
        Instant now{};
        LoadPool pool;
        Cell plain(pool, endpoint, config, now);
        Cell noting(pool, endpoint, config, now);
        Cell counting(pool, endpoint, config, now);
        noting.enlist(1, 0);
        NotedSuccesses noted;
        const double failing = rng.unit() * rng.unit();
        for (int call = 0; call < 400; ++call) {
            now += std::chrono::milliseconds(rng.below(rng.chance(0.01) ? 60'000 : 100));
            CellChange one;
            CellChange other;
            const Permit first = plain.admit(now, one);
            CellChange another;
            const Permit second = noting.admit(now, other);
            const Permit third = counting.admit(now, another);
            ASSERT_EQ(first.admitted, second.admitted) << call;
            ASSERT_EQ(first.admitted, third.admitted) << call;
            ASSERT_EQ(one.breaker, other.breaker) << call;
            ASSERT_EQ(one.breaker, another.breaker) << call;
            if (!first) continue;
            const Outcome outcome = rng.chance(failing) ? Outcome::server_error
                                    : rng.chance(0.02)  ? Outcome::cancelled
                                                        : Outcome::success;
            const Duration latency = std::chrono::milliseconds(rng.below(50));
            const auto verdict = resilience::verdict_of(outcome);
            one = plain.record_at_once(first, verdict, latency, policy, now, nullptr);
            other = noting.record(second, verdict, latency, policy, now, &noted);
            another = counting.record(third, verdict, latency, policy, now, nullptr);
            ASSERT_EQ(one.breaker, other.breaker) << call;
            ASSERT_EQ(one.breaker, another.breaker) << call;
            ASSERT_EQ(one.suspect, other.suspect) << call;
            ASSERT_EQ(one.suspect, another.suspect) << call;
            ASSERT_EQ(plain.load.latency_ns.load(), noting.load.latency_ns.load()) << call;
            ASSERT_EQ(plain.load.latency_ns.load(), counting.load.latency_ns.load()) << call;
            ASSERT_LT(noted.of(1), kNotedMax);
            ASSERT_LT(counting.load.owner_count.load(), kNotedMax);
            ASSERT_EQ(plain.successes, noting.successes + noted.of(1)) << call;
            ASSERT_EQ(plain.successes, counting.successes + counting.load.owner_count) << call;
            ASSERT_EQ(plain.failures, noting.failures);
            ASSERT_EQ(plain.failures, counting.failures);
        }
    }
}

TEST(Cell, TheFirstFailureBringsInWhatWasNotedAndACleanWindowNotesAgain) {
    const CallPolicy policy;
    const Instant now{};
    LoadPool pool;
    Cell cell(
        pool, {.id = "a", .host = "127.0.0.1", .port = 1}, {.window_calls = 4, .min_calls = 4}, now
    );
    cell.enlist(7, 0);
    NotedSuccesses noted;
    const auto record = [&](Outcome outcome) {
        CellChange change;
        const Permit permit = cell.admit(now, change);
        return cell.record(
            permit, resilience::verdict_of(outcome), Duration(1), policy, now, &noted
        );
    };
    for (int i = 0; i < 5; ++i) record(Outcome::success);
    EXPECT_EQ(noted.of(7), 5U);
    EXPECT_EQ(cell.successes, 0U);
    record(Outcome::server_error);
    EXPECT_EQ(noted.of(7), 0U);
    EXPECT_EQ(cell.successes, 5U);
    EXPECT_EQ(cell.results.successes, 5U);
    record(Outcome::success);  // on a dirty record: at once
    EXPECT_EQ(cell.successes, 6U);
    for (int i = 0; i < 4; ++i) record(Outcome::success);
    EXPECT_EQ(cell.successes, 10U);  // the window has forgotten the failure, the interval has not
    cell.results.failures = 0;
    record(Outcome::success);
    EXPECT_EQ(cell.successes, 11U);
    record(Outcome::success);  // clean again
    EXPECT_EQ(cell.successes, 11U);
    EXPECT_EQ(noted.of(7), 1U);
}

TEST(NotedSuccesses, OfAnEndpointThatHadTheSlotBeforeAreForgotten) {
    NotedSuccesses noted;
    noted.add(1, 5, Instant{});
    noted.add(1, 5, Instant{});
    EXPECT_EQ(noted.of(1), 2U);
    EXPECT_EQ(noted.of(2), 0U);
    noted.add(2, 5, Instant{});
    EXPECT_EQ(noted.of(2), 1U);
    EXPECT_EQ(noted.of(1), 0U);
}

TEST(NotedSuccesses, OfAnotherEraAreHandedInFirst) {
    NotedSuccesses noted;
    EXPECT_TRUE(noted.has_room(1, 5));
    noted.add(1, 5, Instant{});
    EXPECT_TRUE(noted.has_room(1, 5));
    EXPECT_FALSE(noted.has_room(1, 6));
    noted.clear(1);
    EXPECT_TRUE(noted.has_room(1, 6));
}

}  // namespace
}  // namespace datapunk::mesh::policy
