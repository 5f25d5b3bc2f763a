// What ticks add up to: silence that is ejected, forecasts, verdicts.

#include <gtest/gtest.h>

#include <vector>

#include "policy/test_service.h"

namespace datapunk::mesh::policy {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Instant kStart{};

ServicePolicy listening() {
    ServicePolicy policy{.balance = RoundRobin{}};
    policy.outlier.phi = 8;
    return policy;
}

// Each endpoint answers a call a second, and ticks come as often.
Instant answer(ServicePolicies& policies, std::size_t endpoints, Instant now, int times) {
    for (int second = 0; second < times; ++second) {
        now += seconds(1);
        for (std::size_t i = 0; i < endpoints; ++i) ask(policies, now, Outcome::success);
        policies.tick(now);
    }
    return now;
}

std::vector<HeldEndpoint> hang(ServicePolicies& policies, std::size_t calls, Instant now) {
    std::vector<HeldEndpoint> out;
    for (std::size_t i = 0; i < calls; ++i) {
        CallState call = call_at(now);
        auto begun = policies.begin_attempt(call, now);
        out.push_back(std::move(std::get<HeldEndpoint>(begun)));
    }
    return out;
}

std::size_t ejected(const ServicePolicies& policies, Instant now) {
    std::size_t count = 0;
    for (const auto& endpoint : policies.view(now).endpoints)
        count += endpoint.ejected_until ? 1 : 0;
    return count;
}

TEST(Silence, OfAnEndpointWithCallsIsEjectedAndExplained) {
    ServicePolicies policies("api_service", listening(), 1);
    policies.update(test_set(2), kStart);
    Instant now = answer(policies, 2, kStart, 20);
    std::vector<HeldEndpoint> out = hang(policies, 2, now);
    if (out[0].endpoint().id != "e00000") std::swap(out[0], out[1]);
    policies.finish_attempt(std::move(out[1]), Outcome::success, now);
    for (int i = 0; i < 3; ++i) policies.tick(now += seconds(1));
    EXPECT_EQ(ejected(policies, now), 0U) << "not within the pause";
    for (int i = 0; i < 4; ++i) policies.tick(now += seconds(1));
    const ServiceView view = policies.view(now);
    ASSERT_TRUE(view.endpoints[0].ejected_until);
    EXPECT_FALSE(view.endpoints[1].ejected_until) << "no call is out there";
    EXPECT_TRUE(view.endpoints[0].ejected_for.starts_with("calls are out and nothing is answered"));
    EXPECT_EQ(view.endpoints[0].verdict, health::Wellness::unhealthy);
    EXPECT_EQ(view.verdict, health::Wellness::degraded);
    for (int i = 0; i < 10; ++i) EXPECT_EQ(ask(policies, now), "e00001");
}

TEST(Silence, OfEverybodyNeverEjectsTheLast) {
    ServicePolicy policy = listening();
    policy.outlier.max_ejected_percent = 100;
    ServicePolicies policies("api_service", policy, 1);
    policies.update(test_set(3), kStart);
    Instant now = answer(policies, 3, kStart, 20);
    const auto out = hang(policies, 3, now);
    for (int i = 0; i < 20; ++i) policies.tick(now += seconds(1));
    EXPECT_EQ(ejected(policies, now), 2U);
}

TEST(Silence, WhenNobodyAsksOrThisProcessWasPausedIsNoReason) {
    ServicePolicies policies("api_service", listening(), 1);
    policies.update(test_set(2), kStart);
    Instant now = answer(policies, 2, kStart, 20);
    for (int i = 0; i < 100; ++i) policies.tick(now += seconds(1));
    EXPECT_EQ(ejected(policies, now), 0U) << "idle";
    now = answer(policies, 2, now, 5);
    const auto out = hang(policies, 2, now);
    policies.tick(now += std::chrono::minutes(5));  // this process, suspended
    policies.tick(now += seconds(1));
    EXPECT_EQ(ejected(policies, now), 0U) << "paused";
    for (int i = 0; i < 10; ++i) policies.tick(now += seconds(1));
    EXPECT_EQ(ejected(policies, now), 1U) << "it is heard again";
}

TEST(Silence, IsNotListenedForUnlessAskedFor) {
    ServicePolicies policies("api_service", {.balance = RoundRobin{}}, 1);
    policies.update(test_set(2), kStart);
    Instant now = answer(policies, 2, kStart, 20);
    const auto out = hang(policies, 2, now);
    for (int i = 0; i < 60; ++i) policies.tick(now += seconds(1));
    EXPECT_EQ(ejected(policies, now), 0U);
}

TEST(Forecasts, OfLatencyFollowItUpwards) {
    ServicePolicies policies("api_service", {}, 1);
    policies.update(test_set(1), kStart);
    Instant now = kStart;
    for (int i = 1; i <= 60; ++i) {  // 10 ms slower each second
        now += seconds(1);
        ask(policies, now, Outcome::success, milliseconds(10 * i));
        policies.tick(now + milliseconds(10 * i));
    }
    const EndpointView seen = policies.view(now).endpoints[0];
    ASSERT_TRUE(seen.latency_forecast);
    const double ahead =
        std::chrono::duration<double>(*seen.latency_forecast - seen.latency).count();
    EXPECT_NEAR(ahead, 0.1, 0.04) << "ten seconds ahead";
    EXPECT_LT(seen.forecast_weight, 0.95);
    EXPECT_GT(seen.forecast_weight, 0.7);
    ServicePolicy without;
    without.forecast.enabled = false;
    ServicePolicies plain("api_service", without, 1);
    plain.update(test_set(1), kStart);
    plain.tick(kStart);
    EXPECT_FALSE(plain.view(kStart).endpoints[0].latency_forecast);
}

// Of 900 calls, those to the endpoint whose latency has grown by 20 ms a second for 40 seconds.
int calls_to_the_growing(bool is_balanced_by_forecast, Instant& now, ServicePolicies& policies) {
    policies.update(test_set(3), now);
    const std::string growing = test_endpoint(0).id;
    for (int second = 1; second <= 40; ++second) {
        now += seconds(1);
        for (int i = 0; i < 30; ++i) {
            CallState call = call_at(now);
            auto begun = policies.begin_attempt(call, now);
            auto& held = std::get<HeldEndpoint>(begun);
            const bool grows = held.endpoint().id == growing;
            policies.finish_attempt(
                std::move(held), Outcome::success, now + milliseconds(20 * (grows ? second : 1))
            );
        }
        policies.tick(now + milliseconds(900));
    }
    EXPECT_EQ(policies.policy()->forecast.balance, is_balanced_by_forecast);
    int count = 0;
    for (int i = 0; i < 900; ++i) count += ask(policies, now) == growing ? 1 : 0;
    return count;
}

TEST(Forecasts, ReduceTheWeightOfWhoGetsSlowerIfToldTo) {
    Instant now = kStart;
    ServicePolicies plain("api_service", {.balance = RoundRobin{}}, 1);
    EXPECT_EQ(calls_to_the_growing(false, now, plain), 300);
    now = kStart;
    ServicePolicies ahead(
        "api_service", {.balance = RoundRobin{}, .forecast = {.balance = true}}, 1
    );
    // Ten seconds ahead of 800 ms it will be a second: four fifths of a share.
    const int fewer = calls_to_the_growing(true, now, ahead);
    EXPECT_NEAR(fewer, 900 * 0.8 / 2.8, 15);
    const double weight = ahead.view(now).endpoints[0].forecast_weight;
    EXPECT_NEAR(fewer, 900 * weight / (2 + weight), 15) << "as /endpoints says";
    // It grows no more: back to a full share.
    for (int second = 0; second < 60; ++second) {
        now += seconds(1);
        for (int i = 0; i < 30; ++i) ask(ahead, now, Outcome::success, milliseconds(800));
        ahead.tick(now + milliseconds(900));
    }
    int count = 0;
    for (int i = 0; i < 900; ++i) count += ask(ahead, now) == test_endpoint(0).id ? 1 : 0;
    EXPECT_NEAR(count, 300, 12);
}

TEST(Verdicts, SayWhenNoEndpointWillBeLeft) {
    ServicePolicies policies("api_service", {}, 1);
    EndpointSet set = test_set(100);
    policies.update(set, kStart);
    Instant now = kStart;
    for (std::size_t i = 0; i < 50; ++i) {  // one a second becomes critical
        set.endpoints[i].health = Health::critical;
        policies.update(set, now);
        policies.tick(now);
        now += seconds(1);
    }
    const ServiceView view = policies.view(now);
    ASSERT_TRUE(view.none_available_in);
    EXPECT_NEAR(std::chrono::duration<double>(*view.none_available_in).count(), 49, 0.01);
    EXPECT_NEAR(*view.availability_slope_per_second, -0.01, 1e-6);
    EXPECT_EQ(view.verdict, health::Wellness::degraded);
    EXPECT_EQ(view.endpoints[0].verdict, health::Wellness::unhealthy);
    EXPECT_EQ(view.endpoints[99].verdict, health::Wellness::healthy);
}

}  // namespace
}  // namespace datapunk::mesh::policy
