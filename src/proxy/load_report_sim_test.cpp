// endpoint-load-metrics: who reports its load gets calls by it, and the caller does not see it.

#include "proxy/raw_world_test.h"

namespace datapunk::mesh::proxy {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

Script answer_with(const std::string& report) {
    return {
        .bytes = "HTTP/1.1 200 OK\r\nEndpoint-Load-Metrics: " + report +
                 "\r\nX-Other: 1\r\nContent-Length: 2\r\n\r\nok"
    };
}

TEST(LoadReports, MoveCallsToWhoHasRoomAndEndHere) {
    ServicePolicy policy = kOneAttempt;
    policy.balance = ReportedLoad{.blackout = Duration::zero()};
    RawWorld w(policy);
    RawEndpoint b(w.world, "10.0.0.12");
    w.a.script = [](int) { return answer_with("TEXT cpu_utilization=0.9, rps_fractional=100"); };
    b.script = [](int) {
        return answer_with(R"(JSON {"application_utilization": 0.1, "rps_fractional": 100})");
    };
    w.api.update(
        {.service = "api", .endpoints = {w.a.endpoint(), b.endpoint()}, .index = 2},
        w.world.loop().now()
    );
    for (int i = 0; i < 10; ++i) {
        const std::string bytes = w.get().bytes;
        EXPECT_THAT(bytes, EndsWith("ok"));
        EXPECT_THAT(bytes, HasSubstr("X-Other: 1"));
        EXPECT_THAT(bytes, Not(HasSubstr("oad-")));
    }
    EXPECT_EQ(w.a.heads, 5);
    w.api.tick(w.world.loop().now());
    for (int i = 0; i < 50; ++i) w.get();
    EXPECT_NEAR(b.heads - 5, 45, 2);
    w.expect_at_rest();
}

TEST(LoadReports, PassWhenNobodyHereGoesByThem) {
    RawWorld w;
    w.a.script = [](int) { return answer_with("TEXT cpu_utilization=0.9"); };
    EXPECT_THAT(w.get().bytes, HasSubstr("Endpoint-Load-Metrics: TEXT cpu_utilization=0.9\r\n"));
}

TEST(LoadReports, ThatCannotBeReadAreNone) {
    ServicePolicy policy = kOneAttempt;
    policy.balance = ReportedLoad{.blackout = Duration::zero()};
    RawWorld w(policy);
    w.a.script = [](int) { return answer_with("TEXT cpu_utilization=lots"); };
    for (int i = 0; i < 3; ++i) EXPECT_THAT(w.get().bytes, EndsWith("ok"));
    w.api.tick(w.world.loop().now());
    EXPECT_THAT(w.get().bytes, EndsWith("ok"));
}

}  // namespace
}  // namespace datapunk::mesh::proxy
