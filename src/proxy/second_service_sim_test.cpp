// Mirrors and fallbacks: a route's second service, over a simulated network.

#include <algorithm>

#include "proxy/mirrors.h"
#include "proxy/raw_world_test.h"

namespace datapunk::mesh::proxy {
namespace {

using routing::Route;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

const Script kOk{.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"};
const Script kOther{.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother"};
const Script kBroken{.bytes = "HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno"};

// A route to `api` that knows a second service, `other`.
struct TwoWorld : RawWorld {
    explicit TwoWorld(Route route, ServicePolicy policy = kOneAttempt)
        : RawWorld(policy, {}, 1, {complete(std::move(route))}),
          b(world, "10.0.0.12"),
          other(services.add(std::make_unique<policy::ServicePolicies>("other", kOneAttempt, 2))) {
        other.update(
            {.service = "other", .endpoints = {b.endpoint()}, .index = 1}, world.loop().now()
        );
        a.script = [](int) { return kOk; };
        b.script = [](int) { return kOther; };
    }

    static Route complete(Route route) {
        route.name = "r";
        route.service = "api";
        return route;
    }

    double counted(const std::string& action) {
        return value(metrics::names::kRouteActions, {"r", action});
    }

    RawAnswer post(const std::string& body, const std::string& extra = {}) {
        return ask(
            {"POST /x HTTP/1.1\r\nHost: api\r\nContent-Length: " + std::to_string(body.size()) +
             "\r\n" + extra + "\r\n" + body}
        );
    }

    RawEndpoint b;
    policy::ServicePolicies& other;
};

Route mirrored(double percentage = 100) {
    Route route;
    route.mirror = routing::Mirror{.service = "other", .percentage = percentage};
    return route;
}

// A piece every five seconds, for two minutes.
io::Task<void> stream_slowly(RawWorld& w) {
    std::vector<std::string> pieces(24, "3\r\nabc\r\n");
    pieces[0] = "POST /x HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    auto answer = co_await w.exchange(std::move(pieces), seconds(5), seconds(200));
}

TEST(Mirror, GetsTheSameRequestAndItsAnswerIsThrownAway) {
    Route route = mirrored();
    route.rewrite = routing::Rewrite{.host = "inner.example", .prefix = "/v2"};
    route.request_headers.set = {{"x-team", "a"}};
    TwoWorld w(route);
    const RawAnswer answer = w.post("a body", "X-Long: " + std::string(3000, 'x') + "\r\n");
    EXPECT_THAT(answer.bytes, StartsWith("HTTP/1.1 200"));
    EXPECT_THAT(answer.bytes, testing::EndsWith("\r\n\r\nok"));
    EXPECT_THAT(w.b.head, StartsWith("POST /v2/x HTTP/1.1\r\nhost: inner.example\r\n"));
    // But for the deadline, which is the caller's.
    EXPECT_THAT(w.b.head, Not(HasSubstr("x-mesh-deadline-ms")));
    std::string same = w.a.head;
    const std::size_t at = same.find("\r\nx-mesh-deadline-ms");
    ASSERT_NE(at, std::string::npos);
    same.erase(at, same.find("\r\n", at + 2) - at);
    EXPECT_EQ(w.b.head, same);
    EXPECT_THAT(w.b.received, testing::EndsWith("\r\n\r\na body"));
    EXPECT_EQ(w.counted("mirror"), 1);
    w.expect_at_rest();
    EXPECT_EQ(w.other.totals().in_flight, 0U);
}

// Its body is copied as it flows, and sent when it is whole.
TEST(Mirror, AStreamedBodyIsCopiedBeside) {
    TwoWorld w(mirrored());
    w.a.script = [](int) -> Script { return {.bytes = kOk.bytes, .delay = milliseconds(100)}; };
    const std::string chunk = "2710\r\n" + std::string(10'000, 'q') + "\r\n";
    const std::string head = "POST /x HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: chunked\r\n\r\n";
    const RawAnswer answer = w.ask({head, chunk, chunk, "0\r\n\r\n"});
    EXPECT_THAT(answer.bytes, testing::EndsWith("\r\n\r\nok"));
    w.world.loop().run_for(seconds(1));
    EXPECT_EQ(w.b.heads, 1);
    EXPECT_THAT(w.b.received, HasSubstr("transfer-encoding: chunked"));
    EXPECT_EQ(std::count(w.b.received.begin(), w.b.received.end(), 'q'), 20'000);
    EXPECT_EQ(w.counted("mirror"), 1);
    EXPECT_EQ(w.proxy.mirrors().drafts(), 0U);
    w.expect_at_rest();
}

TEST(Mirror, WhatIsNeverWholeIsNotSent) {
    TwoWorld w(mirrored());
    w.a.script = [](int) -> Script { return {.bytes = kOk.bytes, .delay = milliseconds(100)}; };
    const RawAnswer cut =
        w.ask({"POST /x HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"});
    w.world.loop().run_for(seconds(60));
    EXPECT_EQ(w.counted("mirror_skipped"), 1);
    EXPECT_EQ(w.b.heads, 0);
    EXPECT_EQ(w.proxy.mirrors().drafts(), 0U);
    w.expect_at_rest();
}

// A stream that lasts is no reason to copy no other.
TEST(Mirror, OldDraftsMakeRoom) {
    TwoWorld w(mirrored());
    w.a.script = [](int) -> Script {
        return {.bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"};
    };
    io::TaskGroup streams;
    const auto open = [&](std::size_t count) {
        for (std::size_t i = 0; i < count; ++i) streams.spawn(stream_slowly(w));
        w.world.loop().run_for(milliseconds(100));
    };
    open(Mirrors::kDraftsMax);
    EXPECT_EQ(w.proxy.mirrors().drafts(), Mirrors::kDraftsMax);
    open(1);
    EXPECT_EQ(w.counted("mirror_dropped"), 1);
    w.world.loop().run_for(Mirrors::kDraftTime);
    open(1);
    EXPECT_EQ(w.counted("mirror_dropped"), 1);
    EXPECT_EQ(w.proxy.mirrors().drafts(), 1U) << "the others are too old";
    streams.cancel();
    w.world.loop().run_for(seconds(60));
    EXPECT_EQ(w.proxy.mirrors().drafts(), 0U);
    EXPECT_EQ(w.b.heads, 0);
}

TEST(Mirror, ConnectionsAreKeptForTheNextOne) {
    TwoWorld w(mirrored());
    for (int i = 0; i < 5; ++i) w.get();
    EXPECT_EQ(w.b.heads, 5);
    EXPECT_EQ(w.b.connections, 1);
}

TEST(Mirror, ASlowOneNeitherSlowsNorFailsTheRequest) {
    TwoWorld w(mirrored());
    w.b.script = [](int) { return Script{.accept_only = true}; };
    const RawAnswer answer = w.get("/", "Connection: close\r\n");
    EXPECT_THAT(answer.bytes, StartsWith("HTTP/1.1 200"));
    EXPECT_LT(answer.took, milliseconds(100));
    EXPECT_EQ(w.proxy.mirrors().on_their_way(), 1U);
    w.world.loop().run_for(seconds(20));  // its service's deadline
    EXPECT_EQ(w.proxy.mirrors().on_their_way(), 0U);
    EXPECT_EQ(w.other.totals().in_flight, 0U);
    w.b.script = [](int) { return Script{.bytes = "nonsense\r\n\r\n", .then = Then::reset}; };
    EXPECT_THAT(w.get().bytes, StartsWith("HTTP/1.1 200"));
}

TEST(Mirror, WithoutAnEndpointTheRequestGoesOn) {
    TwoWorld w(mirrored());
    w.other.update({.service = "other", .endpoints = {}, .index = 2}, w.world.loop().now());
    EXPECT_THAT(w.get().bytes, StartsWith("HTTP/1.1 200"));
    EXPECT_EQ(w.proxy.mirrors().on_their_way(), 0U);
}

TEST(Mirror, OnlySoManyAreOnTheirWay) {
    TwoWorld w(mirrored());
    w.b.script = [](int) { return Script{.accept_only = true}; };
    const std::string get = "GET / HTTP/1.1\r\nHost: api\r\n\r\n";
    std::string many;
    for (std::size_t i = 0; i < Mirrors::kMax + 5; ++i) many += get;
    w.ask({many});
    EXPECT_EQ(w.a.heads, static_cast<int>(Mirrors::kMax) + 5);
    EXPECT_EQ(w.proxy.mirrors().on_their_way(), Mirrors::kMax);
    EXPECT_EQ(w.counted("mirror"), Mirrors::kMax);
    EXPECT_EQ(w.counted("mirror_dropped"), 5);
}

TEST(Mirror, ABodyThatIsStreamedIsNotCopied) {
    TwoWorld w(mirrored());
    EXPECT_THAT(w.post(std::string(200'000, 'b')).bytes, StartsWith("HTTP/1.1 200"));
    EXPECT_EQ(w.b.heads, 0);
    EXPECT_EQ(w.counted("mirror_skipped"), 1);
}

TEST(Mirror, APercentageOfTheRequests) {
    TwoWorld w(mirrored(50));
    const std::string get = "GET / HTTP/1.1\r\nHost: api\r\n\r\n";
    std::string many;
    for (int i = 0; i < 100; ++i) many += get;
    w.ask({many});
    EXPECT_EQ(w.a.heads, 100);
    EXPECT_GT(w.b.heads, 25);
    EXPECT_LT(w.b.heads, 75);
}

TEST(Mirror, IsGivenUpWithTheProxy) {
    TwoWorld w(mirrored());
    w.b.script = [](int) { return Script{.accept_only = true}; };
    w.get();
    EXPECT_EQ(w.proxy.mirrors().on_their_way(), 1U);
}

Route with_fallback(routing::Fallback fallback) {
    Route route;
    route.fallback = std::move(fallback);
    return route;
}

TEST(Fallback, AnotherServiceAnswersWhenTheFirstCannot) {
    TwoWorld w(with_fallback({.service = "other"}));
    w.a.script = [](int) { return Script{.then = Then::reset}; };
    const RawAnswer answer = w.post("a body");
    EXPECT_THAT(answer.bytes, StartsWith("HTTP/1.1 200"));
    EXPECT_THAT(answer.bytes, testing::EndsWith("\r\n\r\nother"));
    EXPECT_THAT(w.b.received, testing::EndsWith("\r\n\r\na body"));
    EXPECT_EQ(w.counted("fallback"), 1);
    EXPECT_EQ(w.value(metrics::names::kRequestsRejected, {"api", "upstream_reset"}), 1);
    w.expect_at_rest();
    EXPECT_EQ(w.other.totals().in_flight, 0U);
}

TEST(Fallback, IsNotAskedWhileTheFirstAnswersWhateverItSays) {
    TwoWorld w(with_fallback({.service = "other"}));
    w.a.script = [](int) { return kBroken; };
    EXPECT_THAT(w.get().bytes, StartsWith("HTTP/1.1 503 No"));
    EXPECT_EQ(w.b.heads, 0);
}

TEST(Fallback, NamedStatusesCountAsNoAnswer) {
    routing::Fallback fallback{.service = "other"};
    fallback.on_statuses = StatusSet::server_errors();
    TwoWorld w(with_fallback(fallback));
    w.a.script = [](int) { return kBroken; };
    EXPECT_THAT(w.get().bytes, testing::EndsWith("\r\n\r\nother"));
    w.a.script = [](int) {
        return Script{.bytes = "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"};
    };
    EXPECT_THAT(w.get().bytes, StartsWith("HTTP/1.1 404"));
    EXPECT_EQ(w.b.heads, 1);
    EXPECT_EQ(w.a.connections, 1) << "the answer that was thrown away was read to its end";
}

TEST(Fallback, AFixedAnswerWhenNobodyIsThere) {
    routing::Fallback fallback;
    fallback.respond =
        routing::DirectResponse{.status = 200, .body = "[]", .content_type = "application/json"};
    TwoWorld w(with_fallback(fallback));
    w.api.update({.service = "api", .endpoints = {}, .index = 2}, w.world.loop().now());
    const RawAnswer answer = w.get();
    EXPECT_THAT(answer.bytes, StartsWith("HTTP/1.1 200"));
    EXPECT_THAT(answer.bytes, HasSubstr("\r\nx-mesh-reason: fallback\r\n"));
    EXPECT_THAT(answer.bytes, HasSubstr("content-type: application/json\r\ncontent-length: 2\r\n"));
    EXPECT_THAT(answer.bytes, testing::EndsWith("\r\n\r\n[]"));
    EXPECT_FALSE(answer.closed);
}

TEST(Fallback, WhenItFailsTooTheFirstErrorIsTold) {
    TwoWorld w(with_fallback({.service = "other"}));
    w.a.script = [](int) { return Script{.bytes = "nonsense\r\n\r\n", .then = Then::close}; };
    w.b.script = [](int) { return Script{.then = Then::reset}; };
    const RawAnswer answer = w.get();
    EXPECT_THAT(answer.bytes, StartsWith("HTTP/1.1 502"));
    EXPECT_THAT(answer.bytes, HasSubstr("\r\nx-mesh-reason: upstream_protocol\r\n"));
    EXPECT_EQ(w.b.heads, 1);
    w.expect_at_rest();
}

TEST(Fallback, AStreamedBodyCannotBeSentAgain) {
    TwoWorld w(with_fallback({.service = "other"}));
    w.a.script = [](int) { return Script{.then = Then::reset}; };
    EXPECT_THAT(w.post(std::string(200'000, 'b')).bytes, StartsWith("HTTP/1.1 502"));
    EXPECT_EQ(w.b.heads, 0);
}

TEST(Fallback, AFixedAnswerAlsoWhenTheDeadlineHasPassed) {
    routing::Fallback fallback;
    fallback.respond = routing::DirectResponse{.status = 204};
    Route route = with_fallback(fallback);
    route.timeout = milliseconds(200);
    TwoWorld w(route);
    w.a.script = [](int) { return Script{.accept_only = true}; };
    const RawAnswer answer = w.get();
    EXPECT_THAT(answer.bytes, StartsWith("HTTP/1.1 204"));
    EXPECT_GE(answer.took, milliseconds(200));
    EXPECT_LT(answer.took, milliseconds(400));
}

// A caller's own fault is no failure of the service.
TEST(Fallback, ABodyThatIsTooLargeIsRefusedAllTheSame) {
    routing::Fallback fallback;
    fallback.respond = routing::DirectResponse{};
    Route route = with_fallback(fallback);
    route.body_bytes_max = 3;
    TwoWorld w(route);
    EXPECT_THAT(w.post("1234").bytes, StartsWith("HTTP/1.1 413"));
}

}  // namespace
}  // namespace datapunk::mesh::proxy
