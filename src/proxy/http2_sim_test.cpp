// Callers and endpoints that speak HTTP/2, in virtual time: translation to HTTP/1.1 and back, many
// calls on one connection, what is cut, what is refused.

#include "proxy/http2_world_test.h"
#include "wire/http2/test_frames.h"

namespace datapunk::mesh::proxy {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using wire::http2::FieldList;
using wire::http2::H2Stream;
using wire::http2::Session;

const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Mesh-Reason: none\r\n\r\nok";

TEST(ProxyHttp2, TranslatesARequestAndItsAnswer) {
    RawWorld w;
    w.a.script = [](int) -> Script { return {.bytes = kOk}; };
    {
        Caller2 caller(w.world);
        H2Stream* const one =
            caller.ask(request("GET", "/a?b", {{"cookie", "a=1"}, {"cookie", "b=2"}}));
        pass(w);
        EXPECT_THAT(
            w.a.head,
            AllOf(
                HasSubstr("GET /a?b HTTP/1.1\r\nhost: api\r\n"),
                HasSubstr("cookie: a=1; b=2\r\n"),
                HasSubstr("x-forwarded-for: 10.0.0.1\r\n"),
                HasSubstr("via: 2 dpmesh\r\n"),
                HasSubstr("traceparent: 00-")
            )
        );
        EXPECT_THAT(w.a.head, Not(HasSubstr("transfer-encoding")));
        const auto& answer = caller.answer(one);
        EXPECT_EQ(answer.status, 200);
        EXPECT_EQ(answer.body, "ok");
        EXPECT_TRUE(answer.ended);
        EXPECT_FALSE(answer.reset);
        EXPECT_EQ(answer.fields.at("content-length"), "2");
        EXPECT_EQ(answer.fields.at("via"), "1.1 dpmesh");
        EXPECT_FALSE(answer.fields.contains("x-mesh-reason")) << "only this hop says why";
        EXPECT_TRUE(answer.fields.contains("date"));
    }
    w.expect_at_rest();
    EXPECT_EQ(w.value(metrics::names::kRequests, {"api", "2xx"}), 1);
}

TEST(ProxyHttp2, ABodyOfUnknownLengthAndItsTrailersAreChunked) {
    RawWorld w;
    w.a.script = [](int) -> Script {
        return {
            .bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            .delay = milliseconds(100),
            .pause = milliseconds(20),
            .more = "5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n"
        };
    };
    Caller2 caller(w.world);
    H2Stream* const one = caller.ask(request("POST"), "first", false);
    pass(w, milliseconds(50));
    const FieldList trailers = fields_of({{"x-check", "9"}});
    caller.send(one, "second", true, &trailers);
    pass(w);
    EXPECT_THAT(
        w.a.received, EndsWith("\r\n\r\n5\r\nfirst\r\n6\r\nsecond\r\n0\r\nx-check: 9\r\n\r\n")
    );
    EXPECT_EQ(caller.answer(one).body, "hello");
    EXPECT_EQ(caller.answer(one).trailers.at("x-sum"), "7");
}

TEST(ProxyHttp2, AnswersComeInTheOrderInWhichTheyAreReady) {
    RawWorld w;
    w.a.script = [](int n) -> Script {
        return {.bytes = kOk, .delay = n == 0 ? milliseconds(500) : milliseconds(1)};
    };
    Caller2 caller(w.world);
    H2Stream* const slow = caller.ask(request());
    pass(w, milliseconds(20));
    std::vector<H2Stream*> fast;
    for (int i = 0; i < 20; ++i) fast.push_back(caller.ask(request()));
    pass(w);
    for (H2Stream* const stream : fast) EXPECT_EQ(caller.answer(stream).status, 200);
    EXPECT_EQ(caller.answer(slow).status, 0);
    pass(w, milliseconds(500));
    EXPECT_EQ(caller.answer(slow).status, 200);
    EXPECT_EQ(w.value(metrics::names::kListenerConnections), 1);
}

TEST(ProxyHttp2, ACutAnswerIsAResetAndNeverAnEnd) {
    for (const char* head :
         {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
          "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello"}) {
        for (const Then then : {Then::close, Then::reset}) {
            RawWorld w;
            w.a.script = [&](int) -> Script {
                return {.bytes = head, .then = then, .pause = milliseconds(50)};
            };
            Caller2 caller(w.world);
            H2Stream* const one = caller.ask(request());
            pass(w);
            EXPECT_EQ(caller.answer(one).status, 200) << head;
            EXPECT_FALSE(caller.answer(one).ended) << head;
            EXPECT_TRUE(caller.answer(one).reset) << head;
            EXPECT_FALSE(caller.was_closed()) << "other streams may go on";
        }
    }
}

TEST(ProxyHttp2, ARequestThatItsCallerCutsIsNeverWhole) {
    RawWorld w;
    w.a.script = [](int) -> Script { return {.accept_only = true}; };
    {
        Caller2 caller(w.world);
        H2Stream* const one = caller.ask(request("POST"), "partly", false);
        pass(w, milliseconds(50));
        caller.cancel(one);
        pass(w);
        EXPECT_THAT(w.a.received, Not(HasSubstr("0\r\n\r\n")));
        EXPECT_EQ(w.a.ended, 1) << "the endpoint's connection";
        EXPECT_FALSE(caller.was_closed());
        // Less than content-length promises is a malformed request.
        H2Stream* const two =
            caller.ask(request("POST", "/", {{"content-length", "9"}}), "only", true);
        pass(w);
        EXPECT_TRUE(caller.answer(two).reset);
        EXPECT_EQ(w.value(metrics::names::kBadRequests, {"in", "h2_malformed"}), 1);
    }
    w.expect_at_rest();
}

TEST(ProxyHttp2, ACallerThatLeavesEndsTheWorkForIt) {
    RawWorld w;
    w.a.script = [](int) -> Script { return {.accept_only = true}; };
    {
        Caller2 caller(w.world);
        for (int i = 0; i < 5; ++i) caller.ask(request());
        pass(w);
        EXPECT_EQ(w.a.connections, 5);
        EXPECT_EQ(w.api.totals().in_flight, 5U);
        caller.close();
        pass(w);
    }
    EXPECT_EQ(w.a.ended, 5);
    w.expect_at_rest();
}

TEST(ProxyHttp2, SaysNoInItsOwnWords) {
    RawWorld w;
    Caller2 caller(w.world);
    H2Stream* const unknown = caller.ask(fields_of(
        {{":method", "GET"}, {":scheme", "http"}, {":authority", "other"}, {":path", "/"}}
    ));
    H2Stream* const two_hosts = caller.ask(request("GET", "/", {{"host", "other"}}));
    H2Stream* const dots = caller.ask(request("GET", "/a/../b"));
    H2Stream* const grpc = caller.ask(fields_of(
        {{":method", "POST"},
         {":scheme", "http"},
         {":authority", "other"},
         {":path", "/a.B/C"},
         {"content-type", "application/grpc"}}
    ));
    pass(w);
    EXPECT_EQ(caller.answer(unknown).status, 404);
    EXPECT_EQ(caller.answer(unknown).fields.at("x-mesh-reason"), "no_route");
    EXPECT_THAT(caller.answer(unknown).body, EndsWith("\n"));
    EXPECT_EQ(caller.answer(two_hosts).status, 400);
    EXPECT_EQ(w.value(metrics::names::kBadRequests, {"in", "host_mismatch"}), 1);
    EXPECT_EQ(caller.answer(dots).status, 400);
    EXPECT_EQ(caller.answer(grpc).status, 200);
    EXPECT_EQ(caller.answer(grpc).fields.at("grpc-status"), "12");
    EXPECT_EQ(caller.answer(grpc).fields.at("x-mesh-reason"), "no_route");
    EXPECT_EQ(w.a.heads, 0);
}

// The HTTP status of gRPC is 200 whatever happened; what happened stands in the trailers.
TEST(ProxyHttp2, AFailureOfGrpcWithStatus200CountsAgainstTheBreaker) {
    ServicePolicy policy = kOneAttempt;
    policy.breaker = {.consecutive = 3};
    policy.protocol = EndpointProtocol::http1;
    RawWorld w(policy);
    std::string status = "5";  // not found: an answer
    w.a.script = [&status](int n) -> Script {
        const std::string head = "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\n";
        const std::string in_head =
            head + "grpc-status: " + status + "\r\nContent-Length: 0\r\n\r\n";
        const std::string in_trailers = head +
                                        "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n" +
                                        "grpc-status: " + status + "\r\n\r\n";
        return {.bytes = n % 2 == 0 ? in_trailers : in_head};
    };
    Caller2 caller(w.world);
    const auto call = [&] {
        H2Stream* const one = caller.ask(
            request("POST", "/s/m", {{"content-type", "application/grpc"}, {"te", "trailers"}})
        );
        pass(w);
        EXPECT_EQ(caller.answer(one).status, 200);
        return caller.answer(one);
    };
    for (int i = 0; i < 4; ++i) call();
    EXPECT_EQ(w.api.view(w.world.loop().now()).endpoints[0].failures, 0U);
    status = "14";  // unavailable
    for (int i = 0; i < 3; ++i) call();
    EXPECT_EQ(w.a.heads, 7);
    const auto seen = w.api.view(w.world.loop().now()).endpoints.at(0);
    EXPECT_EQ(seen.failures, 3U);
    EXPECT_EQ(seen.breaker.state, resilience::BreakerState::open);
    EXPECT_EQ(call().fields.at("x-mesh-reason"), "no_endpoint");
}

TEST(ProxyHttp2, DrainSaysGoodbyeAndServesWhatIsOnItsWay) {
    RawWorld w;
    w.a.script = [](int) -> Script { return {.bytes = kOk, .delay = milliseconds(300)}; };
    Caller2 caller(w.world);
    H2Stream* const one = caller.ask(request());
    pass(w, milliseconds(50));
    io::TaskGroup draining;
    draining.spawn(w.proxy.drain(w.world.loop().now() + seconds(10)));
    pass(w, milliseconds(100));
    EXPECT_TRUE(caller.session().is_going());
    EXPECT_FALSE(caller.was_closed());
    pass(w, seconds(1));
    EXPECT_EQ(caller.answer(one).body, "ok");
    EXPECT_TRUE(caller.was_closed());
    EXPECT_EQ(w.proxy.connections(), 0U);
}

TEST(ProxyHttp2, AnIdleConnectionIsClosedHoweverManyPingsItSends) {
    RawWorld w(kOneAttempt, {.idle_timeout = seconds(10)});
    Caller2 caller(w.world);
    int sent = 0;
    for (; sent < 30 && !caller.was_closed(); ++sent) {
        caller.ping();
        pass(w, seconds(1));
    }
    EXPECT_TRUE(caller.was_closed());
    EXPECT_LE(sent, 12);
    EXPECT_GT(caller.session().pongs(), 5U);
}

TEST(ProxyHttp2, ASlowReaderHoldsABoundedAmount) {
    RawWorld w(kOneAttempt, {.body_timeout = seconds(5)});
    const std::string large(1'000'000, 'x');
    w.a.script = [&](int) -> Script {
        return {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + large};
    };
    Caller2 caller(w.world);
    caller.takes_data = false;
    H2Stream* const one = caller.ask(request());
    pass(w, seconds(3));
    EXPECT_EQ(caller.answer(one).status, 200);
    EXPECT_FALSE(caller.answer(one).reset);
    pass(w, seconds(5));
    EXPECT_TRUE(caller.answer(one).reset) << "given up when no piece was taken for so long";
    EXPECT_EQ(w.a.ended, 1);
}

TEST(ProxyHttp2, FloodsEndTheConnectionAndAreCounted) {
    RawWorld w;
    w.a.script = [](int) -> Script { return {.bytes = kOk}; };
    using wire::http2::frame;
    std::string resets = wire::http2::kPreface + frame(wire::http2::kSettings, 0, 0, "");
    for (std::uint32_t id = 1; id < 2'001; id += 2) {
        resets += frame(wire::http2::kHeaders, 5, id, wire::http2::kGetRoot);
        resets += frame(wire::http2::kRstStream, 0, id, wire::http2::number(8));
    }
    const RawAnswer answer = w.ask({resets});
    EXPECT_TRUE(answer.closed || answer.reset);
    EXPECT_EQ(wire::http2::last_error_code(answer.bytes), 11);
    EXPECT_EQ(w.value(metrics::names::kBadRequests, {"in", "h2_reset_flood"}), 1);
    EXPECT_LT(w.a.heads, 300);
    w.expect_at_rest();
}

TEST(ProxyHttp2, APrefaceInPiecesIsRecognised) {
    RawWorld w;
    w.a.script = [](int) -> Script { return {.bytes = kOk}; };
    using wire::http2::frame;
    const std::string& preface = wire::http2::kPreface;
    const RawAnswer answer = w.ask(
        {preface.substr(0, 3),
         preface.substr(3, 15),
         preface.substr(18) + frame(wire::http2::kSettings, 0, 0, ""),
         frame(wire::http2::kHeaders, 5, 1, wire::http2::kGetRoot)}
    );
    EXPECT_THAT(answer.bytes, EndsWith("ok"));
    EXPECT_EQ(w.a.heads, 1);
    // And what only begins like it is HTTP/1.1.
    EXPECT_THAT(w.ask({"PR", "OPFIND / HTTP/1.1\r\nHost: api\r\n\r\n"}).bytes, HasSubstr("200 OK"));
}

// --- endpoints that speak HTTP/2

TEST(ProxyHttp2Upstream, ManyCallsShareOneConnection) {
    Chain w;
    w.a.script = [](int) -> Script { return {.bytes = kOk, .delay = milliseconds(20)}; };
    {
        Caller2 caller(w.world);
        std::vector<H2Stream*> asked;
        for (int i = 0; i < 50; ++i) asked.push_back(caller.ask(request()));
        pass(w);
        for (H2Stream* const stream : asked) EXPECT_EQ(caller.answer(stream).body, "ok");
    }
    EXPECT_EQ(w.proxy.pool().counters().created, 1U);
    EXPECT_THAT(w.get().bytes, EndsWith("ok")) << "a caller that speaks HTTP/1.1";
    EXPECT_EQ(w.proxy.pool().counters().created, 1U);
    EXPECT_THAT(w.a.head, AllOf(HasSubstr("via: 1.1 dpmesh\r\n"), HasSubstr("via: 2 dpmesh\r\n")));
    w.expect_at_rest();
}

// Nothing is known of the endpoint yet, not even how many streams it takes: none is begun to be
// refused, and nobody's failure is counted.
TEST(ProxyHttp2Upstream, ABurstAtAColdStartFindsAsManyConnectionsAsItNeeds) {
    Chain w(kOneAttempt, 10);
    w.a.script = [](int) -> Script { return {.bytes = kOk, .delay = milliseconds(20)}; };
    {
        Caller2 caller(w.world);
        std::vector<H2Stream*> asked;
        for (int i = 0; i < 75; ++i) asked.push_back(caller.ask(request()));
        pass(w);
        for (H2Stream* const stream : asked) EXPECT_EQ(caller.answer(stream).status, 200);
    }
    EXPECT_EQ(w.proxy.pool().counters().created, 8U);
    EXPECT_EQ(w.api.view(w.world.loop().now()).endpoints[0].failures, 0U);
    w.expect_at_rest();
}

TEST(ProxyHttp2Upstream, BodiesAndTrailersPassBothWays) {
    Chain w;
    w.a.script = [](int) -> Script {
        return {
            .bytes =
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                "5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n",
            .delay = milliseconds(100)
        };
    };
    const RawAnswer answer = w.ask(
        {"POST / HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
         "2\r\nde\r\n0\r\nX-Check: 1\r\n\r\n"}
    );
    EXPECT_THAT(answer.bytes, EndsWith("0\r\nx-sum: 7\r\n\r\n"));
    EXPECT_THAT(w.a.received, EndsWith("0\r\nx-check: 1\r\n\r\n"));
}

TEST(ProxyHttp2Upstream, LargeBodiesFlowAtTheSlowerSidesPace) {
    Chain w;
    const std::string large(3'000'000, 'y');
    w.a.script = [&](int) -> Script {
        return {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + large};
    };
    Caller2 caller(w.world);
    H2Stream* const one = caller.ask(request());
    pass(w, seconds(20));
    EXPECT_EQ(caller.answer(one).body.size(), large.size());
    EXPECT_TRUE(caller.answer(one).ended);
}

TEST(ProxyHttp2Upstream, ACutAnswerStaysCut) {
    Chain w;
    w.a.script = [](int) -> Script {
        return {
            .bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            .then = Then::close,
            .pause = milliseconds(50)
        };
    };
    Caller2 caller(w.world);
    H2Stream* const one = caller.ask(request());
    pass(w);
    EXPECT_EQ(caller.answer(one).body, "hello");
    EXPECT_FALSE(caller.answer(one).ended);
    EXPECT_TRUE(caller.answer(one).reset);
    EXPECT_THAT(w.get().bytes, AllOf(HasSubstr("hello"), Not(EndsWith("0\r\n\r\n"))));
}

TEST(ProxyHttp2Upstream, AnEndpointThatGoesLosesNoCall) {
    Chain w({.breaker = {.enabled = false}, .outlier = {.enabled = false}, .retry = {.attempts = 3}}
    );
    w.a.script = [](int) -> Script { return {.bytes = kOk, .delay = milliseconds(100)}; };
    Caller2 caller(w.world);
    H2Stream* const first = caller.ask(request());
    pass(w, milliseconds(50));
    io::TaskGroup draining;
    draining.spawn(w.back->drain(w.world.loop().now() + seconds(10)));
    pass(w, milliseconds(300));
    EXPECT_EQ(caller.answer(first).body, "ok") << "begun before the goodbye";
    H2Stream* const second = caller.ask(request());
    pass(w, seconds(2));
    EXPECT_EQ(caller.answer(second).status, 503) << "nobody listens there any more";
    EXPECT_EQ(caller.answer(second).fields.at("x-mesh-reason"), "connect_failure");
}

TEST(ProxyHttp2Upstream, ASilentConnectionIsGivenUpLongBeforeTheDeadline) {
    ServicePolicy policy = kOneAttempt;
    policy.protocol = EndpointProtocol::http2;
    policy.deadline = std::chrono::minutes(5);
    RawWorld w(policy);
    w.a.script = [](int) -> Script { return {.accept_only = true}; };  // answers no PING either
    Caller2 caller(w.world);
    H2Stream* const one = caller.ask(request());
    pass(w, seconds(15));
    EXPECT_EQ(caller.answer(one).status, 0);
    pass(w, seconds(10));
    EXPECT_EQ(caller.answer(one).status, 502);
    EXPECT_EQ(caller.answer(one).fields.at("x-mesh-reason"), "upstream_reset");
}

}  // namespace
}  // namespace datapunk::mesh::proxy
