// Requests that switch protocols, byte by byte: what is passed on, what is believed, and how it
// ends.

#include "proxy/http2_world_test.h"
#include "proxy/websocket.h"

namespace datapunk::mesh::proxy {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

const std::string kKey = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";  // of RFC 6455 1.3
const std::string kAccept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
const std::string kAsk =
    "GET /chat HTTP/1.1\r\nHost: api\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" + kKey +
    "Sec-WebSocket-Version: 13\r\n\r\n";
const std::string kSwitched =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" + kAccept +
    "\r\n";
const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

double ended(RawWorld& w, const std::string& outcome) {
    return w.value(metrics::names::kUpgrades, {"api", "websocket", outcome});
}

TEST(ProxyUpgrade, BytesFlowBothWaysUntilBothSidesHaveEnded) {
    RawWorld w;
    w.a.script = [](int n) -> Script {
        if (n == 0) return {.bytes = kSwitched + "first"};
        return {.bytes = "last", .then = Then::close, .delay = seconds(20)};
    };
    const RawAnswer answer =
        w.ask({kAsk, std::string("\0\x81up", 4), "more\r\n\r\n"}, milliseconds(10), seconds(30));
    EXPECT_THAT(
        w.a.received, AllOf(HasSubstr("GET /chat HTTP/1.1\r\n"), HasSubstr(kKey.substr(4, 30)))
    );
    EXPECT_THAT(w.a.received, HasSubstr("upgrade: websocket\r\nconnection: upgrade\r\n"));
    EXPECT_THAT(w.a.received, EndsWith(std::string("\r\n\r\n\0\x81upmore\r\n\r\n", 16)));
    EXPECT_THAT(answer.bytes, StartsWith("HTTP/1.1 101 Switching Protocols\r\n"));
    EXPECT_THAT(answer.bytes, HasSubstr("upgrade: websocket\r\nconnection: upgrade\r\n"));
    EXPECT_THAT(answer.bytes, HasSubstr("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    EXPECT_THAT(answer.bytes, EndsWith("\r\n\r\nfirstlast"));
    EXPECT_TRUE(answer.closed);
    EXPECT_GE(answer.took, seconds(20)) << "longer than any deadline of a request";
    w.world.loop().run_for(seconds(2));
    EXPECT_EQ(ended(w, "finished"), 1);
    EXPECT_EQ(w.value(metrics::names::kUpgradedBytes, {"api", "up"}), 12);
    EXPECT_EQ(w.value(metrics::names::kUpgradedBytes, {"api", "down"}), 9);
    EXPECT_EQ(w.value(metrics::names::kUpgradedOpen), 0);
    EXPECT_EQ(w.value(metrics::names::kRequests, {"api", "1xx"}), 1);
    w.expect_at_rest();
}

// What was sent before the answer belongs to the new protocol if there is one, ...
TEST(ProxyUpgrade, EarlyBytesAreNotReadAsARequest) {
    RawWorld w;
    const std::string early = "GET /admin HTTP/1.1\r\nHost: other\r\n\r\n";
    w.a.script = [](int n) -> Script {
        if (n == 0) return {.bytes = kSwitched, .delay = milliseconds(50)};
        return {.bytes = "as it was", .then = Then::close};
    };
    const RawAnswer answer = w.ask({kAsk + early});
    EXPECT_THAT(w.a.received, EndsWith("\r\n\r\n" + early)) << "nothing of it was touched";
    EXPECT_THAT(answer.bytes, EndsWith("\r\n\r\nas it was"));
}

// ... and is a request like any other if there is none.
TEST(ProxyUpgrade, AfterARefusalTheConnectionSpeaksHttp) {
    RawWorld w;
    w.a.script = [](int) -> Script { return {.bytes = kOk}; };
    const RawAnswer answer =
        w.ask({kAsk + "GET /second HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\r\n"});
    EXPECT_EQ(w.a.heads, 2);
    EXPECT_THAT(w.a.head, AllOf(StartsWith("GET /second"), HasSubstr("via: 1.1 dpmesh")));
    EXPECT_THAT(answer.bytes, Not(HasSubstr("101")));
    EXPECT_TRUE(answer.closed);
    EXPECT_THAT(w.ask({kAsk + "GET /x HTTP/1.1\r\nHost: nowhere\r\n\r\n"}).bytes, HasSubstr("404"));
    EXPECT_EQ(w.value(metrics::names::kUpgrades), 0);
}

TEST(ProxyUpgrade, NothingElseIsTakenForASwitch) {
    const std::string line = "HTTP/1.1 101 Switching Protocols\r\n";
    const std::string named = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
    const std::vector<std::string> wrong = {
        line + "\r\n",
        line + named + "\r\n",
        line + named + "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOO=\r\n\r\n",
        line + named + kAccept + kAccept + "\r\n",
        line + "Upgrade: websocket\r\n" + kAccept + "\r\n",
        line + "Upgrade: h2c\r\nConnection: Upgrade\r\n" + kAccept + "\r\n",
        line + "Upgrade: websocket, h2c\r\nConnection: Upgrade\r\n" + kAccept + "\r\n",
        line + "Upgrade: h2c\r\n" + named + kAccept + "\r\n",
        line + named + kAccept + "Content-Length: 5\r\n\r\n",
        line + named + kAccept + "Transfer-Encoding: chunked\r\n\r\n",
    };
    for (const std::string& answer : wrong) {
        RawWorld w;
        w.a.script = [&](int) -> Script { return {.bytes = answer + "HTTP/1.1 200 OK\r\n\r\n"}; };
        const RawAnswer got = w.ask({kAsk});
        EXPECT_THAT(got.bytes, StartsWith("HTTP/1.1 502")) << answer;
        EXPECT_THAT(got.bytes, HasSubstr("x-mesh-reason: upstream_protocol")) << answer;
        EXPECT_EQ(w.a.ended, 1) << "its connection is not used again: " << answer;
        w.expect_at_rest();
    }
}

TEST(ProxyUpgrade, WhatMayNotSwitchIsARequestWithoutUpgrade) {
    const auto ask = [](const std::string& first, const std::string& fields) {
        return first + "Host: api\r\n" + fields + "\r\n";
    };
    const std::string get = "GET / HTTP/1.1\r\n";
    const std::string connection = "Connection: Upgrade\r\n";
    const std::vector<std::string> requests = {
        ask(get,
            "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n"),
        ask(get, "Upgrade: TLS/1.2\r\n" + connection),
        ask(get, "Upgrade: websocket\r\n" + connection),
        ask(get, "Upgrade: websocket\r\n" + connection + kKey + kKey),
        ask(get, "Upgrade: websocket\r\n" + kKey),
        ask("GET / HTTP/1.0\r\n", "Upgrade: websocket\r\n" + connection + kKey),
        ask("POST / HTTP/1.1\r\n", "Upgrade: websocket\r\n" + connection + kKey),
        ask(get, "Upgrade: websocket\r\n" + connection + kKey + "Content-Length: 2\r\n") + "hi",
        ask(get, "Upgrade: websocket\r\n" + connection + kKey + "Transfer-Encoding: chunked\r\n") +
            "0\r\n\r\n",
    };
    for (const std::string& request : requests) {
        RawWorld w;
        w.a.script = [](int) -> Script { return {.bytes = kSwitched}; };
        EXPECT_THAT(w.ask({request}).bytes, HasSubstr(" 502 ")) << request;
        EXPECT_THAT(w.a.head, AllOf(Not(HasSubstr("pgrade")), Not(HasSubstr("2-Settings"))))
            << request;
    }
}

TEST(ProxyUpgrade, OneOfSeveralIsAskedFor) {
    RawWorld w(kOneAttempt, {.upgrade = {.protocols = {"websocket", "echo"}}});
    w.a.script = [](int) -> Script {
        return {
            .bytes = "HTTP/1.1 101 Fine\r\nUpgrade: Echo\r\nConnection: Upgrade\r\n\r\nhi",
            .then = Then::close
        };
    };
    const RawAnswer answer =
        w.ask({"POST / HTTP/1.1\r\nHost: api\r\nUpgrade: h2c, ECHO\r\nUpgrade: websocket\r\n"
               "Connection: Upgrade\r\nContent-Length: 0\r\n\r\n"});
    EXPECT_THAT(w.a.head, AllOf(HasSubstr("upgrade: echo\r\n"), Not(HasSubstr("h2c"))));
    EXPECT_THAT(answer.bytes, AllOf(StartsWith("HTTP/1.1 101"), EndsWith("\r\n\r\nhi")));
}

TEST(ProxyUpgrade, AListenerThatAllowsNoneHasNone) {
    RawWorld w(kOneAttempt, {.upgrade = {.protocols = {}}});
    w.a.script = [](int) -> Script { return {.bytes = kSwitched}; };
    EXPECT_THAT(w.ask({kAsk}).bytes, StartsWith("HTTP/1.1 502"));
    EXPECT_THAT(w.a.head, Not(HasSubstr("pgrade")));
}

TEST(ProxyUpgrade, ABreakOffIsShownAsOneAndATruncatedHeadIsNoSwitch) {
    RawWorld w;
    w.a.script = [](int n) -> Script {
        if (n == 0)
            return {.bytes = kSwitched + "half", .then = Then::reset, .pause = milliseconds(50)};
        return {.bytes = kSwitched.substr(0, kSwitched.size() - 1), .then = Then::close};
    };
    const RawAnswer cut = w.ask({kAsk});
    EXPECT_TRUE(cut.reset);
    EXPECT_FALSE(cut.closed);
    EXPECT_EQ(ended(w, "upstream_reset"), 1);
    EXPECT_THAT(w.ask({kAsk}).bytes, StartsWith("HTTP/1.1 502"));
    w.expect_at_rest();
}

TEST(ProxyUpgrade, SilentAndEndlessConnectionsAreCut) {
    RawWorld w(
        kOneAttempt, {.upgrade = {.idle_timeout = seconds(20), .duration_max = seconds(50)}}
    );
    w.a.script = [](int) -> Script { return {.bytes = kSwitched}; };
    const RawAnswer idle = w.ask({kAsk, "x"}, seconds(5), seconds(60));
    EXPECT_TRUE(idle.reset);
    EXPECT_GE(idle.took, seconds(20));
    EXPECT_EQ(ended(w, "idle"), 1);
    std::vector<std::string> busy(20, "x");
    busy.insert(busy.begin(), kAsk);
    const RawAnswer endless = w.ask(busy, seconds(10), seconds(100));
    EXPECT_TRUE(endless.reset);
    EXPECT_GE(endless.took, seconds(50));
    EXPECT_LT(endless.took, seconds(55));
    EXPECT_EQ(ended(w, "duration_max"), 1);
    w.expect_at_rest();
}

TEST(ProxyUpgrade, TheDrainDeadlineCutsIt) {
    RawWorld w;
    w.a.script = [](int) -> Script { return {.bytes = kSwitched}; };
    io::TaskGroup draining;
    const auto drain = [](RawWorld& world) -> io::Task<void> {
        co_await io::sleep_for(world.world.loop(), seconds(2));
        co_await world.proxy.drain(world.world.loop().now() + seconds(5));
    };
    draining.spawn(drain(w));
    std::vector<std::string> pieces(20, "x");
    pieces.insert(pieces.begin(), kAsk);
    const RawAnswer answer = w.ask(pieces, seconds(1), seconds(30));
    EXPECT_TRUE(answer.reset);
    EXPECT_GE(answer.took, seconds(6)) << "it goes on while there is time";
    EXPECT_THAT(w.a.received, EndsWith("\r\n\r\nxxxxxx"));
    EXPECT_EQ(ended(w, "cut"), 1);
}

TEST(ProxyUpgrade, ItCountsAgainstTheLimitsWhileItLives) {
    ServicePolicy policy = kOneAttempt;
    policy.limits.requests = 1;
    policy.limits.pending = 0;
    RawWorld w(policy);
    w.a.script = [](int) -> Script { return {.bytes = kSwitched}; };
    io::TaskGroup asking;
    const auto ask = [](RawWorld& world) -> io::Task<void> {
        std::vector<std::string> pieces = {kAsk};
        auto answer = co_await world.exchange(std::move(pieces), milliseconds(1), seconds(20));
    };
    asking.spawn(ask(w));
    pass(w, seconds(1));
    EXPECT_EQ(w.value(metrics::names::kUpgradedOpen, {"api"}), 1);
    EXPECT_THAT(w.get().bytes, HasSubstr("x-mesh-reason: limit"));
}

// --- the extended CONNECT of HTTP/2 (RFC 8441)

FieldList connect(const std::string& protocol = "websocket") {
    return fields_of(
        {{":method", "CONNECT"},
         {":protocol", protocol},
         {":scheme", "http"},
         {":authority", "api"},
         {":path", "/chat"},
         {"sec-websocket-version", "13"}}
    );
}

// The answer to the key that the proxy has made.
std::string switched_for(const std::string& head) {
    const std::string name = "sec-websocket-key: ";
    const std::size_t at = head.find(name);
    EXPECT_NE(at, std::string::npos) << head;
    const std::string key = head.substr(at + name.size(), 24);
    return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           "Sec-WebSocket-Accept: " +
           websocket_accept(key) + "\r\nX-Own: 1\r\n\r\n";
}

TEST(ProxyExtendedConnect, IsAnUpgradeTowardsTheEndpoint) {
    RawWorld w;
    w.a.script = [&w](int) -> Script {
        if (w.a.head.starts_with("GET")) return {.bytes = switched_for(w.a.head) + "first"};
        return {.bytes = "last", .then = Then::close};
    };
    {
        Caller2 caller(w.world);
        pass(w, milliseconds(50));
        EXPECT_TRUE(caller.session().takes_extended_connect());
        H2Stream* const one = caller.ask(connect(), {}, false);
        pass(w, milliseconds(50));
        EXPECT_EQ(caller.answer(one).status, 200);
        EXPECT_EQ(caller.answer(one).fields.at("x-own"), "1");
        EXPECT_FALSE(caller.answer(one).fields.contains("sec-websocket-accept"));
        caller.send(one, "up\r\n\r\n", false, nullptr);
        pass(w);
        EXPECT_THAT(
            w.a.received, StartsWith("GET /chat HTTP/1.1\r\nhost: api\r\nupgrade: websocket\r\n")
        );
        EXPECT_THAT(w.a.received, EndsWith("\r\n\r\nup\r\n\r\n"));
        EXPECT_EQ(caller.answer(one).body, "firstlast");
        EXPECT_TRUE(caller.answer(one).ended);
        EXPECT_FALSE(caller.answer(one).reset);
        H2Stream* const two = caller.ask(request());  // the connection goes on
        w.a.script = [](int) -> Script { return {.bytes = kOk}; };
        pass(w);
        EXPECT_EQ(caller.answer(two).body, "ok");
        caller.send(one, "", true, nullptr);
        pass(w);
    }
    pass(w, seconds(1));
    EXPECT_EQ(ended(w, "finished"), 1);
    w.expect_at_rest();
}

TEST(ProxyExtendedConnect, WithoutASwitchThereIsNoTunnel) {
    RawWorld w;
    w.a.script = [](int n) -> Script {
        if (n == 0) return {.bytes = kOk};
        if (n == 1) return {.bytes = "HTTP/1.1 403 No\r\nContent-Length: 4\r\n\r\nnope"};
        return {.bytes = kSwitched};  // the proof for another key
    };
    Caller2 caller(w.world);
    pass(w, milliseconds(50));
    H2Stream* const ignored = caller.ask(connect(), "early", false);
    pass(w);
    EXPECT_EQ(caller.answer(ignored).status, 502) << "200 would mean that the tunnel stands";
    EXPECT_THAT(w.a.received, Not(HasSubstr("early")));
    H2Stream* const refused = caller.ask(connect(), {}, false);
    pass(w);
    EXPECT_EQ(caller.answer(refused).status, 403);
    EXPECT_EQ(caller.answer(refused).body, "nope");
    H2Stream* const wrong = caller.ask(connect(), {}, false);
    pass(w);
    EXPECT_EQ(caller.answer(wrong).status, 502);
    H2Stream* const other = caller.ask(connect("connect-udp"), {}, false);
    pass(w);
    EXPECT_EQ(caller.answer(other).status, 501);
    EXPECT_EQ(w.a.heads, 3);
}

TEST(ProxyExtendedConnect, BreakOffsAreShownBothWays) {
    RawWorld w;
    w.a.script = [&w](int n) -> Script {
        const Then then = n == 0 ? Then::reset : Then::keep;
        return {.bytes = switched_for(w.a.head) + "half", .then = then, .pause = milliseconds(50)};
    };
    Caller2 caller(w.world);
    pass(w, milliseconds(50));
    H2Stream* const one = caller.ask(connect(), {}, false);
    pass(w);
    EXPECT_EQ(caller.answer(one).body, "half");
    EXPECT_TRUE(caller.answer(one).reset);
    EXPECT_EQ(ended(w, "upstream_reset"), 1);
    H2Stream* const two = caller.ask(connect(), {}, false);
    pass(w);
    caller.cancel(two);
    pass(w);
    EXPECT_EQ(ended(w, "caller_reset"), 1);
    H2Stream* const three = caller.ask(connect(), {}, false);
    pass(w);
    EXPECT_EQ(caller.answer(three).status, 200);
    caller.close();
    pass(w, seconds(1));
    EXPECT_EQ(ended(w, "caller_reset"), 2);
    EXPECT_EQ(w.a.ended, 3);
    w.expect_at_rest();
}

TEST(ProxyExtendedConnect, MuchFlowsAtTheSlowerSidesPace) {
    RawWorld w;
    const std::string large(3'000'000, 'y');
    w.a.script = [&](int) -> Script {
        return {.bytes = switched_for(w.a.head) + large, .then = Then::close};
    };
    Caller2 caller(w.world);
    pass(w, milliseconds(50));
    H2Stream* const one = caller.ask(connect(), {}, false);
    pass(w, seconds(20));
    EXPECT_EQ(caller.answer(one).body.size(), large.size());
    EXPECT_TRUE(caller.answer(one).ended);
}

TEST(ProxyExtendedConnect, PassesThroughHttp2FromEitherProtocol) {
    Chain w;
    w.a.script = [&w](int) -> Script {
        if (w.a.head.starts_with("GET")) return {.bytes = switched_for(w.a.head) + "first"};
        return {.bytes = "last", .then = Then::close};
    };
    Caller2 caller(w.world);
    pass(w, milliseconds(50));
    H2Stream* const one = caller.ask(connect(), {}, false);
    pass(w, milliseconds(50));
    caller.send(one, "up\r\n\r\n", true, nullptr);
    pass(w, seconds(1));
    EXPECT_THAT(w.a.received, EndsWith("\r\n\r\nup\r\n\r\n"));
    EXPECT_EQ(caller.answer(one).body, "firstlast");
    EXPECT_TRUE(caller.answer(one).ended);
    EXPECT_EQ(ended(w, "finished"), 1);
    const RawAnswer answer = w.ask({kAsk, "from http/1.1\r\n\r\n"}, milliseconds(50));
    EXPECT_THAT(answer.bytes, StartsWith("HTTP/1.1 101"));
    EXPECT_THAT(answer.bytes, HasSubstr("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    EXPECT_THAT(answer.bytes, EndsWith("\r\n\r\nfirstlast"));
    EXPECT_THAT(w.a.received, EndsWith("\r\n\r\nfrom http/1.1\r\n\r\n"));
    EXPECT_EQ(w.proxy.pool().counters().created, 1U) << "streams of one connection";
}

}  // namespace
}  // namespace datapunk::mesh::proxy
