#include "policy/collector.h"

#include <gmock/gmock.h>

#include "metrics/exposition.h"
#include "policy/test_service.h"

namespace datapunk::mesh::policy {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr Instant kStart{};

class CollectorTest : public ::testing::Test {
  protected:
    std::string text(Instant now) {
        collector_.count(policies_.drain_events());
        collector_.update(policies_, now);
        return metrics::expose(metrics_.snapshot(), metrics::ExpositionFormat::prometheus);
    }

    static ServicePolicy fragile() {
        ServicePolicy policy{.balance = RoundRobin{}};
        policy.breaker.consecutive = 2;
        policy.outlier.enabled = false;
        return policy;
    }

    metrics::MetricRegistry metrics_;
    ServicePolicies policies_{"api_service", fragile(), 1};
    ServiceCollector collector_{metrics_, "api_service"};
};

TEST_F(CollectorTest, CopiesWhatWasCountedOnceHoweverOftenItLooks) {
    policies_.update(test_set(2), kStart);
    for (int i = 0; i < 5; ++i) ask(policies_, kStart);
    ask(policies_, kStart, Outcome::timeout);
    text(kStart);
    const std::string seen = text(kStart);
    EXPECT_THAT(
        seen, HasSubstr(R"(mesh_attempts_total{service="api_service",outcome="success"} 5)")
    );
    EXPECT_THAT(
        seen, HasSubstr(R"(mesh_attempts_total{service="api_service",outcome="timeout"} 1)")
    );
    EXPECT_THAT(seen, HasSubstr(R"(mesh_endpoints_known{service="api_service"} 2)"));
    EXPECT_THAT(seen, HasSubstr(R"(mesh_endpoints_healthy{service="api_service"} 2)"));
}

TEST_F(CollectorTest, ShowsWhatAnOperatorHoldsAndTheBreakerOfTheService) {
    policies_.update(test_set(2), kStart);
    EXPECT_THAT(text(kStart), HasSubstr(R"(mesh_breakers_forced{service="api_service"} 0)"));
    ASSERT_TRUE(policies_.force_breaker(BreakerForce::closed, "e00001", kStart));
    ASSERT_TRUE(policies_.force_breaker(BreakerForce::open, {}, kStart));
    ask(policies_, kStart);
    const std::string seen = text(kStart);
    EXPECT_THAT(seen, HasSubstr(R"(mesh_breakers_forced{service="api_service"} 2)"));
    EXPECT_THAT(seen, HasSubstr(R"(mesh_service_breaker_state{service="api_service"} 2)"));
    EXPECT_THAT(
        seen,
        HasSubstr(R"(mesh_service_breaker_transitions_total{service="api_service",to="open"} 1)")
    );
    EXPECT_THAT(
        seen,
        HasSubstr(R"(mesh_requests_rejected_total{service="api_service",reason="breaker_open"} 1)")
    );
}

TEST_F(CollectorTest, ShowsAnOpenBreakerAndForgetsItWithItsEndpoint) {
    policies_.update(test_set(1), kStart);
    for (int i = 0; i < 2; ++i) ask(policies_, kStart, Outcome::server_error);
    std::string seen = text(kStart);
    EXPECT_THAT(
        seen, HasSubstr(R"(mesh_breaker_state{service="api_service",endpoint="e00000"} 2)")
    );
    EXPECT_THAT(
        seen, HasSubstr(R"(mesh_breaker_transitions_total{service="api_service",to="open"} 1)")
    );
    EXPECT_FALSE(ask(policies_, kStart));
    policies_.update({.service = "api_service"}, kStart);
    seen = text(kStart + seconds(1));
    EXPECT_THAT(seen, Not(HasSubstr("mesh_breaker_state{")));
    EXPECT_THAT(
        seen,
        HasSubstr(R"(mesh_requests_rejected_total{service="api_service",reason="no_endpoint"} 1)")
    );
}

TEST_F(CollectorTest, LeavesRefusalsToAProxyThatCountsThem) {
    EXPECT_FALSE(ask(policies_, kStart));
    EXPECT_THAT(text(kStart), HasSubstr("mesh_requests_rejected_total{"));
    metrics::MetricRegistry metrics;
    ServiceCollector beside_a_proxy(metrics, "api_service", Refusals::by_the_proxy);
    beside_a_proxy.update(policies_, kStart);
    const std::string seen =
        metrics::expose(metrics.snapshot(), metrics::ExpositionFormat::prometheus);
    EXPECT_THAT(seen, Not(HasSubstr("mesh_requests_rejected_total{")));
}

TEST_F(CollectorTest, TellsRetriesByWhatWasRetriedAndThoseTheBudgetRefused) {
    policies_.update(test_set(3), kStart);
    CallState call = call_at(kStart);
    auto begun = policies_.begin_attempt(call, kStart);
    policies_.finish_attempt(std::move(std::get<HeldEndpoint>(begun)), Outcome::reset, kStart);
    const auto decision =
        policies_.after_attempt(call, {.outcome = Outcome::reset, .idempotent = true}, kStart);
    EXPECT_EQ(decision.reason, resilience::RetryReason::retry);
    EXPECT_THAT(
        text(kStart), HasSubstr(R"(mesh_retries_total{service="api_service",reason="reset"} 1)")
    );
}

TEST(HedgeMetrics, ThereAreNoneUntilThereIsADelayAndThenWhatCameOfThem) {
    ServicePolicy policy{.hedge = {.max = 0.5}};
    metrics::MetricRegistry metrics;
    const auto text = [&metrics](const ServicePolicies& service, ServiceCollector& collector) {
        collector.update(service, kStart);
        return metrics::expose(metrics.snapshot(), metrics::ExpositionFormat::prometheus);
    };
    ServicePolicies unmeasured("quiet", policy, 1);
    ServiceCollector quiet(metrics, "quiet");
    EXPECT_THAT(text(unmeasured, quiet), Not(HasSubstr("mesh_hedge")));
    policy.hedge.delay = std::chrono::milliseconds(20);
    ServicePolicies service("api", policy, 1);
    ServiceCollector collector(metrics, "api");
    service.count_hedge(HedgeEnd::won);
    service.count_hedge(HedgeEnd::won);
    service.count_hedge(HedgeEnd::lost);
    const std::string told = text(service, collector);
    EXPECT_THAT(told, HasSubstr("mesh_hedges_total{service=\"api\",outcome=\"won\"} 2\n"));
    EXPECT_THAT(told, HasSubstr("mesh_hedges_total{service=\"api\",outcome=\"lost\"} 1\n"));
    EXPECT_THAT(told, HasSubstr("mesh_hedges_total{service=\"api\",outcome=\"refused\"} 0\n"));
    EXPECT_THAT(told, HasSubstr("mesh_hedge_delay_seconds{service=\"api\"} 0.02\n"));
}

}  // namespace
}  // namespace datapunk::mesh::policy
