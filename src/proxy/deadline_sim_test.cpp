// Deadlines that travel: from the caller's head, into the endpoint's.

#include "proxy/deadline_header.h"
#include "proxy/raw_world_test.h"

namespace datapunk::mesh::proxy {
namespace {

using testing::ContainsRegex;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

// The number that follows `name` in the head that the endpoint got; -1 = none.
int told(const RawWorld& w, const std::string& name) {
    const auto at = w.a.head.find(name + ": ");
    return at == std::string::npos ? -1 : std::stoi(w.a.head.substr(at + name.size() + 2));
}

TEST(ProxyDeadline, TheEndpointIsToldWhatIsLeftOfTheShortest) {
    ServicePolicy policy = kOneAttempt;
    policy.deadline = seconds(2);
    RawWorld w(policy);
    w.a.script = [](int) -> Script { return {.bytes = kOk}; };
    w.get();
    EXPECT_GT(told(w, "x-mesh-deadline-ms"), 1900);
    EXPECT_LE(told(w, "x-mesh-deadline-ms"), 2000);
    w.get("/", "X-Mesh-Deadline-Ms: 250\r\n");
    EXPECT_GT(told(w, "x-mesh-deadline-ms"), 150);
    EXPECT_LE(told(w, "x-mesh-deadline-ms"), 250);
    EXPECT_THAT(w.a.head, Not(HasSubstr("X-Mesh-Deadline-Ms")));  // ours stands in its place
    w.get("/", "X-Mesh-Deadline-Ms: 60000\r\n");
    EXPECT_LE(told(w, "x-mesh-deadline-ms"), 2000);
    EXPECT_THAT(w.a.head, Not(HasSubstr("grpc-timeout")));
    w.expect_at_rest();
}

TEST(ProxyDeadline, ACallersDeadlineEndsTheCallAndItsRetries) {
    ServicePolicy policy = kOneAttempt;
    policy.retry.attempts = 3;
    RawWorld w(policy);
    w.a.script = [](int) -> Script { return {.accept_only = true}; };
    const auto answer = w.get("/", "x-mesh-deadline-ms: 300\r\n");
    EXPECT_THAT(answer.bytes, HasSubstr("x-mesh-reason: deadline"));
    EXPECT_GE(answer.took, milliseconds(300));
    EXPECT_LT(answer.took, milliseconds(400));
    EXPECT_EQ(w.api.totals().attempts, 1U);
    w.expect_at_rest();
}

TEST(ProxyDeadline, ARetryHasLessTimeThanTheAttemptBefore) {
    ServicePolicy policy = kOneAttempt;
    policy.retry.attempts = 2;
    RawWorld w(policy);
    std::vector<int> seen;
    w.a.script = [&](int n) -> Script {
        seen.push_back(told(w, "x-mesh-deadline-ms"));
        return {
            .bytes = n == 0 ? "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n" : kOk,
            .delay = milliseconds(200)
        };
    };
    EXPECT_THAT(w.get("/", "x-mesh-deadline-ms: 1000\r\n").bytes, EndsWith("ok"));
    ASSERT_EQ(seen.size(), 2U);
    EXPECT_LE(seen[1], seen[0] - 200);
    EXPECT_GT(seen[1], 0);
    w.expect_at_rest();
}

TEST(ProxyDeadline, AnAttemptsOwnLimitIsWhatItsEndpointIsTold) {
    ServicePolicy policy = kOneAttempt;
    policy.retry.attempt_timeout = milliseconds(500);
    RawWorld w(policy);
    w.a.script = [](int) -> Script { return {.bytes = kOk}; };
    w.get();
    EXPECT_LE(told(w, "x-mesh-deadline-ms"), 500);
    EXPECT_GT(told(w, "x-mesh-deadline-ms"), 300);
}

TEST(ProxyDeadline, ExpiredWorkIsRefusedBeforeAnEndpointHearsOfIt) {
    RawWorld w;
    const auto answer = w.get("/", "x-mesh-deadline-ms: 0\r\n");
    EXPECT_THAT(answer.bytes, HasSubstr("HTTP/1.1 504"));
    EXPECT_THAT(answer.bytes, HasSubstr("x-mesh-reason: deadline"));
    EXPECT_THAT(answer.bytes, HasSubstr("had passed when the request arrived"));
    EXPECT_EQ(w.a.heads, 0);
    EXPECT_EQ(w.api.totals().attempts, 0U);
    w.expect_at_rest();
}

TEST(ProxyDeadline, WhatIsNoDeadlineIsRefusedAndNotGuessedAt) {
    RawWorld w;
    for (const char* value : {"soon", "-5", "1.5", "", "1234567890123456789"}) {
        const auto answer = w.get("/", std::string("x-mesh-deadline-ms: ") + value + "\r\n");
        EXPECT_THAT(answer.bytes, HasSubstr("HTTP/1.1 400")) << value;
        EXPECT_THAT(answer.bytes, HasSubstr("bad deadline")) << value;
    }
    EXPECT_EQ(w.a.heads, 0);
}

TEST(ProxyDeadline, GrpcHasItsOwnHeaderWhichOnlyGrpcIsReadFor) {
    RawWorld w;
    w.a.script = [](int) -> Script { return {.bytes = kOk}; };
    w.get("/", "content-type: application/grpc+proto\r\ngrpc-timeout: 250m\r\n");
    EXPECT_THAT(w.a.head, ContainsRegex("grpc-timeout: 2[0-9]*u"));
    EXPECT_LE(told(w, "x-mesh-deadline-ms"), 250);
    w.get("/", "content-type: application/grpc-web\r\ngrpc-timeout: 250m\r\n");
    EXPECT_THAT(w.a.head, HasSubstr("grpc-timeout: 250m"));
    EXPECT_GT(told(w, "x-mesh-deadline-ms"), 1000);
}

TEST(ProxyDeadline, TheHeadersNameIsThePolicysAndItMayBeNone) {
    ServicePolicy policy = kOneAttempt;
    policy.deadline_header = "x-envoy-expected-rq-timeout-ms";
    RawWorld envoy(policy);
    envoy.a.script = [](int) -> Script { return {.bytes = kOk}; };
    envoy.get("/", "x-envoy-expected-rq-timeout-ms: 250\r\n");
    EXPECT_LE(told(envoy, "x-envoy-expected-rq-timeout-ms"), 250);
    EXPECT_EQ(told(envoy, "x-mesh-deadline-ms"), -1);

    policy.deadline_header = "";
    RawWorld none(policy);
    none.a.script = [](int) -> Script { return {.bytes = kOk}; };
    none.get("/", "x-mesh-deadline-ms: 0\r\n");
    EXPECT_EQ(told(none, "x-mesh-deadline-ms"), 0);  // passed on as anything else
}

TEST(ProxyDeadline, OfTwoFieldsTheShorterCounts) {
    RawWorld w;
    w.a.script = [](int) -> Script { return {.bytes = kOk}; };
    w.get("/", "x-mesh-deadline-ms: 900\r\nx-mesh-deadline-ms: 200\r\n");
    EXPECT_LE(told(w, "x-mesh-deadline-ms"), 200);
    EXPECT_EQ(w.a.head.find("x-mesh-deadline-ms"), w.a.head.rfind("x-mesh-deadline-ms"));
}

}  // namespace
}  // namespace datapunk::mesh::proxy
