// A request's id is enough to be told what became of it.

#include "proxy/request_log.h"

#include "proxy/raw_world_test.h"

namespace datapunk::mesh::proxy {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const std::string kBusy = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
const std::string kTrace = "4bf92f3577b34da6a3ce929d0e0e4736";

ServicePolicy two_attempts() {
    ServicePolicy policy = kOneAttempt;
    policy.retry.attempts = 2;
    return policy;
}

TEST(RequestLog, TellsEachAttemptWithItsTimesAndWhatFollowed) {
    RawWorld w(two_attempts());
    w.a.script = [](int n) -> Script {
        return {.bytes = n == 0 ? kBusy : kOk, .delay = milliseconds(20)};
    };
    w.get("/", "X-Request-Id: abc-1\r\ntraceparent: 00-" + kTrace + "-00f067aa0ba902b7-01\r\n");
    for (const std::string& id : {std::string("abc-1"), kTrace}) {
        const auto found = w.requests.find(id);
        ASSERT_THAT(found, SizeIs(1)) << id;
        const auto lines = in_words(found[0], &w.api);
        ASSERT_THAT(lines, SizeIs(4));
        EXPECT_EQ(lines[0], "route api to service api");
        EXPECT_THAT(
            lines[1],
            AllOf(
                HasSubstr("attempt 1: api-10.0.0.11 (10.0.0.11:8080)"),
                HasSubstr("server error (answered 503); another one after")
            )
        );
        EXPECT_THAT(
            lines[2], AllOf(HasSubstr("attempt 2: api-10.0.0.11"), HasSubstr("1 tried before"))
        );
        EXPECT_THAT(lines[3], HasSubstr("answered 200 after "));
    }
    EXPECT_THAT(w.requests.find("abc-2"), IsEmpty());
    EXPECT_THAT(w.requests.find(""), IsEmpty());
}

TEST(RequestLog, TellsWhyTheProxyItselfAnswered) {
    RawWorld w;
    w.a.script = [](int) -> Script { return {.then = Then::reset}; };
    w.get("/", "X-Request-Id: one\r\n");
    w.ask({"GET / HTTP/1.1\r\nHost: nobody\r\nX-Request-Id: two\r\n\r\n"});
    auto lines = in_words(w.requests.find("one").at(0), &w.api);
    EXPECT_THAT(lines.at(1), HasSubstr("reset; no other: attempts used up"));
    EXPECT_THAT(lines.back(), HasSubstr("answered 502 by the proxy: upstream_reset after"));
    lines = in_words(w.requests.find("two").at(0), nullptr);
    EXPECT_EQ(lines.at(0), "no route");
    EXPECT_THAT(lines.back(), HasSubstr("answered 404 by the proxy: no_route"));
}

TEST(RequestLog, KeepsTheLastAndNoMore) {
    RawWorld w;
    w.a.script = [](int) -> Script { return {.bytes = kOk}; };
    std::string all;
    for (std::size_t i = 0; i < kRequestsKept + 10; ++i) {
        all += "GET / HTTP/1.1\r\nHost: api\r\nX-Request-Id: r" + std::to_string(i) + "\r\n\r\n";
    }
    w.ask({all});
    EXPECT_THAT(w.requests.find("r9"), IsEmpty());
    EXPECT_THAT(w.requests.find("r10"), SizeIs(1));
    EXPECT_THAT(w.requests.find("r" + std::to_string(kRequestsKept + 9)), SizeIs(1));
}

}  // namespace
}  // namespace datapunk::mesh::proxy
