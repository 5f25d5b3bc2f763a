// Calls through the public header: what an attempt can tell, and deadlines that are passed on.

#include <datapunk/mesh/deadline.h>
#include <datapunk/mesh/mesh.h>
#include <gmock/gmock.h>

#include <string>
#include <vector>

namespace datapunk::mesh {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

// Retries at once, and as often as it likes.
ServicePolicy eager(std::uint32_t attempts) {
    ServicePolicy policy{.balance = RoundRobin{}};
    policy.breaker.enabled = false;
    policy.outlier.enabled = false;
    policy.retry.attempts = attempts;
    policy.retry.backoff = {.base = Duration::zero(), .max = Duration::zero()};
    policy.retry.budget.min_per_second = 1000;
    return policy;
}

ServiceMesh mesh_of(const ServicePolicy& policy) {
    auto made = ServiceMesh::create(
        {.registry =
             Fixed{
                 .services =
                     {{"api", {{.host = "10.0.0.1", .port = 80}, {.host = "10.0.0.2", .port = 80}}},
                      {"next", {{.host = "10.0.1.1", .port = 80}}}}
             },
         .policy = policy,
         .log_level = LogLevel::off}
    );
    EXPECT_TRUE(made) << made.error().what;
    return *std::move(made);
}

TEST(Call, AStatusOfHttpIsJudgedAsInTheProxy) {
    ServicePolicy policy = eager(2);
    policy.retry.on_statuses = {429};
    ServiceMesh mesh = mesh_of(policy);
    for (const auto& [status, attempts] :
         {std::pair{200, 1}, {404, 1}, {429, 2}, {500, 2}, {503, 2}}) {
        int runs = 0;
        const auto answer = mesh.call<int>("api", [&](const ServiceEndpoint&, Attempt& attempt) {
            ++runs;
            attempt.answered(status);
            return Result<int>(status);
        });
        EXPECT_EQ(runs, attempts) << status;
        ASSERT_TRUE(answer) << status;  // the last answer is the result
        EXPECT_EQ(*answer, status);
    }
}

TEST(Call, AStatusOfGrpcIsRetriedIfNamedAlsoWhenNotIdempotent) {
    ServicePolicy policy = eager(2);
    policy.retry.on_grpc = GrpcRetryOn::unavailable;
    ServiceMesh mesh = mesh_of(policy);
    for (const auto& [status, attempts] : {std::pair{0U, 1}, {5U, 1}, {13U, 1}, {14U, 2}}) {
        int runs = 0;
        const auto ran = mesh.run("api", {.idempotent = false}, [&](const auto&, Attempt& attempt) {
            ++runs;
            attempt.answered_grpc(status);
            return Result<>(Ok{});
        });
        EXPECT_TRUE(ran);
        EXPECT_EQ(runs, attempts) << status;
    }
}

TEST(Call, APredicateStandsInThePlaceOfTheConditions) {
    ServiceMesh mesh = mesh_of(eager(3));
    const auto runs_for = [&](Code code, std::optional<bool> own_word) {
        int runs = 0;
        CallOptions options;
        options.retry_if = [](const Error& error) { return error.code == Code::not_found; };
        const auto ran = mesh.run("api", options, [&](const auto&, Attempt& attempt) {
            ++runs;
            if (own_word) attempt.worth_retrying(*own_word);
            return Result<>(Error{.code = code, .what = "no"});
        });
        EXPECT_FALSE(ran);
        return runs;
    };
    EXPECT_EQ(runs_for(Code::not_found, std::nullopt), 3);
    EXPECT_EQ(runs_for(Code::unavailable, std::nullopt), 1);
    EXPECT_EQ(runs_for(Code::not_found, false), 1);
    EXPECT_EQ(runs_for(Code::unavailable, true), 3);
    EXPECT_EQ(runs_for(Code::aborted, std::nullopt), 1);
}

TEST(Call, ADeadlineIsPassedOnToWhatTheCallCallsInTurn) {
    ServiceMesh mesh = mesh_of(eager(1));
    Duration inner{};
    const auto ran =
        mesh.run("api", {.deadline = milliseconds(500)}, [&](const auto&, Attempt& outer) {
            return mesh.run(
                "next",
                {.deadline = seconds(60), .latest = outer.deadline()},
                [&](const auto&, Attempt& attempt) {
                    inner = attempt.remaining();
                    return Result<>(Ok{});
                }
            );
        });
    ASSERT_TRUE(ran);
    EXPECT_LE(inner, milliseconds(500));
    EXPECT_GT(inner, Duration::zero());
}

TEST(Call, NobodyWorksForACallerWhoHasLeft) {
    ServiceMesh mesh = mesh_of(eager(3));
    // Known, so that nothing is left to wait for.
    ASSERT_TRUE(mesh.run("api", {}, [](const auto&, Attempt&) { return Result<>(Ok{}); }));
    int runs = 0;
    const auto ran = mesh.run("api", {.latest = Instant{}}, [&](const auto&, Attempt&) {
        ++runs;
        return Result<>(Ok{});
    });
    ASSERT_FALSE(ran);
    EXPECT_EQ(ran.error().code, Code::timeout);
    EXPECT_THAT(ran.error().what, HasSubstr("the deadline passed before an attempt could begin"));
    EXPECT_EQ(runs, 0);
}

TEST(Explain, ALeaseAndAServiceSayWhatWasDecided) {
    ServiceMesh mesh = mesh_of(eager(2));
    Service api = *mesh.service("api");
    auto lease = api.get_service_instance();
    ASSERT_TRUE(lease);
    EXPECT_THAT(lease->explain(), HasSubstr("attempt 1: "));
    EXPECT_THAT(lease->explain(), HasSubstr(lease->address()));
    EXPECT_THAT(lease->explain(), HasSubstr("of 2 known"));
    lease->report(Outcome::success);
    const auto ran = api.run({}, [](const auto&, Attempt&) {
        return Result<>(Error{.code = Code::timeout, .what = "slow"});
    });
    EXPECT_FALSE(ran);
    const auto told = api.explain();
    ASSERT_EQ(told.size(), 5U);
    EXPECT_THAT(told[2], HasSubstr("after attempt 1 (timeout): retry in 0s"));
    EXPECT_THAT(told[4], HasSubstr("no other, attempts used up"));
}

TEST(DeadlineHeader, ReadsBackWhatItWrites) {
    EXPECT_EQ(*deadline_from_header("250"), milliseconds(250));
    EXPECT_EQ(deadline_to_header(milliseconds(250) + std::chrono::microseconds(999)), "250");
    EXPECT_EQ(deadline_to_header(Duration(-1)), "0");
    EXPECT_FALSE(deadline_from_header("soon"));
    EXPECT_EQ(*deadline_from_grpc_timeout("250m"), milliseconds(250));
    EXPECT_EQ(deadline_to_grpc_timeout(milliseconds(250)), "250000u");
}

}  // namespace
}  // namespace datapunk::mesh
