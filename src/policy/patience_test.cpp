// Whose fault a timeout is: a caller's who had no patience, or an endpoint's that did not answer in
// a time in which it should have. THREAT_MODEL.md has the attack.

#include <gtest/gtest.h>

#include "policy/test_service.h"
#include "policy/usual_latency.h"

namespace datapunk::mesh::policy {
namespace {

using resilience::BreakerState;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

class Patience : public testing::Test {
  protected:
    void make(const ServicePolicy& policy, Duration usual) {
        service.emplace("api_service", policy, 1);
        service->update(test_set(4), now);
        service->tick(now);
        for (int i = 0; usual > Duration::zero() && i < 200; ++i) {
            ask(*service, now, Outcome::success, usual);
        }
        service->tick(now += seconds(1));
    }

    // So many calls that time out after `given`: failures counted in all.
    std::uint64_t time_out(int calls, Duration given) {
        for (int i = 0; i < calls; ++i)
            ask(*service, now += milliseconds(1), Outcome::timeout, given);
        std::uint64_t failures = 0;
        for (const auto& seen : service->view(now).endpoints) failures += seen.failures;
        return failures;
    }

    bool are_all_well() const {
        for (const auto& seen : service->view(now).endpoints) {
            if (seen.ejected_until || seen.breaker.state != BreakerState::closed) return false;
        }
        return true;
    }

    Instant now{seconds(100)};
    std::optional<ServicePolicies> service;
};

TEST_F(Patience, CallersWithAbsurdDeadlinesHaveNoHealthyEndpointLeftOut) {
    make({}, milliseconds(20));
    EXPECT_EQ(time_out(1000, milliseconds(1)), 0U);
    EXPECT_EQ(time_out(1000, milliseconds(39)), 0U) << "less than twice the mean";
    EXPECT_TRUE(are_all_well());
    service->tick(now += seconds(1));
    EXPECT_TRUE(are_all_well());
    // They are counted for what they are.
    EXPECT_EQ(service->totals().outcomes[static_cast<std::size_t>(Outcome::timeout)], 2000U);
}

TEST_F(Patience, AHangingEndpointIsNoticedBehindCallersWithOrdinaryOnes) {
    make({}, milliseconds(20));
    EXPECT_EQ(time_out(3, milliseconds(40)), 3U) << "twice the mean";
    time_out(100, milliseconds(100));
    EXPECT_FALSE(are_all_well());
}

TEST_F(Patience, TimesOutDoNotMakeTimeoutsUsual) {
    make({}, milliseconds(20));
    ServicePolicy lenient;
    lenient.breaker.enabled = false;
    lenient.outlier.enabled = false;
    make(lenient, milliseconds(20));
    for (int i = 0; i < 10; ++i) {
        EXPECT_EQ(time_out(50, milliseconds(100)), 50U * static_cast<unsigned>(i + 1));
        service->tick(now += seconds(1));
    }
}

TEST_F(Patience, BeforeAnythingIsMeasuredTheLeastPatienceDecides) {
    make({.patience_min = milliseconds(30)}, Duration::zero());
    EXPECT_EQ(time_out(3, milliseconds(30) - Duration(1)), 0U);
    EXPECT_EQ(time_out(1, milliseconds(30)), 1U);
    make({.patience_min = Duration::zero()}, Duration::zero());
    EXPECT_EQ(time_out(1, Duration::zero()), 1U);
}

TEST_F(Patience, WhatThePolicyItselfGivesIsEnough) {
    ServicePolicy policy;
    policy.retry.attempt_timeout = milliseconds(5);
    make(policy, milliseconds(20));
    EXPECT_EQ(time_out(3, milliseconds(5) - Duration(1)), 0U);
    EXPECT_EQ(time_out(1, milliseconds(5)), 1U);
    policy = {.deadline = milliseconds(8)};
    make(policy, milliseconds(20));
    EXPECT_EQ(time_out(1, milliseconds(8)), 1U);
}

TEST_F(Patience, WhoKnowsBetterIsBelieved) {
    make({}, milliseconds(20));
    CallState call = call_at(now);
    auto begun = service->begin_attempt(call, now);
    service->finish_attempt(
        std::move(std::get<HeldEndpoint>(begun)), Outcome::timeout, now + milliseconds(1), true
    );
    EXPECT_EQ(time_out(0, {}), 1U);
}

TEST(UsualLatency, IsTheMeanOfTheLastMinuteOrSo) {
    UsualLatency usual;
    Instant now{seconds(1)};
    EXPECT_EQ(usual.learn(9, 9'000, now), 0) << "too few";
    EXPECT_EQ(usual.learn(10, 10'000, now), 1'000);
    std::uint64_t answers = 10;
    std::uint64_t ns = 10'000;
    std::int64_t mean = 0;
    for (int s = 0; s < 180; ++s) {
        answers += 10;
        ns += 10 * 5'000;
        mean = usual.learn(answers, ns, now += seconds(1));
    }
    EXPECT_NEAR(static_cast<double>(mean), 5'000, 10);
    EXPECT_EQ(usual.learn(answers, ns, now + minutes(30)), 0) << "forgotten";
}

}  // namespace
}  // namespace datapunk::mesh::policy
