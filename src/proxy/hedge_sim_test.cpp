// Hedging in the proxy: who answers first gives the answer, and the other one's work ends.

#include <string>
#include <utility>
#include <vector>

#include "proxy/raw_world_test.h"

namespace datapunk::mesh::proxy {
namespace {

using policy::HedgeEnd;
using resilience::Outcome;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

std::string answer_of(const std::string& status, const std::string& body) {
    return "HTTP/1.1 " + status + "\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\n\r\n" + body;
}

ServicePolicy hedging() {
    ServicePolicy policy = kOneAttempt;
    policy.balance = RoundRobin{};
    policy.hedge = {.max = 0.5, .delay = milliseconds(50)};
    return policy;
}

// Two endpoints; what each of a call's attempts meets is told by its number, whoever is asked.
struct HedgeWorld : RawWorld {
    explicit HedgeWorld(ServicePolicy policy = hedging()) : RawWorld(std::move(policy)) {
        a.script = b.script = [this](int) { return next(); };
        api.update(
            {.service = "api", .endpoints = {a.endpoint(), b.endpoint()}, .index = 2},
            world.loop().now()
        );
        for (int i = 0; i < 4; ++i) EXPECT_THAT(get().bytes, EndsWith("warm"));
        before = api.totals();
    }

    Script next() {
        const std::size_t n = asked++;
        if (n < 4) return {.bytes = answer_of("200 OK", "warm")};
        return n - 4 < scripts.size() ? scripts[n - 4] : Script{.accept_only = true};
    }

    std::uint64_t hedges(HedgeEnd end) const {
        return api.totals().hedges[static_cast<std::size_t>(end)];
    }

    std::uint64_t outcomes(Outcome outcome) const {
        const auto i = static_cast<std::size_t>(outcome);
        return api.totals().outcomes[i] - before.outcomes[i];
    }

    std::uint64_t failures() {
        std::uint64_t sum = 0;
        for (const auto& seen : api.view(world.loop().now()).endpoints) sum += seen.failures;
        return sum;
    }

    RawEndpoint b{world, "10.0.0.12"};
    std::vector<Script> scripts;
    std::size_t asked = 0;
    policy::ServiceTotals before;
};

TEST(ProxyHedge, TheHedgeAnswersAndTheFirstIsCutAndNotBlamed) {
    HedgeWorld w;
    w.scripts = {{.accept_only = true}, {.bytes = answer_of("200 OK", "hedge")}};
    const RawAnswer answer = w.get();
    EXPECT_THAT(answer.bytes, EndsWith("hedge"));
    EXPECT_GE(answer.took, milliseconds(50));
    EXPECT_LT(answer.took, milliseconds(80));
    EXPECT_EQ(w.a.heads, 3);
    EXPECT_EQ(w.b.heads, 3) << "each was asked once";
    EXPECT_EQ(w.hedges(HedgeEnd::won), 1U);
    EXPECT_EQ(w.outcomes(Outcome::cancelled), 1U);
    EXPECT_EQ(w.outcomes(Outcome::success), 1U);
    EXPECT_EQ(w.failures(), 0U);
    w.expect_at_rest();
    EXPECT_EQ(w.a.ended + w.b.ended, 1) << "its connection is of no use any more";
    const auto told = w.api.decisions();
    EXPECT_THAT(told.back().text, HasSubstr("hedge of attempt 1 after 50ms: sent"));
}

TEST(ProxyHedge, TheFirstAnswersAndTheHedgeIsCut) {
    HedgeWorld w;
    w.scripts = {
        {.bytes = answer_of("200 OK", "first"), .delay = milliseconds(80)}, {.accept_only = true}
    };
    const RawAnswer answer = w.get();
    EXPECT_THAT(answer.bytes, EndsWith("first"));
    EXPECT_LT(answer.took, milliseconds(110));
    EXPECT_EQ(w.hedges(HedgeEnd::lost), 1U);
    EXPECT_EQ(w.outcomes(Outcome::cancelled), 1U);
    EXPECT_EQ(w.failures(), 0U);
    w.expect_at_rest();
}

TEST(ProxyHedge, AnAnswerInTimeNeedsNoHedge) {
    HedgeWorld w;
    w.scripts = {{.bytes = answer_of("200 OK", "first"), .delay = milliseconds(40)}};
    EXPECT_THAT(w.get().bytes, EndsWith("first"));
    EXPECT_EQ(w.asked, 5U);
    w.expect_at_rest();
}

TEST(ProxyHedge, OnlyWhatMayBeRepeatedIsHedgedAndWithItsWholeBody) {
    for (const auto& [method, hedged] : {std::pair{"POST", false}, {"PUT", true}}) {
        HedgeWorld w;
        w.scripts = {
            {.bytes = answer_of("200 OK", "first"), .delay = milliseconds(200)},
            {.bytes = answer_of("200 OK", "hedge")}
        };
        const RawAnswer answer = w.ask(
            {std::string(method) + " / HTTP/1.1\r\nHost: api\r\nContent-Length: 7\r\n\r\n",
             "payload"}
        );
        EXPECT_THAT(answer.bytes, EndsWith(hedged ? "hedge" : "first"));
        EXPECT_EQ(w.a.received.ends_with("payload") && w.b.received.ends_with("payload"), hedged);
        EXPECT_EQ(w.asked, hedged ? 6U : 5U);
        w.expect_at_rest();
    }
}

TEST(ProxyHedge, ABadAnswerDoesNotEndTheRace) {
    HedgeWorld w;
    w.scripts = {
        {.bytes = answer_of("503 Busy", ""), .delay = milliseconds(60)},
        {.bytes = answer_of("200 OK", "hedge"), .delay = milliseconds(100)}
    };
    const RawAnswer answer = w.get();
    EXPECT_THAT(answer.bytes, EndsWith("hedge"));
    EXPECT_GE(answer.took, milliseconds(150));
    EXPECT_EQ(w.outcomes(Outcome::server_error), 1U);
    EXPECT_EQ(w.failures(), 1U) << "that one is its own";
    w.expect_at_rest();
}

TEST(ProxyHedge, WhenBothFailTheWorseIsNotTheAnswer) {
    HedgeWorld w;
    w.scripts = {
        {.then = Then::reset, .delay = milliseconds(100)},
        {.bytes = answer_of("503 Busy", "busy"), .delay = milliseconds(20)},
        {.then = Then::reset}  // the first again: its idle connection might have been closing
    };
    EXPECT_THAT(w.get().bytes, AllOf(HasSubstr("503 Busy"), EndsWith("busy")));
    EXPECT_EQ(w.hedges(HedgeEnd::failed), 1U);
    EXPECT_EQ(w.failures(), 2U);
    w.expect_at_rest();
}

TEST(ProxyHedge, ThenItIsTriedAgainAsEver) {
    ServicePolicy policy = hedging();
    policy.retry.attempts = 2;
    HedgeWorld w(policy);
    w.scripts = {
        {.then = Then::reset, .delay = milliseconds(100)},
        {.then = Then::reset, .delay = milliseconds(100)},
        {.then = Then::reset},  // both on a connection of their own, since the idle ones might have
        {.then = Then::reset},  // been closing
        {.bytes = answer_of("200 OK", "again")}
    };
    EXPECT_THAT(w.get().bytes, EndsWith("again"));
    EXPECT_EQ(w.asked, 9U);
    EXPECT_EQ(w.api.totals().retries, 1U);
    w.expect_at_rest();
}

TEST(ProxyHedge, ACallerThatLeavesEndsBoth) {
    HedgeWorld w;
    w.scripts = {{.accept_only = true}, {.accept_only = true}};
    (void)w.ask({"GET / HTTP/1.1\r\nHost: api\r\n\r\n"}, milliseconds(10), milliseconds(200));
    w.expect_at_rest();
    EXPECT_EQ(w.a.ended + w.b.ended, 2);
    EXPECT_EQ(w.outcomes(Outcome::cancelled), 2U);
    EXPECT_EQ(w.failures(), 0U);
}

TEST(ProxyHedge, BothHangUntilTheDeadline) {
    ServicePolicy policy = hedging();
    policy.deadline = seconds(1);
    HedgeWorld w(policy);
    const RawAnswer answer = w.get();
    EXPECT_THAT(answer.bytes, HasSubstr("504"));
    EXPECT_GE(answer.took, seconds(1));
    EXPECT_LT(answer.took, milliseconds(1100));
    EXPECT_EQ(w.outcomes(Outcome::timeout), 2U);
    w.expect_at_rest();
}

TEST(ProxyHedge, WhatDripsAfterItsHeadHasWonAlready) {
    HedgeWorld w;
    w.scripts = {
        {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst",
         .delay = milliseconds(60),
         .pause = milliseconds(500),
         .more = "-done"},
        {.bytes = answer_of("200 OK", "hedge"), .delay = milliseconds(100)}
    };
    EXPECT_THAT(w.get().bytes, AllOf(EndsWith("first-done"), Not(HasSubstr("hedge"))));
    w.expect_at_rest();
}

// Endpoints that speak HTTP/2 (each a second proxy, with the endpoint behind it): the stream of the
// loser is reset, which ends the work for it, and its connection stays.
TEST(ProxyHedge, AStreamThatLosesIsResetAndItsConnectionStays) {
    ServicePolicy front = hedging();
    front.protocol = EndpointProtocol::http2;
    RawWorld w(front);
    RawEndpoint b(w.world, "10.0.0.12");
    struct Back {
        Back(RawWorld& w, const char* ip, const RawEndpoint& behind)
            : web(services.add(std::make_unique<policy::ServicePolicies>("web", kOneAttempt, 1))),
              routes(std::make_shared<const routing::RouteTable>(
                  *routing::RouteTable::create({{.name = "all", .service = "web"}})
              )),
              proxy(
                  w.world.host(ip),
                  ProxyShared{
                      .routes = routes,
                      .services = services,
                      .metrics = metrics,
                      .log = {},
                      .pool = {}
                  }
              ) {
            ServiceEndpoint endpoint = behind.endpoint();
            endpoint.service = "web";
            web.update(
                {.service = "web", .endpoints = {endpoint}, .index = 1}, w.world.loop().now()
            );
            EXPECT_TRUE(proxy.listen({.name = "back", .address = ip, .port = 8080}, {}));
        }

        metrics::MetricRegistry metrics;
        UpstreamServices services;
        policy::ServicePolicies& web;
        std::shared_ptr<const routing::RouteTable> routes;
        Proxy proxy;
    };
    Back back_a(w, "10.0.0.3", w.a);
    Back back_b(w, "10.0.0.4", b);
    std::size_t asked = 0;
    w.a.script = b.script = [&asked](int) -> Script {
        if (asked++ == 4) return {.accept_only = true};
        return {.bytes = answer_of("200 OK", "ok")};
    };
    w.api.update(
        {.service = "api",
         .endpoints =
             {{.id = "api-1", .service = "api", .host = "10.0.0.3", .port = 8080},
              {.id = "api-2", .service = "api", .host = "10.0.0.4", .port = 8080}},
         .index = 2},
        w.world.loop().now()
    );
    for (int i = 0; i < 4; ++i) EXPECT_THAT(w.get().bytes, EndsWith("ok"));
    const std::uint64_t connections = w.proxy.pool().counters().created;
    EXPECT_THAT(w.get().bytes, EndsWith("ok"));
    EXPECT_EQ(asked, 6U);
    w.world.loop().run_for(milliseconds(200));
    EXPECT_EQ(w.a.ended + b.ended, 1) << "the one that hung: nobody waits for it";
    EXPECT_EQ(back_a.web.totals().in_flight + back_b.web.totals().in_flight, 0U);
    EXPECT_THAT(w.get().bytes, EndsWith("ok"));
    EXPECT_THAT(w.get().bytes, EndsWith("ok"));
    EXPECT_EQ(w.proxy.pool().counters().created, connections);
    EXPECT_EQ(w.api.totals().in_flight, 0U);
}

}  // namespace
}  // namespace datapunk::mesh::proxy
