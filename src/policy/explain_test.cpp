// Explanations: what was decided can be told in words, and keeping it costs no memory that grows.

#include <gmock/gmock.h>

#include "policy/service_policies.h"
#include "policy/test_service.h"

namespace datapunk::mesh::policy {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST(Explain, APickSaysWhoItWasComparedWithAndWhy) {
    ServicePolicies policies("api_service", {}, 1);
    policies.update(test_set(2), Instant{});
    // One answers in 1 ms, the other in 300 ms.
    for (int i = 0; i < 20; ++i) {
        CallState call = call_at(Instant{});
        auto begun = policies.begin_attempt(call, Instant{});
        auto& attempt = std::get<HeldEndpoint>(begun);
        const bool slow = attempt.endpoint().id == "e00000";
        policies.finish_attempt(
            std::move(attempt), Outcome::success, at(milliseconds(slow ? 300 : 1))
        );
    }
    CallState call = call_at(Instant{});
    auto begun = policies.begin_attempt(call, at(milliseconds(300)));
    auto& attempt = std::get<HeldEndpoint>(begun);
    ASSERT_EQ(attempt.endpoint().id, "e00001");
    const std::string text = policies.explain(attempt, at(milliseconds(300)));
    EXPECT_THAT(
        text,
        AllOf(
            HasSubstr("attempt 1: e00001 (10.0.0.1:2), 0 in flight, 1 ms"),
            HasSubstr("rather than e00000 (10.0.0.0:1), 0 in flight, 300 ms"),
            HasSubstr("of 2 known"),
            Not(HasSubstr("left out"))
        )
    );
    policies.finish_attempt(std::move(attempt), Outcome::success, at(milliseconds(301)));
}

TEST(Explain, InGroupsOfEndpointsTheRightOnesAreNamed) {
    ServicePolicy policy;
    policy.breaker.enabled = false;
    policy.outlier.enabled = false;
    policy.zones = {.prefer_own = true, .own = "a", .endpoints_min = 4};
    ServicePolicies policies("api_service", policy, 1);
    EndpointSet set = test_set(8);
    for (std::size_t i = 0; i < 8; ++i) {
        set.endpoints[i].metadata["zone"] = i % 2 == 0 ? "a" : "b";
    }
    policies.update(set, Instant{});
    for (int i = 0; i < 16; ++i) {
        CallState call = call_at(Instant{});
        auto begun = policies.begin_attempt(call, Instant{});
        auto& attempt = std::get<HeldEndpoint>(begun);
        const std::string text = policies.explain(attempt, Instant{});
        EXPECT_THAT(text, HasSubstr("attempt 1: " + attempt.endpoint().id));
        EXPECT_THAT(text, Not(HasSubstr("gone")));
        // Who was picked is one of those that were compared.
        EXPECT_THAT(text, HasSubstr("), 0 in flight"));
        policies.finish_attempt(std::move(attempt), Outcome::success, at(milliseconds(1)));
    }
}

TEST(Explain, ARetrySaysWhatTheBudgetHadAndARefusalWhoWasLeftOut) {
    ServicePolicy policy{.balance = RoundRobin{}};
    policy.patience_min = Duration::zero();  // no time passes here
    policy.breaker.consecutive = 1;
    policy.outlier.enabled = false;
    policy.retry.budget = {.ratio = 0, .min_per_second = 0.1};
    ServicePolicies policies("api_service", policy, 1);
    policies.update(test_set(2), Instant{});
    CallState call = call_at(Instant{});
    const resilience::AttemptEnd end{.outcome = Outcome::timeout, .idempotent = true};
    for (int i = 0; i < 2; ++i) {
        auto begun = policies.begin_attempt(call, Instant{});
        policies.finish_attempt(std::move(std::get<HeldEndpoint>(begun)), end.outcome, Instant{});
        policies.after_attempt(call, end, Instant{});
    }
    ASSERT_TRUE(std::holds_alternative<NoEndpoint>(policies.begin_attempt(call, Instant{})));
    CallState late{resilience::Deadline(Instant{})};
    ASSERT_TRUE(std::holds_alternative<NoEndpoint>(policies.begin_attempt(late, Instant{})));
    const auto told = policies.decisions();
    ASSERT_EQ(told.size(), 6U);
    EXPECT_THAT(told[0].text, HasSubstr("attempt 1: e0000"));
    EXPECT_THAT(
        told[1].text,
        AllOf(HasSubstr("after attempt 1 (timeout): retry in "), HasSubstr("0.0 tokens"))
    );
    EXPECT_THAT(told[2].text, AllOf(HasSubstr("attempt 2: e0000"), HasSubstr("1 tried before")));
    EXPECT_THAT(told[3].text, HasSubstr("no other, retry budget exhausted"));
    EXPECT_THAT(
        told[4].text,
        AllOf(HasSubstr("refused after 2 attempts"), HasSubstr("2 open, next try in 30s"))
    );
    EXPECT_THAT(told[5].text, HasSubstr("the deadline passed before an attempt could begin"));
    for (int i = 0; i < 5; ++i) {
        EXPECT_EQ(told[static_cast<std::size_t>(i)].call, told[0].call);
    }
    EXPECT_NE(told[5].call, told[0].call);
}

TEST(Explain, SaysWhoIsLeftOutAndWhoHasGone) {
    ServicePolicy policy{.balance = RoundRobin{}};
    policy.breaker.consecutive = 1;
    policy.outlier.enabled = false;
    ServicePolicies policies("api_service", policy, 1);
    policies.update(test_set(3), Instant{});
    const auto failed = ask(policies, Instant{}, Outcome::server_error);
    CallState call = call_at(Instant{});
    auto begun = policies.begin_attempt(call, Instant{});
    auto& attempt = std::get<HeldEndpoint>(begun);
    EXPECT_THAT(
        policies.explain(attempt, Instant{}),
        HasSubstr("left out by now: " + *failed + " (breaker open)")
    );
    policies.finish_attempt(std::move(attempt), Outcome::success, Instant{});
    policies.update({.service = "api_service"}, Instant{});
    policies.tick(Instant{});
    policies.tick(Instant{});
    EXPECT_THAT(policies.decisions().front().text, HasSubstr("one that has gone"));
}

TEST(Explain, KeepsTheLastDecisionsOfEachThreadAndNoMore) {
    ServicePolicies policies("api_service", {}, 1);
    policies.update(test_set(3), Instant{});
    CallState call = call_at(Instant{});
    auto first = policies.begin_attempt(call, Instant{});
    for (std::size_t i = 0; i < 3 * kDecisionsKept; ++i) ask(policies, at(milliseconds(i)));
    EXPECT_EQ(policies.decisions().size(), kDecisionsKept);
    auto& attempt = std::get<HeldEndpoint>(first);
    EXPECT_THAT(policies.explain(attempt, at(seconds(1))), HasSubstr("picked 1s ago"));
    policies.finish_attempt(std::move(attempt), Outcome::success, at(seconds(1)));
}

}  // namespace
}  // namespace datapunk::mesh::policy
