// What a route does beyond leading to a service, over a simulated network.

#include "proxy/raw_world_test.h"

namespace datapunk::mesh::proxy {
namespace {

using routing::Route;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

const Script kOk{
    .bytes = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nServer: raw\r\nX-Old: 1\r\n\r\nok"
};

struct ActionWorld : RawWorld {
    explicit ActionWorld(Route route, ServicePolicy policy = kOneAttempt, std::uint64_t seed = 1)
        : RawWorld(policy, {}, seed, {with_name(std::move(route))}) {
        a.script = [](int) { return kOk; };
    }

    static Route with_name(Route route) {
        route.name = "r";
        if (route.service.empty() && !route.redirect && !route.respond) route.service = "api";
        return route;
    }

    double counted(const std::string& action) {
        return value(metrics::names::kRouteActions, {"r", action});
    }

    std::string said(const std::string& request) { return ask({request}).bytes; }
};

TEST(RouteActions, RedirectWithoutAskingAnybody) {
    ActionWorld w(
        {.path_prefix = "/old",
         .redirect = routing::Redirect{.status = 308, .scheme = "https", .prefix = "/new"}}
    );
    const std::string answer = w.said("GET /old/x?q=1 HTTP/1.1\r\nHost: api:9000\r\n\r\n");
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 308 Permanent Redirect\r\n"));
    EXPECT_THAT(answer, HasSubstr("\r\nlocation: https://api/new/x?q=1\r\n"));
    EXPECT_THAT(answer, HasSubstr("\r\nx-mesh-reason: redirect\r\n"));
    EXPECT_EQ(w.a.heads, 0);
    EXPECT_EQ(w.counted("redirect"), 1);
    w.expect_at_rest();
}

TEST(RouteActions, RedirectNeedsAHostFromSomewhere) {
    ActionWorld w({.redirect = routing::Redirect{.scheme = "https"}});
    EXPECT_THAT(w.said("GET //evil.example HTTP/1.0\r\n\r\n"), StartsWith("HTTP/1.1 400"));
}

TEST(RouteActions, RespondWithTheWordsOfTheRouteAndKeepTheConnection) {
    Route route{
        .respond =
            routing::DirectResponse{.status = 503, .body = "{}", .content_type = "application/json"}
    };
    route.response_headers.set = {{"retry-after", "120"}};
    ActionWorld w(route);
    const std::string get = "GET / HTTP/1.1\r\nHost: api\r\n\r\n";
    const RawAnswer answer = w.ask({get, "HEAD / HTTP/1.1\r\nHost: api\r\n\r\n", get});
    EXPECT_THAT(answer.bytes, HasSubstr("content-type: application/json\r\ncontent-length: 2\r\n"));
    EXPECT_THAT(answer.bytes, HasSubstr("\r\nretry-after: 120\r\n"));
    EXPECT_THAT(answer.bytes, HasSubstr("\r\nx-mesh-reason: direct_response\r\n"));
    EXPECT_THAT(answer.bytes, testing::EndsWith("\r\n\r\n{}"));
    EXPECT_EQ(w.counted("direct_response"), 3);
    EXPECT_FALSE(answer.closed);
}

TEST(RouteActions, AShortRequestIsHeardOutAndTheConnectionKept) {
    ActionWorld w({.respond = routing::DirectResponse{.body = "x"}});
    const std::string head = "POST / HTTP/1.1\r\nHost: api\r\nContent-Length: 10\r\n\r\n";
    const RawAnswer answer =
        w.ask({head + "12345", "67890", "GET / HTTP/1.1\r\nHost: api\r\n\r\n"}, milliseconds(50));
    EXPECT_EQ(w.counted("direct_response"), 2);
    EXPECT_FALSE(answer.closed);
    const RawAnswer large =
        w.ask({"POST / HTTP/1.1\r\nHost: api\r\nContent-Length: 100000\r\n\r\n12345"});
    EXPECT_THAT(large.bytes, StartsWith("HTTP/1.1 200"));
    EXPECT_TRUE(large.closed);
    const RawAnswer never =
        w.ask({head + "12345"}, milliseconds(10), seconds(40));  // the listener's body_timeout
    EXPECT_THAT(never.bytes, StartsWith("HTTP/1.1 408"));
}

TEST(RouteActions, AnAnswerOf204FramesNoBody) {
    ActionWorld w({.respond = routing::DirectResponse{.status = 204}});
    const std::string answer = w.said("GET / HTTP/1.1\r\nHost: api\r\n\r\n");
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 204 "));
    EXPECT_THAT(answer, Not(HasSubstr("content-")));
    EXPECT_THAT(answer, testing::EndsWith("\r\n\r\n"));
}

TEST(RouteActions, RewriteHostAndPathForTheEndpoint) {
    Route route{.path_prefix = "/api"};
    route.rewrite = routing::Rewrite{.host = "inner.example", .prefix = "/"};
    ActionWorld w(route);
    EXPECT_THAT(
        w.said("GET /api/x?a=/api HTTP/1.1\r\nHost: api\r\n\r\n"), StartsWith("HTTP/1.1 200")
    );
    EXPECT_THAT(w.a.head, StartsWith("GET /x?a=/api HTTP/1.1\r\nhost: inner.example\r\n"));
    EXPECT_THAT(w.a.head, Not(HasSubstr("Host: api")));
}

TEST(RouteActions, APathThatIsNoneAfterItsRewriteIsRefused) {
    Route route;
    route.rewrite = routing::Rewrite{.regex = "x", .substitution = "."};
    ActionWorld w(route);
    EXPECT_THAT(w.said("GET /a/xx/b HTTP/1.1\r\nHost: api\r\n\r\n"), StartsWith("HTTP/1.1 400"));
    route.rewrite = routing::Rewrite{.regex = "/", .substitution = ""};
    ActionWorld v(route);
    EXPECT_THAT(v.said("GET /a HTTP/1.1\r\nHost: api\r\n\r\n"), StartsWith("HTTP/1.1 400"));
    EXPECT_EQ(w.a.heads + v.a.heads, 0);
}

TEST(RouteActions, EditTheHeadersOfRequestAndAnswer) {
    Route route;
    route.request_headers = {
        .remove = {"x-debug"}, .set = {{"x-team", "a"}}, .add = {{"x-hop", "1"}}
    };
    route.response_headers = {
        .remove = {"server"}, .set = {{"x-old", "2"}}, .add = {{"x-new", "3"}}
    };
    ActionWorld w(route);
    const std::string answer = w.said(
        "GET / HTTP/1.1\r\nHost: api\r\nX-Debug: 1\r\nX-Team: b\r\nX-Team: c\r\nX-Hop: 0\r\n\r\n"
    );
    EXPECT_THAT(w.a.head, Not(HasSubstr("X-Debug")));
    EXPECT_THAT(w.a.head, Not(HasSubstr("X-Team")));
    EXPECT_THAT(w.a.head, HasSubstr("\r\nX-Hop: 0\r\nx-team: a\r\nx-hop: 1\r\n"));
    EXPECT_THAT(answer, Not(HasSubstr("Server:")));
    EXPECT_THAT(answer, Not(HasSubstr("X-Old")));
    EXPECT_THAT(answer, HasSubstr("\r\nx-old: 2\r\nx-new: 3\r\n"));
}

TEST(RouteActions, ACallersConnectionHeaderDoesNotTakeAwayWhatTheRouteSets) {
    Route route;
    route.request_headers.set = {{"x-team", "a"}};
    ActionWorld w(route);
    w.said("GET / HTTP/1.1\r\nHost: api\r\nConnection: x-team, keep-alive\r\nX-Team: b\r\n\r\n");
    EXPECT_THAT(w.a.head, HasSubstr("\r\nx-team: a"));
    EXPECT_THAT(w.a.head, Not(HasSubstr("X-Team")));
}

TEST(RouteActions, EditAnswersOfOursToo) {
    Route route;
    route.response_headers.set = {{"strict-transport-security", "max-age=1"}};
    ActionWorld w(route);
    w.a.script = [](int) { return Script{.then = Then::close}; };
    const std::string answer = w.said("POST / HTTP/1.1\r\nHost: api\r\nContent-Length: 0\r\n\r\n");
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 502"));
    EXPECT_THAT(answer, HasSubstr("\r\nstrict-transport-security: max-age=1\r\n"));
}

TEST(RouteActions, ADelayIsWaitedForAndCountsForTheDeadline) {
    Route route;
    route.fault = routing::Fault{.delay = routing::FaultDelay{.duration = milliseconds(700)}};
    ActionWorld w(route);
    const RawAnswer late = w.get();
    EXPECT_THAT(late.bytes, StartsWith("HTTP/1.1 200"));
    EXPECT_GE(late.took, milliseconds(700));
    EXPECT_EQ(w.counted("fault_delay"), 1);
    route.timeout = milliseconds(500);
    ActionWorld v(route);
    const RawAnswer over = v.get();
    EXPECT_THAT(over.bytes, StartsWith("HTTP/1.1 504"));
    EXPECT_THAT(over.bytes, HasSubstr("x-mesh-reason: deadline"));
    EXPECT_EQ(v.a.heads, 0);
    v.expect_at_rest();
}

TEST(RouteActions, ADelayedBodyArrivesWhole) {
    Route route;
    route.fault = routing::Fault{.delay = routing::FaultDelay{.duration = milliseconds(300)}};
    ActionWorld w(route);
    const std::string body(100'000, 'b');
    const std::string head = "POST / HTTP/1.1\r\nHost: api\r\nContent-Length: 100000\r\n\r\n";
    const RawAnswer answer = w.ask({head + body.substr(0, 50'000), body.substr(50'000)});
    EXPECT_THAT(answer.bytes, StartsWith("HTTP/1.1 200"));
    EXPECT_THAT(w.a.received, HasSubstr(body));
}

TEST(RouteActions, WhoLeavesDuringADelayIsNotWaitedFor) {
    Route route;
    route.fault = routing::Fault{.delay = routing::FaultDelay{.duration = seconds(10)}};
    ActionWorld w(route);
    w.ask({"GET / HTTP/1.1\r\nHost: api\r\n\r\n"}, milliseconds(10), milliseconds(100));
    w.expect_at_rest();
    EXPECT_EQ(w.a.heads, 0);
}

TEST(RouteActions, FaultsFollowTheirPercentageAndTheSeed) {
    Route route;
    route.fault = routing::Fault{.abort = routing::FaultAbort{.status = 418, .percentage = 25}};
    const auto aborted = [&](std::uint64_t seed) {
        ActionWorld w(route, kOneAttempt, seed);
        std::string pattern;
        for (int i = 0; i < 200; ++i) {
            const std::string bytes =
                w.ask({"GET / HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\r\n"}).bytes;
            const bool is_fault = bytes.starts_with("HTTP/1.1 418");
            EXPECT_EQ(is_fault, bytes.find("x-mesh-reason: fault\r\n") != std::string::npos);
            pattern += is_fault ? 'x' : '.';
        }
        EXPECT_EQ(w.counted("fault_abort"), std::count(pattern.begin(), pattern.end(), 'x'));
        return pattern;
    };
    const std::string pattern = aborted(3);
    const auto count = std::count(pattern.begin(), pattern.end(), 'x');
    EXPECT_GT(count, 25);
    EXPECT_LT(count, 80);
    EXPECT_EQ(pattern, aborted(3));
    EXPECT_NE(pattern, aborted(4));
}

TEST(RouteActions, TheRoutesRetriesStandBeforeTheServices) {
    Route route;
    routing::RetryOverride retry;
    retry.attempts = 3;
    retry.on = RetryOn::server_error;
    retry.backoff = BackoffConfig{.base = Duration::zero(), .max = Duration::zero()};
    route.retry = retry;
    ActionWorld w(route);  // the service's: one attempt
    w.a.script = [](int n) {
        return n < 2 ? Script{.bytes = "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"} : kOk;
    };
    EXPECT_THAT(w.get().bytes, StartsWith("HTTP/1.1 200"));
    EXPECT_EQ(w.a.heads, 3);
    ServicePolicy many = kOneAttempt;
    many.retry.attempts = 5;
    retry.attempts = 1;
    route.retry = retry;
    ActionWorld v(route, many);
    v.a.script = [](int) {
        return Script{.bytes = "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"};
    };
    EXPECT_THAT(v.get().bytes, StartsWith("HTTP/1.1 500"));
    EXPECT_EQ(v.a.heads, 1);
}

TEST(RouteActions, TheRoutesAttemptTimeoutCounts) {
    Route route;
    route.retry = routing::RetryOverride{.attempts = 2, .attempt_timeout = milliseconds(100)};
    ActionWorld w(route);
    w.a.script = [](int n) { return n == 0 ? Script{.accept_only = true} : kOk; };
    const RawAnswer answer = w.get();
    EXPECT_THAT(answer.bytes, StartsWith("HTTP/1.1 200"));
    EXPECT_LT(answer.took, milliseconds(600));
}

TEST(RouteActions, TheRoutesBodyLimitStandsBeforeTheListeners) {
    Route route;
    route.body_bytes_max = 10;
    ActionWorld w(route);
    const std::string eleven =
        "POST / HTTP/1.1\r\nHost: api\r\nContent-Length: 11\r\n\r\n12345678901";
    const std::string answer = w.said(eleven);
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 413"));
    EXPECT_THAT(answer, HasSubstr("10 bytes that route r takes"));
    EXPECT_EQ(w.a.heads, 0);
    EXPECT_THAT(
        w.said("POST / HTTP/1.1\r\nHost: api\r\nContent-Length: 10\r\n\r\n1234567890"),
        StartsWith("HTTP/1.1 200")
    );
    EXPECT_THAT(
        w.said("POST / HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: "
               "chunked\r\n\r\nb\r\n12345678901\r\n0\r\n\r\n"),
        StartsWith("HTTP/1.1 413")
    );
}

TEST(RouteActions, OnlySoManyRequestsInATime) {
    Route route;
    route.rate_limit = RateLimitConfig{.calls = 3, .per = seconds(10)};
    ActionWorld w(route);
    const std::string get = "GET / HTTP/1.1\r\nHost: api\r\n\r\n";
    const std::string answers = w.said(get + get + get + get);
    EXPECT_EQ(w.a.heads, 3);
    EXPECT_THAT(answers, HasSubstr("HTTP/1.1 429 "));
    EXPECT_THAT(answers, HasSubstr("\r\nx-mesh-reason: route_rate\r\n"));
    EXPECT_THAT(answers, testing::ContainsRegex("\r\nretry-after: [1-4]\r\n"));
    EXPECT_EQ(w.value(metrics::names::kRequestsRejected, {"api", "route_rate"}), 1);
    w.world.loop().run_for(seconds(10));
    EXPECT_THAT(w.said(get), StartsWith("HTTP/1.1 200"));
}

TEST(RouteActions, WhoMayWaitForHisTurnDoes) {
    Route route;
    route.rate_limit = RateLimitConfig{
        .calls = 1, .per = seconds(1), .algorithm = RateAlgorithm::leaky_bucket, .burst = 5
    };
    ActionWorld w(route);
    const std::string get = "GET / HTTP/1.1\r\nHost: api\r\n\r\n";
    const RawAnswer answer = w.ask({get + get + get});
    EXPECT_EQ(w.a.heads, 3);
    EXPECT_GE(answer.took, milliseconds(1'900));
    EXPECT_THAT(answer.bytes, Not(HasSubstr(" 429 ")));
    w.ask({get + get}, milliseconds(10), milliseconds(100));  // leaves while it waits
    w.expect_at_rest();
}

TEST(RouteActions, ALimitAlsoHoldsForWhatIsAnsweredHere) {
    Route route{.redirect = routing::Redirect{.path = "/x"}};
    route.rate_limit = RateLimitConfig{.calls = 1, .per = seconds(10)};
    ActionWorld w(route);
    EXPECT_THAT(w.said("GET / HTTP/1.1\r\nHost: api\r\n\r\n"), StartsWith("HTTP/1.1 302"));
    EXPECT_THAT(
        w.said("POST / HTTP/1.1\r\nHost: api\r\nContent-Length: 1\r\n\r\nx"),
        StartsWith("HTTP/1.1 429")
    );
}

Route with_cors() {
    Route route{.methods = {"PUT", "GET"}};
    route.cors =
        routing::CorsPolicy{.allow_origins = {"https://a.example"}, .allow_methods = {"PUT"}};
    return route;
}

TEST(RouteActions, ABrowsersQuestionIsAnsweredHere) {
    ActionWorld w(with_cors());
    const std::string answer = w.said(
        "OPTIONS /x HTTP/1.1\r\nHost: api\r\nOrigin: "
        "https://a.example\r\nAccess-Control-Request-Method: PUT\r\n\r\n"
    );
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 204 "));
    EXPECT_THAT(answer, HasSubstr("\r\naccess-control-allow-origin: https://a.example\r\n"));
    EXPECT_THAT(answer, HasSubstr("\r\naccess-control-allow-methods: GET, HEAD, POST, PUT\r\n"));
    EXPECT_THAT(answer, HasSubstr("\r\nx-mesh-reason: cors_preflight\r\n"));
    const std::string refused = w.said(
        "OPTIONS /x HTTP/1.1\r\nHost: api\r\nOrigin: "
        "https://b.example\r\nAccess-Control-Request-Method: PUT\r\n\r\n"
    );
    EXPECT_THAT(refused, StartsWith("HTTP/1.1 403 "));
    EXPECT_THAT(refused, Not(HasSubstr("access-control-")));
    EXPECT_THAT(refused, HasSubstr("\r\nx-mesh-reason: cors_refused\r\n"));
    EXPECT_EQ(w.a.heads, 0);
    // Any other OPTIONS is a request as others: none of the route's methods.
    EXPECT_THAT(w.said("OPTIONS /x HTTP/1.1\r\nHost: api\r\n\r\n"), StartsWith("HTTP/1.1 405"));
}

TEST(RouteActions, AnswersSayWhoMayReadThemAlsoThoseOfOurs) {
    ActionWorld w(with_cors());
    w.a.script = [](int n) {
        if (n > 0) return Script{.then = Then::close};
        return Script{
            .bytes =
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nAccess-Control-Allow-Origin: *\r\n\r\n"
        };
    };
    const std::string put = "PUT / HTTP/1.1\r\nHost: api\r\nContent-Length: 0\r\nOrigin: https://";
    const std::string ok = w.said(put + "a.example\r\n\r\n");
    EXPECT_THAT(ok, HasSubstr("\r\naccess-control-allow-origin: https://a.example\r\n"));
    EXPECT_THAT(ok, Not(HasSubstr("Allow-Origin: *")));
    const std::string failed = w.said(put + "a.example\r\n\r\n");
    EXPECT_THAT(failed, StartsWith("HTTP/1.1 502"));
    EXPECT_THAT(failed, HasSubstr("\r\naccess-control-allow-origin: https://a.example\r\n"));
    const std::string other = w.said(put + "b.example\r\n\r\n");
    EXPECT_THAT(other, Not(HasSubstr("access-control-")));
    EXPECT_THAT(other, HasSubstr("\r\nvary: Origin\r\n"));
}

}  // namespace
}  // namespace datapunk::mesh::proxy
