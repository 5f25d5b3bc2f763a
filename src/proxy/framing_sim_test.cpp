// Messages byte by byte: framing, hop-by-hop fields, reuse of connections.

#include "proxy/raw_world_test.h"

namespace datapunk::mesh::proxy {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

std::size_t count(std::string_view text, std::string_view what) {
    std::size_t found = 0;
    for (std::size_t at = text.find(what); at != text.npos; at = text.find(what, at + 1)) ++found;
    return found;
}

TEST(ProxyFraming, ReusesConnectionsAfterEveryKindOfFinishedBody) {
    RawWorld w;
    w.a.script = [](int n) -> Script {
        if (n == 0) return {.bytes = kOk};
        if (n == 1)
            return {
                .bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
            };
        return {.bytes = "HTTP/1.1 204 No Content\r\n\r\n"};
    };
    EXPECT_THAT(w.get().bytes, EndsWith("ok"));
    EXPECT_THAT(w.get().bytes, EndsWith("2\r\nok\r\n0\r\n\r\n"));
    EXPECT_THAT(w.get().bytes, StartsWith("HTTP/1.1 204"));
    EXPECT_THAT(
        w.ask({"POST / HTTP/1.1\r\nHost: api\r\nContent-Length: 2\r\n\r\nhi"}).bytes,
        StartsWith("HTTP/1.1 204")
    );
    EXPECT_EQ(w.a.connections, 1);
    EXPECT_EQ(w.proxy.pool().counters().reused, 3U);
    w.expect_at_rest();
}

TEST(ProxyFraming, AnIdleConnectionEndsAfterTheIdleTimeoutAlsoAfterAPost) {
    RawWorld w(kOneAttempt, {.idle_timeout = seconds(20), .head_timeout = seconds(5)});
    w.a.script = [](int) -> Script { return {.bytes = kOk}; };
    const auto answer = w.ask(
        {"POST / HTTP/1.1\r\nHost: api\r\nContent-Length: 2\r\n\r\nhi"},
        milliseconds(1),
        seconds(30)
    );
    EXPECT_TRUE(answer.closed);
    EXPECT_THAT(answer.bytes, Not(HasSubstr("408")));
    EXPECT_GE(answer.took, seconds(20));
}

TEST(ProxyFraming, HeadAnd304KeepTheirLengthAnd204And1xxHaveNone) {
    RawWorld w;
    w.a.script = [](int n) -> Script {
        if (n == 0) return {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"};
        if (n == 1) return {.bytes = "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"};
        return {.bytes = "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"};
    };
    const auto head = w.ask({"HEAD / HTTP/1.1\r\nHost: api\r\n\r\n"});
    EXPECT_THAT(head.bytes, HasSubstr("content-length: 5\r\n"));
    EXPECT_THAT(head.bytes, EndsWith("\r\n\r\n"));
    EXPECT_THAT(w.get().bytes, HasSubstr("content-length: 5\r\n"));
    EXPECT_THAT(w.get().bytes, Not(HasSubstr("content-length")));
    EXPECT_EQ(w.a.connections, 1);
}

TEST(ProxyFraming, PassesInterimAnswersOnAndSays100Once) {
    RawWorld w;
    w.a.script = [](int) -> Script {
        return {
            .bytes =
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + kOk
        };
    };
    const auto answer = w.ask(
        {"POST / HTTP/1.1\r\nHost: api\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n", "hi"}
    );
    EXPECT_THAT(answer.bytes, StartsWith("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints"));
    EXPECT_EQ(count(answer.bytes, "HTTP/1.1 100"), 1U);
    EXPECT_THAT(answer.bytes, HasSubstr("Link: </a>"));
    EXPECT_THAT(answer.bytes, HasSubstr("HTTP/1.1 200 OK"));
    EXPECT_THAT(w.a.received, Not(HasSubstr("Expect")));
    const auto old = w.ask({"GET / HTTP/1.0\r\nHost: api\r\n\r\n"});
    EXPECT_THAT(old.bytes, StartsWith("HTTP/1.1 200 OK")) << "1.0 knows no interim answers";
}

TEST(ProxyFraming, AnswersHttp10CallersInTheirTerms) {
    RawWorld w;
    w.a.script = [](int n) -> Script {
        if (n < 2) return {.bytes = kOk};
        return {
            .bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
        };
    };
    const auto plain = w.ask({"GET / HTTP/1.0\r\nHost: api\r\n\r\n"});
    EXPECT_TRUE(plain.closed);
    EXPECT_THAT(plain.bytes, HasSubstr("connection: close"));
    const auto kept = w.ask({"GET / HTTP/1.0\r\nHost: api\r\nConnection: keep-alive\r\n\r\n"});
    EXPECT_FALSE(kept.closed);
    EXPECT_THAT(kept.bytes, HasSubstr("connection: keep-alive"));
    const auto unsized = w.ask({"GET / HTTP/1.0\r\nHost: api\r\nConnection: keep-alive\r\n\r\n"});
    EXPECT_TRUE(unsized.closed);
    EXPECT_THAT(unsized.bytes, EndsWith("\r\n\r\nok"));
    EXPECT_THAT(unsized.bytes, Not(HasSubstr("chunked")));
}

TEST(ProxyFraming, AnswersWithoutLengthAreChunkedFor11AndClosedFor10) {
    RawWorld w;
    w.a.script = [](int) -> Script {
        return {.bytes = "HTTP/1.1 200 OK\r\n\r\nok", .then = Then::close};
    };
    const auto modern = w.get();
    EXPECT_THAT(modern.bytes, EndsWith("2\r\nok\r\n0\r\n\r\n"));
    EXPECT_FALSE(modern.closed);
    const auto old = w.ask({"GET / HTTP/1.0\r\nHost: api\r\n\r\n"});
    EXPECT_THAT(old.bytes, EndsWith("\r\n\r\nok"));
    EXPECT_TRUE(old.closed);
}

TEST(ProxyFraming, CarriesTrailersBothWays) {
    RawWorld w;
    w.a.script = [](int) -> Script {
        return {
            .bytes =
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: "
                "1\r\n\r\n",
            .delay = milliseconds(100)
        };
    };
    const auto answer = w.ask(
        {"POST / HTTP/1.1\r\nHost: api\r\nTE: trailers\r\nConnection: te\r\nTransfer-Encoding: "
         "chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Own: 2\r\n\r\n"}
    );
    EXPECT_THAT(answer.bytes, EndsWith("2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"));
    EXPECT_THAT(w.a.received, EndsWith("2\r\nhi\r\n0\r\nX-Own: 2\r\n\r\n"))
        << "also when collected";
    EXPECT_THAT(w.a.received, HasSubstr("te: trailers\r\n"));
    const auto late = w.ask(
        {"POST / HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: chunked\r\n\r\n",
         "2\r\nhi\r\n",
         "0\r\nX-Late: 3\r\n\r\n"}
    );
    EXPECT_THAT(late.bytes, StartsWith("HTTP/1.1 200"));
    EXPECT_THAT(w.a.received, EndsWith("2\r\nhi\r\n0\r\nX-Late: 3\r\n\r\n")) << "and when streamed";
}

TEST(ProxyFraming, AnswersPipelinedRequestsInOrder) {
    RawWorld w;
    w.a.script = [](int n) -> Script {
        return {
            .bytes = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + std::to_string(n),
            .delay = milliseconds(n == 0 ? 200 : 0)
        };
    };
    const std::string one = "GET / HTTP/1.1\r\nHost: api\r\n\r\n";
    const auto answer = w.ask({one + one, one});
    EXPECT_EQ(count(answer.bytes, "HTTP/1.1 200"), 3U);
    EXPECT_LT(answer.bytes.find("\r\n\r\n0"), answer.bytes.find("\r\n\r\n1"));
    EXPECT_LT(answer.bytes.find("\r\n\r\n1"), answer.bytes.find("\r\n\r\n2"));
}

TEST(ProxyFraming, DropsWhatEndsAtThisHopAndNobodyCanSpoofTheReason) {
    RawWorld w;
    w.a.script = [](int) -> Script {
        return {
            .bytes =
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Mesh-Reason: no_endpoint\r\n"
                "Connection: x-mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\nVia: 1.0 old\r\n"
                "\r\nok"
        };
    };
    const auto answer = w.get(
        "/",
        "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\nProxy: http://evil\r\n"
        "Proxy-Connection: keep-alive\r\nProxy-Authorization: x\r\nTE: gzip\r\n"
        "Connection: x-own, close\r\nX-Own: 1\r\nVia: 1.0 first\r\nUpgrade: h2c\r\n"
    );
    EXPECT_THAT(answer.bytes, Not(HasSubstr("-Reason")));
    EXPECT_THAT(answer.bytes, Not(HasSubstr("X-Mine")));
    EXPECT_THAT(answer.bytes, Not(HasSubstr("Keep-Alive")));
    EXPECT_THAT(answer.bytes, HasSubstr("Via: 1.0 old\r\n"));
    EXPECT_THAT(answer.bytes, HasSubstr("via: 1.1 dpmesh\r\n"));
    EXPECT_THAT(answer.bytes, HasSubstr("date: "));
    EXPECT_THAT(w.a.received, HasSubstr("x-forwarded-for: 1.1.1.1\r\n"));
    EXPECT_THAT(w.a.received, HasSubstr("x-forwarded-for: 2.2.2.2, 10.0.0.1\r\n"));
    for (const char* gone : {"Proxy", "X-Own", "Upgrade", "gzip", "close"})
        EXPECT_THAT(w.a.received, Not(HasSubstr(gone)));
    EXPECT_THAT(w.a.received, HasSubstr("Via: 1.0 first\r\n"));
}

TEST(ProxyFraming, RoutesByHostInEveryForm) {
    RawWorld w;
    w.a.script = [](int) -> Script { return {.bytes = kOk}; };
    for (const char* host : {"api", "API", "api.", "api:9000"}) {
        const auto answer = w.ask({"GET / HTTP/1.1\r\nHost: " + std::string(host) + "\r\n\r\n"});
        EXPECT_THAT(answer.bytes, StartsWith("HTTP/1.1 200")) << host;
    }
    const auto absolute = w.ask({"GET http://api/x?y HTTP/1.1\r\nHost: api\r\n\r\n"});
    EXPECT_THAT(absolute.bytes, StartsWith("HTTP/1.1 200"));
    EXPECT_THAT(w.a.received, HasSubstr("GET /x?y HTTP/1.1\r\nhost: api\r\n"));
    const auto star = w.ask({"OPTIONS * HTTP/1.1\r\nHost: api\r\n\r\n"});
    EXPECT_THAT(star.bytes, StartsWith("HTTP/1.1 200"));
    EXPECT_THAT(w.a.received, HasSubstr("OPTIONS * HTTP/1.1\r\n"));
    EXPECT_THAT(
        w.ask({"GET / HTTP/1.1\r\nHost: other\r\n\r\n"}).bytes, HasSubstr("x-mesh-reason: no_route")
    );
    EXPECT_THAT(
        w.ask({"CONNECT api:80 HTTP/1.1\r\nHost: api:80\r\n\r\n"}).bytes, StartsWith("HTTP/1.1 501")
    );
}

}  // namespace
}  // namespace datapunk::mesh::proxy
