#include "resilience/retry_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace datapunk::mesh::resilience {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct Case {
    RetryConfig config;
    AttemptEnd end{.outcome = Outcome::server_error, .idempotent = true};
    RetryBudget budget{{.ratio = 0, .min_per_second = 1}};
    core::Rng rng{7};

    RetryReason decide_reason() {
        const double before = budget.available(Instant{});
        const RetryDecision decision = decide(config, end, budget, rng, Instant{});
        EXPECT_EQ(before - budget.available(Instant{}), decision ? 1 : 0);
        EXPECT_LE(decision.wait, decision ? Duration::max() : Duration::zero());
        return decision.reason;
    }
};

TEST(RetryPolicy, RetriesEveryConditionOnlyWhenItIsNamed) {
    for (const auto& [outcome, condition] :
         {std::pair{Outcome::server_error, RetryOn::server_error},
          {Outcome::connect_failure, RetryOn::connect_failure},
          {Outcome::refused_stream, RetryOn::refused_stream},
          {Outcome::timeout, RetryOn::timeout},
          {Outcome::reset, RetryOn::reset}}) {
        Case c;
        c.end.outcome = outcome;
        c.config.on = condition;
        EXPECT_EQ(c.decide_reason(), RetryReason::retry) << to_string(outcome);
        c.config.on = static_cast<RetryOn>(31U & ~static_cast<unsigned>(condition));
        EXPECT_EQ(c.decide_reason(), RetryReason::not_a_condition) << to_string(outcome);
    }
}

TEST(RetryPolicy, SuccessAndCancellationAreFinal) {
    Case c;
    c.end.outcome = Outcome::success;
    EXPECT_EQ(c.decide_reason(), RetryReason::succeeded);
    c.end.outcome = Outcome::cancelled;
    c.end.user_verdict = true;
    EXPECT_EQ(c.decide_reason(), RetryReason::cancelled);
}

TEST(RetryPolicy, CountsAttemptsInAll) {
    Case c;
    c.end.attempt = 2;
    EXPECT_EQ(c.decide_reason(), RetryReason::retry);
    c.end.attempt = 3;
    EXPECT_EQ(c.decide_reason(), RetryReason::attempts_used);
    c.config.attempts = 1;
    c.end.attempt = 1;
    EXPECT_EQ(c.decide_reason(), RetryReason::attempts_used);
}

TEST(RetryPolicy, NonIdempotentCallsOnlyWhenUnsentOrAllowed) {
    Case c;
    c.end.idempotent = false;
    EXPECT_EQ(c.decide_reason(), RetryReason::not_idempotent);
    c.end.outcome = Outcome::connect_failure;
    EXPECT_EQ(c.decide_reason(), RetryReason::retry);
    c.end.outcome = Outcome::refused_stream;
    EXPECT_EQ(c.decide_reason(), RetryReason::retry);
    c.end.outcome = Outcome::timeout;
    EXPECT_EQ(c.decide_reason(), RetryReason::not_idempotent);
    c.config.non_idempotent = true;
    EXPECT_EQ(c.decide_reason(), RetryReason::retry);
}

TEST(RetryPolicy, NeverWithoutTheBodyOrAfterTheAnswerBegan) {
    Case c;
    c.end.replayable = false;
    EXPECT_EQ(c.decide_reason(), RetryReason::not_replayable);
    c.end.replayable = true;
    c.end.answer_begun = true;
    EXPECT_EQ(c.decide_reason(), RetryReason::not_replayable);
}

TEST(RetryPolicy, TheUsersPredicateOutranksTheConditionsOnly) {
    Case c;
    c.end.user_verdict = false;
    EXPECT_EQ(c.decide_reason(), RetryReason::not_a_condition);
    c.end.outcome = Outcome::success;
    c.end.user_verdict = true;
    EXPECT_EQ(c.decide_reason(), RetryReason::retry);
    c.end.idempotent = false;
    EXPECT_EQ(c.decide_reason(), RetryReason::not_idempotent);
}

TEST(RetryPolicy, RetryAfterIsAFloorAndTheDeadlineACeiling) {
    Case c;
    c.end.retry_after = seconds(2);
    const RetryDecision decision = decide(c.config, c.end, c.budget, c.rng, Instant{});
    EXPECT_EQ(decision, (RetryDecision{.reason = RetryReason::retry, .wait = seconds(2)}));
    c.end.deadline = Deadline::in(Instant{}, seconds(2));
    EXPECT_EQ(c.decide_reason(), RetryReason::deadline);
    c.end.deadline = Deadline::in(Instant{}, seconds(2) + Duration(1));
    EXPECT_EQ(c.decide_reason(), RetryReason::retry);
    c.end.retry_after = Duration::zero();
    EXPECT_LE(decide(c.config, c.end, c.budget, c.rng, Instant{}).wait, milliseconds(25));
}

TEST(RetryPolicy, AnEmptyBudgetSaysSo) {
    Case c;
    for (int i = 0; i < 10; ++i) EXPECT_EQ(c.decide_reason(), RetryReason::retry);
    EXPECT_EQ(c.decide_reason(), RetryReason::budget_exhausted);
}

TEST(RetryOnNames, ReadBackWhatTheyWrite) {
    for (unsigned set = 0; set < 32; ++set) {
        const auto on = static_cast<RetryOn>(set);
        EXPECT_EQ(parse_retry_on(format_retry_on(on)).value(), on);
    }
    EXPECT_EQ(
        format_retry_on(RetryConfig{}.on), "5xx,connect-failure,refused-stream,timeout,reset"
    );
    EXPECT_EQ(parse_retry_on(" 5xx , reset ").value(), RetryOn::server_error | RetryOn::reset);
}

TEST(RetryOnNames, AnUnknownNameIsRefusedWithAHint) {
    const auto result = parse_retry_on("5xx,conect-failure");
    ASSERT_FALSE(result);
    EXPECT_THAT(result.error().what, testing::HasSubstr("did you mean \"connect-failure\""));
    EXPECT_FALSE(parse_retry_on("5xx,"));
    EXPECT_FALSE(parse_retry_on("5XX"));
}

TEST(Outcome, StatusesAndMethods) {
    EXPECT_EQ(outcome_of_status(499), Outcome::success);
    EXPECT_EQ(outcome_of_status(500), Outcome::server_error);
    EXPECT_FALSE(is_failure(Outcome::cancelled));
    EXPECT_TRUE(is_failure(Outcome::timeout));
    EXPECT_TRUE(is_idempotent_method("PUT"));
    EXPECT_FALSE(is_idempotent_method("POST"));
    EXPECT_FALSE(is_idempotent_method("PATCH"));
    EXPECT_FALSE(is_idempotent_method("get"));
}

}  // namespace
}  // namespace datapunk::mesh::resilience
