// Breakers through the public header.

#include <datapunk/mesh/mesh.h>
#include <gmock/gmock.h>

#include <string>
#include <vector>

namespace datapunk::mesh {
namespace {

using ::testing::HasSubstr;

// One endpoint, one attempt, and a breaker that opens at the second failure in a row.
ServiceMesh one_endpoint() {
    MeshOptions options{
        .registry = Fixed{.services = {{"api_service", {{.host = "10.0.0.1", .port = 80}}}}},
        .log_level = LogLevel::off
    };
    options.policy.breaker.consecutive = 2;
    options.policy.outlier.enabled = false;
    options.policy.retry.attempts = 1;
    options.policy.failure_statuses.add(429, 429);
    auto made = ServiceMesh::create(std::move(options));
    EXPECT_TRUE(made) << made.error().what;
    return *std::move(made);
}

bool is_open(const Service& api) {
    auto lease = api.get_service_instance();
    if (lease) return false;
    EXPECT_THAT(lease.error().what, HasSubstr("1 open"));
    return true;
}

TEST(MeshBreakers, TheStatusThatIsToldDecidesWhetherItIsAFailure) {
    ServiceMesh mesh = one_endpoint();
    const Service api = mesh.service("api_service").value();
    const auto answer = [&](int status) {
        const Result<> done = api.run({}, [&](const ServiceEndpoint&, Attempt& a) -> Result<> {
            a.answered(status);
            return Ok{};
        });
        EXPECT_TRUE(done) << "the answer is the result, whatever its status";
    };
    for (int i = 0; i < 10; ++i) answer(404);
    EXPECT_FALSE(is_open(api));
    answer(429);
    EXPECT_FALSE(is_open(api));
    answer(503);
    EXPECT_TRUE(is_open(api));
}

TEST(MeshBreakers, AFunctionOfTheCallersOutranksOutcomeAndStatus) {
    ServiceMesh mesh = one_endpoint();
    const Service api = mesh.service("api_service").value();
    std::vector<EndedAttempt> seen;
    CallOptions options;
    options.is_failure = [&](const EndedAttempt& ended) {
        seen.push_back(ended);
        return ended.status == 200;
    };
    const auto answer = [&](int status) {
        static_cast<void>(api.run(options, [&](const ServiceEndpoint&, Attempt& a) -> Result<> {
            a.answered(status);
            return Ok{};
        }));
    };
    for (int i = 0; i < 10; ++i) answer(500);
    EXPECT_FALSE(is_open(api));
    for (int i = 0; i < 2; ++i) answer(200);
    EXPECT_TRUE(is_open(api));
    ASSERT_EQ(seen.size(), 12U);
    EXPECT_EQ(seen[0].status, 500);
    EXPECT_EQ(seen[0].outcome, Outcome::server_error);
    EXPECT_EQ(seen[11].outcome, Outcome::success);
    EXPECT_GE(seen[11].latency, Duration::zero());
}

TEST(MeshBreakers, AnOperatorHoldsThemOpenAndLetsGo) {
    ServiceMesh mesh = one_endpoint();
    const Service api = mesh.service("api_service").value();
    std::string id;
    {
        auto lease = api.get_service_instance();
        ASSERT_TRUE(lease);
        id = lease->endpoint().id;
        lease->report(Outcome::success);
    }
    ASSERT_TRUE(api.force_breaker(BreakerForce::open, id));
    EXPECT_TRUE(is_open(api));
    ASSERT_TRUE(api.force_breaker(BreakerForce::none, id));
    EXPECT_FALSE(is_open(api));
    ASSERT_TRUE(api.force_breaker(BreakerForce::open));
    EXPECT_THAT(api.get_service_instance().error().what, HasSubstr("held open by an operator"));
    EXPECT_THAT(mesh.metrics_text(), HasSubstr(R"(mesh_breakers_forced{service="api_service"} 1)"));
    ASSERT_TRUE(api.force_breaker(BreakerForce::none));
    EXPECT_FALSE(is_open(api));
    const auto nobody = api.force_breaker(BreakerForce::open, "nobody");
    ASSERT_FALSE(nobody);
    EXPECT_EQ(nobody.error().code, Code::not_found);
    EXPECT_EQ(api.degraded_because(), "");
}

}  // namespace
}  // namespace datapunk::mesh
