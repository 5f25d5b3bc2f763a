// Rates, bulkheads and throttling through the public header.

#include <datapunk/mesh/mesh.h>
#include <gmock/gmock.h>

#include <string>
#include <vector>

namespace datapunk::mesh {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using testing::HasSubstr;

ServiceMesh mesh_with(const LimitsConfig& limits) {
    MeshOptions options{
        .registry = Fixed{.services = {{"api", {{.host = "10.0.0.1", .port = 80}}}}},
        .log_level = LogLevel::off
    };
    options.policy.limits = limits;
    options.policy.retry.attempts = 1;
    options.policy.breaker.enabled = false;
    auto made = ServiceMesh::create(std::move(options));
    EXPECT_TRUE(made) << made.error().what;
    return *std::move(made);
}

Result<> fine(const ServiceEndpoint&, Attempt&) {
    return Ok{};
}

TEST(MeshLimits, ARateRefusesAndSaysWhenToComeAgain) {
    ServiceMesh mesh = mesh_with({.rate = {.calls = 3, .per = hours(1)}});
    const Service api = mesh.service("api").value();
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(api.run({}, fine));
    const Result<> refused = api.run({}, fine);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::exhausted);
    EXPECT_THAT(refused.error().what, HasSubstr("api: more calls than its rate allows"));
    EXPECT_GT(refused.error().retry_after, milliseconds(0));
    EXPECT_LE(refused.error().retry_after, hours(1));
    const auto lease = api.get_service_instance();
    ASSERT_FALSE(lease);
    EXPECT_EQ(lease.error().code, Code::exhausted);
    EXPECT_THAT(mesh.metrics_text(), HasSubstr(R"(reason="rate_limit"} 2)"));
}

TEST(MeshLimits, ACallerIsWhoTheCallSays) {
    ServiceMesh mesh =
        mesh_with({.callers = {.rate = {.calls = 2, .per = hours(1)}, .requests = 1}});
    const Service api = mesh.service("api").value();
    Result<> nested = Ok{};
    const auto outer = api.run({.caller = "a"}, [&](const auto&, auto&) -> Result<> {
        nested = api.run({.caller = "a"}, fine);
        EXPECT_TRUE(api.run({.caller = "b"}, fine));
        return Ok{};
    });
    EXPECT_TRUE(outer);
    ASSERT_FALSE(nested);
    EXPECT_THAT(nested.error().what, HasSubstr("this caller has 1 calls in flight"));
    EXPECT_TRUE(api.run({.caller = "a"}, fine));
    const auto third = api.run({.caller = "a"}, fine);
    ASSERT_FALSE(third);
    EXPECT_THAT(third.error().what, HasSubstr("more calls of this caller than its rate allows"));
    for (int i = 0; i < 10; ++i) EXPECT_TRUE(api.run({}, fine)) << "for nobody in particular";
}

TEST(MeshLimits, AnEvenRateMakesCallsWaitTheirTurn) {
    ServiceMesh mesh =
        mesh_with({.rate = {.calls = 100, .algorithm = RateAlgorithm::leaky_bucket, .burst = 3}});
    const Service api = mesh.service("api").value();
    std::vector<Instant> begun;
    for (int i = 0; i < 4; ++i) {
        EXPECT_TRUE(api.run({}, [&](const auto&, Attempt& attempt) -> Result<> {
            begun.push_back(attempt.deadline() - attempt.remaining());  // now
            return Ok{};
        }));
    }
    ASSERT_EQ(begun.size(), 4U);
    EXPECT_GE(begun[3] - begun[0], milliseconds(30));
}

TEST(MeshLimits, ALeaseNeverWaitsForATurn) {
    ServiceMesh mesh =
        mesh_with({.rate = {.calls = 1, .per = hours(1), .algorithm = RateAlgorithm::leaky_bucket}}
        );
    const Service api = mesh.service("api").value();
    EXPECT_TRUE(api.get_service_instance());
    const auto second = api.get_service_instance();
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, Code::exhausted);
    const auto hasty = api.run({.deadline = milliseconds(100)}, fine);
    ASSERT_FALSE(hasty) << "it would wait longer than it has";
    EXPECT_EQ(hasty.error().code, Code::exhausted);
}

TEST(MeshLimits, AnOverloadedServiceIsSpared) {
    ServiceMesh mesh = mesh_with(
        {.throttle = {.enabled = true, .window = std::chrono::seconds(1), .min_calls = 20}}
    );
    const Service api = mesh.service("api").value();
    const auto busy = [](const ServiceEndpoint&, Attempt& attempt) -> Result<> {
        attempt.answered(503);
        return Ok{};
    };
    // The share is found once in a slice of the window, 31 ms.
    Result<> last = Ok{};
    for (int i = 0; last && i < 5'000'000; ++i) last = api.run({}, busy);
    ASSERT_FALSE(last);
    EXPECT_EQ(last.error().code, Code::exhausted);
    EXPECT_THAT(last.error().what, HasSubstr("api: overloaded"));
}

}  // namespace
}  // namespace datapunk::mesh
