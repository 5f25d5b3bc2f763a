// Rates, bulkheads and throttling as callers of the proxy see them.

#include "proxy/caller_key.h"
#include "proxy/raw_world_test.h"

namespace datapunk::mesh::proxy {
namespace {

using testing::ContainsRegex;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

ServicePolicy with(const LimitsConfig& limits) {
    ServicePolicy policy{.breaker = {.enabled = false}, .outlier = {.enabled = false}};
    policy.retry.attempts = 1;
    policy.limits = limits;
    return policy;
}

TEST(ProxyLimits, ARateIsRefusedWith429AndWhenToComeAgain) {
    RawWorld w(with({.rate = {.calls = 2, .per = seconds(90), .burst = 2}}));
    w.a.script = [](int) -> Script { return {.bytes = kOk}; };
    EXPECT_THAT(w.get().bytes, EndsWith("ok"));
    EXPECT_THAT(w.get().bytes, EndsWith("ok"));
    const std::string refused = w.get().bytes;
    EXPECT_THAT(refused, StartsWith("HTTP/1.1 429 Too Many Requests\r\n"));
    EXPECT_THAT(refused, HasSubstr("x-mesh-reason: rate_limit\r\n"));
    EXPECT_THAT(refused, ContainsRegex("retry-after: (3[0-9]|4[0-5])\r\n"));
    EXPECT_THAT(refused, HasSubstr("api: more calls than its rate allows"));
    EXPECT_EQ(w.a.heads, 2);
    EXPECT_EQ(w.value(metrics::names::kRequestsRejected, {"api", "rate_limit"}), 1);
    w.world.loop().run_for(seconds(46));
    EXPECT_THAT(w.get().bytes, EndsWith("ok"));
    w.expect_at_rest();
}

TEST(ProxyLimits, ACallerThatAHeaderNamesHasItsOwnRate) {
    RawWorld w(with({.callers = {.header = "x-tenant", .rate = {.calls = 1, .per = seconds(90)}}}));
    w.a.script = [](int) -> Script { return {.bytes = kOk}; };
    EXPECT_THAT(w.get("/", "X-Tenant: a\r\n").bytes, EndsWith("ok"));
    EXPECT_THAT(w.get("/", "X-Tenant: b\r\n").bytes, EndsWith("ok"));
    EXPECT_THAT(w.get("/", "X-Tenant: a\r\n").bytes, HasSubstr("x-mesh-reason: caller_rate\r\n"));
    // Without the header it is the address that counts.
    EXPECT_THAT(w.get().bytes, EndsWith("ok"));
    EXPECT_THAT(w.get("/", "X-Tenant: \r\n").bytes, StartsWith("HTTP/1.1 429 "));
    w.expect_at_rest();
}

TEST(ProxyLimits, ABulkheadLastsAsLongAsTheAnswer) {
    RawWorld w(with({.callers = {.header = "x-tenant", .requests = 1}}));
    w.a.script = [](int) -> Script { return {.bytes = kOk, .delay = seconds(1)}; };
    std::vector<RawAnswer> answers(3);
    io::TaskGroup asking;
    const auto ask = [&](std::size_t i, const std::string& tenant) {
        const auto one = [](RawWorld* world, std::string head, RawAnswer* to) -> io::Task<void> {
            std::vector<std::string> pieces = {std::move(head)};
            auto answer = co_await world->exchange(std::move(pieces), milliseconds(1), seconds(3));
            *to = std::move(answer);
        };
        asking.spawn(
            one(&w, "GET / HTTP/1.1\r\nHost: api\r\nX-Tenant: " + tenant + "\r\n\r\n", &answers[i])
        );
    };
    ask(0, "a");
    w.world.loop().run_for(milliseconds(100));
    ask(1, "a");
    ask(2, "b");
    w.world.loop().run_for(seconds(5));
    EXPECT_THAT(answers[0].bytes, EndsWith("ok"));
    EXPECT_THAT(answers[1].bytes, HasSubstr("x-mesh-reason: caller_limit\r\n"));
    EXPECT_THAT(answers[1].bytes, StartsWith("HTTP/1.1 429 "));
    EXPECT_THAT(answers[1].bytes, Not(HasSubstr("retry-after")));
    EXPECT_THAT(answers[2].bytes, EndsWith("ok"));
    EXPECT_THAT(w.get("/", "X-Tenant: a\r\n").bytes, EndsWith("ok"));
    w.expect_at_rest();
}

TEST(ProxyLimits, AnEvenRateMakesRequestsWaitTheirTurn) {
    RawWorld w(with({.rate = {.calls = 1, .algorithm = RateAlgorithm::leaky_bucket, .burst = 2}}));
    w.a.script = [](int) -> Script { return {.bytes = kOk}; };
    std::vector<RawAnswer> answers(4);
    io::TaskGroup asking;
    for (RawAnswer& answer : answers) {
        const auto one = [](RawWorld* world, RawAnswer* to) -> io::Task<void> {
            std::vector<std::string> pieces = {
                "GET / HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\r\n"
            };
            auto got = co_await world->exchange(std::move(pieces), milliseconds(1), seconds(10));
            *to = std::move(got);
        };
        asking.spawn(one(&w, &answer));
        w.world.loop().run_for(milliseconds(10));
    }
    w.world.loop().run_for(seconds(5));
    for (int i = 0; i < 3; ++i) {
        EXPECT_THAT(answers[static_cast<std::size_t>(i)].bytes, EndsWith("ok")) << i;
        const Duration took = answers[static_cast<std::size_t>(i)].took;
        EXPECT_GE(took, milliseconds(1000 * i - 50)) << i;
        EXPECT_LE(took, milliseconds(1000 * i + 100)) << i;
    }
    EXPECT_THAT(answers[3].bytes, HasSubstr("x-mesh-reason: rate_limit\r\n"));
    w.expect_at_rest();
}

TEST(ProxyLimits, WhoLeavesWhileItWaitsForItsTurnAsksNobody) {
    const LimitsConfig limits{
        .rate =
            {.calls = 1, .per = seconds(10), .algorithm = RateAlgorithm::leaky_bucket, .burst = 5}
    };
    RawWorld w(with(limits));
    w.a.script = [](int) -> Script { return {.bytes = kOk}; };
    EXPECT_THAT(w.get().bytes, EndsWith("ok"));
    const RawAnswer left =
        w.ask({"GET / HTTP/1.1\r\nHost: api\r\n\r\n"}, milliseconds(1), milliseconds(200));
    EXPECT_EQ(left.bytes, "");
    w.world.loop().run_for(seconds(20));
    EXPECT_EQ(w.a.heads, 1);
    w.expect_at_rest();
}

TEST(ProxyLimits, AnOverloadedServiceIsSpared) {
    RawWorld w(with({.throttle = {.enabled = true, .window = seconds(60), .min_calls = 20}}));
    w.a.script = [](int) -> Script {
        return {.bytes = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"};
    };
    int spared = 0;
    for (int i = 0; i < 60; ++i) {
        const std::string answer =
            w.ask({"GET / HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\r\n"}).bytes;
        if (answer.find("x-mesh-reason: throttled\r\n") != std::string::npos) ++spared;
        w.world.loop().run_for(milliseconds(500));
    }
    EXPECT_GT(spared, 20);
    EXPECT_EQ(w.a.heads + spared, 60);
    w.expect_at_rest();
}

// --- who is who

struct Key {
    policy::CallLimits limits{{}, {.requests = 1}, 7};
    CallersConfig config{.header = "x-tenant"};
    wire::http1::RequestHead request{};
    ConnectionInfo from{};

    std::uint64_t of() const { return caller_of(limits, config, request, from); }
};

ConnectionInfo connection_from(const char* ip) {
    return {.from = *io::parse_ip(ip, 1234), .to = {}, .ip = ip};
}

TEST(CallerKey, AnIdentityOutranksTheHeaderAndTheHeaderTheAddress) {
    Key key;
    key.from = connection_from("10.0.0.1");
    const std::uint64_t by_address = key.of();
    key.request.fields.push_back({.name = "X-Tenant", .value = "a"});
    const std::uint64_t by_header = key.of();
    EXPECT_NE(by_header, by_address);
    key.from.identity = "spiffe://mesh/a";
    const std::uint64_t by_identity = key.of();
    EXPECT_NE(by_identity, by_header);
    key.request.fields[0].value = "b";
    EXPECT_EQ(key.of(), by_identity) << "it cannot be somebody else by a header";
    key.from.identity.clear();
    EXPECT_NE(key.of(), by_header);
    key.config.header.clear();
    EXPECT_EQ(key.of(), by_address) << "headers count where they are named only";
    const policy::CallLimits none({.calls = 1}, {}, 7);
    EXPECT_EQ(caller_of(none, key.config, key.request, key.from), 0U);
}

TEST(CallerKey, TrapOfIpv6TheNetworkCountsAndOfMappedIpv4TheAddress) {
    Key key;
    const auto of = [&](const char* ip) {
        key.from = connection_from(ip);
        return key.of();
    };
    EXPECT_EQ(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
    EXPECT_NE(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
    EXPECT_NE(of("10.0.0.1"), of("10.0.0.2"));
    EXPECT_EQ(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    EXPECT_NE(of("::ffff:10.0.0.1"), of("::ffff:10.0.0.2"));
    const std::uint64_t key_of_it = of("::ffff:10.0.0.2");
    key.from.from.port = 9;
    EXPECT_EQ(key.of(), key_of_it) << "whatever port it comes from";
}

}  // namespace
}  // namespace datapunk::mesh::proxy
