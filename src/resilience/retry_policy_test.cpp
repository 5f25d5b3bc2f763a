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
        c.config.on = static_cast<RetryOn>(127U & ~static_cast<unsigned>(condition));
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

TEST(RetryPolicy, GatewayErrorsAre502And503And504Only) {
    Case c;
    c.config.on = RetryOn::gateway_error;
    for (const auto& [status, reason] :
         {std::pair{500, RetryReason::not_a_condition},
          {501, RetryReason::not_a_condition},
          {502, RetryReason::retry},
          {503, RetryReason::retry},
          {504, RetryReason::retry},
          {505, RetryReason::not_a_condition},
          {0, RetryReason::not_a_condition}}) {
        c.end.status = static_cast<std::uint16_t>(status);
        EXPECT_EQ(c.decide_reason(), reason) << status;
    }
}

TEST(RetryPolicy, AnswersThatBlameNobodyAreRetriedIfListed) {
    Case c;
    c.end.outcome = Outcome::success;
    c.end.status = 409;
    EXPECT_FALSE(may_retry_answers(c.config));
    EXPECT_EQ(c.decide_reason(), RetryReason::succeeded);
    c.config.on = RetryOn::retriable_4xx;
    EXPECT_TRUE(may_retry_answers(c.config));
    EXPECT_EQ(c.decide_reason(), RetryReason::retry);
    c.end.status = 429;
    EXPECT_EQ(c.decide_reason(), RetryReason::succeeded);
    c.config.on = RetryOn::none;
    c.config.on_statuses = {425, 429};
    EXPECT_TRUE(may_retry_answers(c.config));
    EXPECT_EQ(c.decide_reason(), RetryReason::retry);
    c.end.status = 200;
    EXPECT_EQ(c.decide_reason(), RetryReason::succeeded);
    c.end.has_named_header = true;
    EXPECT_EQ(c.decide_reason(), RetryReason::retry);
    c.end.idempotent = false;
    EXPECT_EQ(c.decide_reason(), RetryReason::not_idempotent);
    c.end.idempotent = true;
    c.end.user_verdict = false;
    EXPECT_EQ(c.decide_reason(), RetryReason::succeeded);
}

TEST(RetryPolicy, AnswersOfGrpcGoByTheirOwnListWhichAlsoAllowsThemToBeSentAgain) {
    Case c;
    c.config.non_idempotent = false;
    c.end.idempotent = false;
    c.end.status = 200;
    for (std::uint32_t code = 0; code <= 40; ++code) {
        c.budget.deposit(Instant{}, 0, 1);
        c.end.grpc_status = code;
        c.end.outcome = outcome_of_grpc_status(code);
        c.config.on_grpc = GrpcRetryOn::none;
        const auto unnamed = c.decide_reason();
        EXPECT_EQ(
            unnamed,
            c.end.outcome == Outcome::success ? RetryReason::succeeded
                                              : RetryReason::not_a_condition
        ) << code;
    }
    c.end.grpc_status = 14;
    c.end.outcome = Outcome::server_error;
    c.config.on_grpc = GrpcRetryOn::unavailable;
    EXPECT_EQ(c.decide_reason(), RetryReason::retry);
    c.end.grpc_status = 10;
    c.end.outcome = Outcome::success;
    EXPECT_EQ(c.decide_reason(), RetryReason::succeeded);
    c.config.on_grpc = GrpcRetryOn::aborted | GrpcRetryOn::resource_exhausted;
    EXPECT_EQ(c.decide_reason(), RetryReason::retry);
    c.end.grpc_status = 33;  // must not be taken for 1
    c.config.on_grpc = GrpcRetryOn::cancelled;
    EXPECT_NE(c.decide_reason(), RetryReason::retry);
}

TEST(RetryPolicy, WhoAsksForPeaceIsLeftInPeace) {
    Case c;
    c.end.pushed_back = true;
    EXPECT_EQ(c.decide_reason(), RetryReason::told_not_to);
    c.end.pushed_back = false;
    c.end.retry_after = c.config.retry_after_max;
    EXPECT_EQ(c.decide_reason(), RetryReason::retry);
    c.end.retry_after = c.config.retry_after_max + Duration(1);
    EXPECT_EQ(c.decide_reason(), RetryReason::told_not_to);
    EXPECT_EQ(parse_grpc_pushback("250"), milliseconds(250));
    EXPECT_EQ(parse_grpc_pushback("0"), milliseconds(0));
    EXPECT_EQ(parse_grpc_pushback("-1"), std::nullopt);
    EXPECT_EQ(parse_grpc_pushback("soon"), std::nullopt);
    EXPECT_EQ(parse_grpc_pushback(""), std::nullopt);
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
    for (unsigned set = 0; set < 128; ++set) {
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

// What is wrong with the call is not the endpoint's fault: of the statuses of gRPC fewer than half
// are failures.
TEST(Outcome, TrapNotEveryStatusOfGrpcIsAFailureOfTheEndpoint) {
    for (const std::uint32_t code : {0U, 1U, 3U, 5U, 6U, 7U, 8U, 9U, 10U, 11U, 16U}) {
        EXPECT_FALSE(is_failure(outcome_of_grpc_status(code))) << code;
    }
    for (const std::uint32_t code : {2U, 4U, 12U, 13U, 14U, 15U, 17U, 4'000'000'000U}) {
        EXPECT_TRUE(is_failure(outcome_of_grpc_status(code))) << code;
    }
}

}  // namespace
}  // namespace datapunk::mesh::resilience
