// What goes wrong, who is told, and that nothing is left behind.

#include "proxy/raw_world_test.h"

namespace datapunk::mesh::proxy {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const std::string kPost = "POST / HTTP/1.1\r\nHost: api\r\nContent-Length: ";
const std::string kChunked = "POST / HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: chunked\r\n\r\n";

TEST(ProxyFaults, AnswersThatAreNotHttpAre502WithTheirOwnReason) {
    const std::vector<std::string> garbage = {
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX: " + std::string(70'000, 'x') + "\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
    };
    for (const std::string& bytes : garbage) {
        RawWorld w;
        w.a.script = [&](int) -> Script { return {.bytes = bytes}; };
        const auto answer = w.get();
        EXPECT_THAT(answer.bytes, StartsWith("HTTP/1.1 502")) << bytes.substr(0, 60);
        EXPECT_THAT(answer.bytes, HasSubstr("x-mesh-reason: upstream_protocol"));
        EXPECT_EQ(w.value(metrics::names::kRequestsRejected, {"api", "upstream_protocol"}), 1);
        EXPECT_EQ(w.value(metrics::names::kRequests, {"api", "5xx"}), 1);
        w.expect_at_rest();
    }
}

TEST(ProxyFaults, ACutAnswerNeverLooksFinished) {
    const std::vector<std::string> heads = {
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    };
    for (const std::string& head : heads) {
        for (const Then then : {Then::close, Then::reset}) {
            for (const char* version : {"1.0", "1.1"}) {
                RawWorld w;
                w.a.script = [&](int) -> Script {
                    return {.bytes = head, .then = then, .pause = milliseconds(50)};
                };
                const auto answer =
                    w.ask({"GET / HTTP/" + std::string(version) + "\r\nHost: api\r\n\r\n"});
                EXPECT_TRUE(answer.reset) << head << version;
                EXPECT_FALSE(answer.closed);
                EXPECT_THAT(answer.bytes, Not(EndsWith("0\r\n\r\n")));
                EXPECT_EQ(w.value(metrics::names::kRequests, {"api", "error"}), 1);
                w.expect_at_rest();
            }
        }
    }
    RawWorld w;  // without a length only a reset can tell
    w.a.script = [&](int) -> Script {
        return {.bytes = "HTTP/1.1 200 OK\r\n\r\nhalf", .then = Then::reset, .pause = seconds(1)};
    };
    EXPECT_TRUE(w.get().reset);
    EXPECT_TRUE(w.ask({"GET / HTTP/1.0\r\nHost: api\r\n\r\n"}).reset);
}

TEST(ProxyFaults, BodiesOverTheLimitAre413HoweverTheyCome) {
    const std::string five = "5\r\nhello\r\n";
    const std::vector<std::vector<std::string>> requests = {
        {kPost + "11\r\n\r\n", "hello"},
        {kPost + "11\r\nExpect: 100-continue\r\n\r\n"},
        {kChunked + five + five + five},            // all of it is there at once
        {kChunked, five, five, five, "0\r\n\r\n"},  // streamed
    };
    for (const auto& request : requests) {
        RawWorld w(kOneAttempt, {.body_bytes_max = 10});
        w.a.script = [](int) -> Script { return {.accept_only = true}; };
        const auto answer = w.ask(request);
        EXPECT_THAT(answer.bytes, StartsWith("HTTP/1.1 413")) << request[0];
        EXPECT_THAT(answer.bytes, HasSubstr("x-mesh-reason: body_too_large"));
        EXPECT_THAT(answer.bytes, HasSubstr("more than the 10 bytes"));
        EXPECT_TRUE(answer.closed);
        EXPECT_EQ(w.value(metrics::names::kBadRequests, {"in", "body_too_large"}), 1);
        EXPECT_EQ(
            w.api.totals().outcomes[static_cast<std::size_t>(resilience::Outcome::reset)], 0U
        );
        w.expect_at_rest();
    }
    RawWorld w(kOneAttempt, {.body_bytes_max = 10});
    w.a.script = [](int) -> Script { return {.bytes = kOk}; };
    EXPECT_THAT(w.ask({kPost + "10\r\n\r\nhellohello"}).bytes, StartsWith("HTTP/1.1 200"));
    EXPECT_THAT(w.ask({kChunked + five + five + "0\r\n\r\n"}).bytes, StartsWith("HTTP/1.1 200"));
}

TEST(ProxyFaults, SlowAndMalformedBodiesAreTheCallersFault) {
    RawWorld w(kOneAttempt, {.body_timeout = seconds(1)});
    w.a.script = [](int) -> Script { return {.accept_only = true}; };
    for (const std::string& head : {kPost + "100\r\n\r\nhalf", kChunked + "4\r\nhalf\r\n"}) {
        const auto slow = w.ask({head});
        EXPECT_THAT(slow.bytes, StartsWith("HTTP/1.1 408")) << head;
        EXPECT_THAT(slow.bytes, HasSubstr("too slowly"));
        EXPECT_THAT(slow.bytes, HasSubstr("x-mesh-reason: request_timeout"));
    }
    for (const auto& request :
         std::vector<std::vector<std::string>>{{kChunked + "zz\r\n"}, {kChunked, "zz\r\n"}}) {
        const auto bad = w.ask(request);
        EXPECT_THAT(bad.bytes, StartsWith("HTTP/1.1 400"));
        EXPECT_THAT(bad.bytes, HasSubstr("x-mesh-reason: malformed_request"));
        EXPECT_TRUE(bad.closed);
    }
    EXPECT_EQ(w.value(metrics::names::kBadRequests, {"in", "request_timeout"}), 2);
    EXPECT_EQ(w.value(metrics::names::kBadRequests, {"in", "malformed_request"}), 2);
    w.expect_at_rest();
}

TEST(ProxyFaults, ABodyThatDripsIsBoundedByTheCallsDeadline) {
    ServicePolicy policy = kOneAttempt;
    policy.deadline = seconds(3);
    RawWorld w(policy, {.body_timeout = seconds(2)});
    std::vector<std::string> drops(30, "x");
    drops.insert(drops.begin(), kPost + "30\r\n\r\n");
    const auto answer = w.ask(drops, seconds(1), seconds(5));
    EXPECT_THAT(answer.bytes, StartsWith("HTTP/1.1 408"));
    EXPECT_EQ(w.a.heads, 0);
}

TEST(ProxyFaults, EarlyAnswersArePassedOnWhileTheBodyStillFlows) {
    RawWorld w;
    w.a.script = [](int) -> Script {
        return {
            .bytes = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno", .then = Then::close
        };
    };
    std::vector<std::string> pieces(50, "3e8\r\n" + std::string(1000, 'x') + "\r\n");
    pieces.insert(pieces.begin(), kChunked);
    const auto answer = w.ask(pieces);
    EXPECT_THAT(answer.bytes, StartsWith("HTTP/1.1 401"));
    EXPECT_THAT(answer.bytes, HasSubstr("connection: close"));
    EXPECT_THAT(answer.bytes, EndsWith("no"));
    w.expect_at_rest();
}

TEST(ProxyFaults, SlowSidesAreCutByTheBodyTimeout) {
    RawWorld w(kOneAttempt, {.body_timeout = seconds(2)});
    w.a.script = [](int) -> Script {
        return {
            .bytes = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha",
            .pause = seconds(9),
            .more = "lf"
        };
    };
    const auto upstream = w.ask({"GET / HTTP/1.1\r\nHost: api\r\n\r\n"}, {}, seconds(20));
    EXPECT_TRUE(upstream.reset);
    EXPECT_LT(upstream.took, seconds(3));
    w.a.script = [](int) -> Script {
        return {
            .bytes = "HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n" + std::string(900'000, 'x')
        };
    };
    const auto lazy = [](RawWorld& world) -> io::Task<void> {  // asks and does not read
        auto stream =
            co_await world.world.host("10.0.0.1").connect(*io::parse_ip("10.0.0.2", 9000), kNever);
        const io::Slices slices(std::string_view("GET / HTTP/1.1\r\nHost: api\r\n\r\n"));
        auto sent = co_await (*stream)->write(slices, kNever);
        co_await io::sleep_for(world.world.loop(), seconds(10));
    };
    io::TaskGroup group;
    group.spawn(lazy(w));
    w.world.loop().run_for(seconds(5));
    EXPECT_EQ(w.proxy.connections(), 0U) << "a caller that does not read holds nothing for long";
    EXPECT_EQ(w.api.totals().in_flight, 0U);
}

TEST(ProxyFaults, ARaceWithAClosingIdleConnectionIsNoFailure) {
    for (const bool is_post : {false, true}) {
        RawWorld w;
        w.a.script = [](int n) -> Script {
            if (n == 1) return {.then = Then::close};  // has closed before it read the request
            return {.bytes = kOk};
        };
        EXPECT_THAT(w.get().bytes, EndsWith("ok"));
        const auto second = is_post ? w.ask({kPost + "2\r\n\r\nhi"}) : w.get();
        const auto totals = w.api.totals();
        const auto resets = totals.outcomes[static_cast<std::size_t>(resilience::Outcome::reset)];
        if (is_post) {
            EXPECT_THAT(second.bytes, HasSubstr("x-mesh-reason: upstream_reset"));
            EXPECT_EQ(w.a.heads, 2) << "it may have had its effect";
            EXPECT_EQ(resets, 1U);
        } else {
            EXPECT_THAT(second.bytes, EndsWith("ok"));
            EXPECT_EQ(w.a.connections, 2);
            EXPECT_EQ(totals.attempts, 2U);
            EXPECT_EQ(resets, 0U);
        }
        w.expect_at_rest();
    }
}

TEST(ProxyFaults, AnAttemptHasItsOwnTimeout) {
    ServicePolicy policy = kOneAttempt;
    policy.retry.attempts = 2;
    policy.retry.attempt_timeout = milliseconds(300);
    RawWorld w(policy);
    w.a.script = [](int n) -> Script {
        return {.bytes = kOk, .delay = n == 0 ? Duration(seconds(10)) : Duration::zero()};
    };
    const auto answer = w.get();
    EXPECT_THAT(answer.bytes, EndsWith("ok"));
    EXPECT_GE(answer.took, milliseconds(300));
    EXPECT_LT(answer.took, milliseconds(900));
}

TEST(ProxyFaults, ALargeBodyIsTriedAgainOnlyWhileNothingOfItWasSent) {
    ServicePolicy policy = kOneAttempt;
    policy.retry.attempts = 3;
    const std::string request =
        "PUT / HTTP/1.1\r\nHost: api\r\nContent-Length: 100000\r\n\r\n" + std::string(100'000, 'x');
    {
        RawWorld w(policy);
        w.a.script = [](int) -> Script { return {.then = Then::reset}; };
        EXPECT_THAT(w.ask({request}).bytes, HasSubstr("x-mesh-reason: upstream_reset"));
        EXPECT_EQ(w.api.totals().attempts, 1U);
        w.expect_at_rest();
    }
    RawWorld w(policy);
    w.world.set_plan("10.0.0.2", "10.0.0.11", {.refuse = 1});
    EXPECT_THAT(w.ask({request}).bytes, HasSubstr("x-mesh-reason: connect_failure"));
    EXPECT_EQ(w.api.totals().attempts, 3U);
    w.expect_at_rest();
}

TEST(ProxyFaults, CallersThatLeaveEndTheWorkAtEveryStage) {
    const std::string get = "GET / HTTP/1.1\r\nHost: api\r\n\r\n";
    struct Stage {
        const char* name;
        std::vector<std::string> request;
        Script script;
        bool blackhole = false;
    };
    const std::vector<Stage> stages = {
        {"inside the head", {"GET / HT"}, {}},
        {"inside a small body", {kPost + "100\r\n\r\nhalf"}, {}},
        {"inside a streamed body", {kChunked, "4\r\nhalf\r\n"}, {}},
        {"while connecting", {get}, {}, true},
        {"while connecting, with a streamed body", {kChunked}, {}, true},
        {"while an answer is awaited", {get}, {.accept_only = true}},
        {"the same after a body that filled the buffer",
         {"PUT / HTTP/1.1\r\nHost: api\r\nContent-Length: 65536\r\n\r\n", std::string(65'536, 'x')},
         {.accept_only = true}},
        {"the same after a streamed body",
         {kChunked, "4\r\nhalf\r\n", "0\r\n\r\n"},
         {.accept_only = true}},
        {"while the body is awaited",
         {get},
         {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"}},
    };
    for (const Stage& stage : stages) {
        SCOPED_TRACE(stage.name);
        RawWorld w;
        if (stage.blackhole) w.world.set_plan("10.0.0.2", "10.0.0.11", {.blackhole = 1});
        w.a.script = [&](int) { return stage.script; };
        (void)w.ask(stage.request, milliseconds(10), milliseconds(200));
        w.world.loop().run_for(milliseconds(100));
        EXPECT_EQ(w.api.totals().in_flight, 0U);
        EXPECT_EQ(w.proxy.connections(), 0U);
        EXPECT_EQ(w.proxy.pool().counters().open, 0U);
        w.expect_at_rest();
    }
}

TEST(ProxyFaults, TheConnectionLimitOfAServiceIsKept) {
    ServicePolicy policy = kOneAttempt;
    policy.limits.connections = 2;
    RawWorld w(policy);
    w.a.script = [](int) -> Script { return {.bytes = kOk, .delay = seconds(1)}; };
    io::TaskGroup group;
    std::vector<RawAnswer> answers(3);
    const auto ask = [](RawWorld& world, RawAnswer& out) -> io::Task<void> {
        std::vector<std::string> request = {"GET / HTTP/1.1\r\nHost: api\r\n\r\n"};
        auto answer = co_await world.exchange(std::move(request), milliseconds(1), seconds(3));
        out = std::move(answer);
    };
    for (auto& answer : answers) group.spawn(ask(w, answer));
    w.world.loop().run_for(seconds(6));
    int limited = 0;
    for (const auto& answer : answers) {
        if (answer.bytes.find("x-mesh-reason: limit") != std::string::npos) ++limited;
    }
    EXPECT_EQ(limited, 1);
    EXPECT_EQ(w.a.connections, 2);
    w.expect_at_rest();
}

// Three calls at once, one place, one waits: the third is refused at once.
TEST(ProxyFaults, CallsWaitForAPlaceInTheirOrderAndAreRefusedWhenTheQueueIsFull) {
    ServicePolicy policy = kOneAttempt;
    policy.limits.requests = 1;
    policy.limits.pending = 1;
    policy.limits.pending_timeout = seconds(5);
    RawWorld w(policy);
    w.a.script = [](int) -> Script {
        return {
            .bytes = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
            .delay = seconds(1)
        };
    };
    io::TaskGroup group;
    std::vector<RawAnswer> answers(3);
    const auto ask = [](RawWorld& world, RawAnswer& out) -> io::Task<void> {
        std::vector<std::string> request = {"GET / HTTP/1.1\r\nHost: api\r\n\r\n"};
        auto answer = co_await world.exchange(std::move(request), milliseconds(1), seconds(4));
        out = std::move(answer);
    };
    for (auto& answer : answers) group.spawn(ask(w, answer));
    w.world.loop().run_for(seconds(8));
    int answered = 0;
    int limited = 0;
    for (const auto& answer : answers) {
        if (answer.bytes.starts_with("HTTP/1.1 200")) ++answered;
        if (answer.bytes.find("x-mesh-reason: limit") != std::string::npos) ++limited;
    }
    EXPECT_EQ(answered, 2);
    EXPECT_EQ(limited, 1);
    w.expect_at_rest();
}

TEST(ProxyFaults, WaitingForAPlaceEndsInTimeAndWithItsCaller) {
    ServicePolicy policy = kOneAttempt;
    policy.limits.requests = 1;
    policy.limits.pending = 10;
    policy.limits.pending_timeout = milliseconds(200);
    RawWorld w(policy);
    w.a.script = [](int) -> Script { return {.bytes = kOk, .delay = seconds(2)}; };
    io::TaskGroup group;
    std::vector<RawAnswer> answers(3);
    const auto ask = [](RawWorld& world, RawAnswer& out, Duration patience) -> io::Task<void> {
        std::vector<std::string> request = {"GET / HTTP/1.1\r\nHost: api\r\n\r\n"};
        auto answer = co_await world.exchange(std::move(request), milliseconds(1), patience);
        out = std::move(answer);
    };
    group.spawn(ask(w, answers[0], seconds(4)));
    w.world.loop().run_for(milliseconds(50));
    group.spawn(ask(w, answers[1], seconds(4)));
    group.spawn(ask(w, answers[2], milliseconds(50)));  // leaves before its time is over
    w.world.loop().run_for(milliseconds(100));
    EXPECT_EQ(w.api.admission().waiting(), 1U);
    w.world.loop().run_for(seconds(6));
    EXPECT_NE(answers[0].bytes.find("HTTP/1.1 200"), std::string::npos);
    EXPECT_NE(answers[1].bytes.find("x-mesh-reason: pending_timeout"), std::string::npos);
    EXPECT_EQ(w.a.connections, 1);
    w.expect_at_rest();
}

TEST(ProxyFaults, ARequestsHeaderSaysItsClassAndTheLowerIsShedFirst) {
    ServicePolicy policy = kOneAttempt;
    policy.limits.requests = 2;
    policy.limits.priority = {.enabled = true, .header = "X-Priority"};
    RawWorld w(policy);
    w.a.script = [](int) -> Script { return {.bytes = kOk, .delay = seconds(2)}; };
    io::TaskGroup group;
    std::vector<RawAnswer> answers(4);
    const auto ask = [](RawWorld& world, RawAnswer& out, std::string priority) -> io::Task<void> {
        std::vector<std::string> request = {
            "GET / HTTP/1.1\r\nHost: api\r\nx-priority: " + priority + "\r\n\r\n"
        };
        auto answer = co_await world.exchange(std::move(request), milliseconds(1), seconds(4));
        out = std::move(answer);
    };
    const std::vector<std::string> classes = {"bulk", "bulk", "no such class", "critical"};
    for (std::size_t i = 0; i < classes.size(); ++i) {
        group.spawn(ask(w, answers[i], classes[i]));
        w.world.loop().run_for(milliseconds(50));
    }
    w.world.loop().run_for(seconds(6));
    const auto is = [&](std::size_t i, std::string_view text) {
        return answers[i].bytes.find(text) != std::string::npos;
    };
    EXPECT_TRUE(is(0, "HTTP/1.1 200"));
    EXPECT_TRUE(is(1, "x-mesh-reason: shed"));
    EXPECT_TRUE(is(2, "x-mesh-reason: shed")) << "normal: nine tenths of two is one";
    EXPECT_TRUE(is(3, "HTTP/1.1 200"));
    w.expect_at_rest();
}

TEST(ProxyFaults, ListenersRefuseConnectionsOverTheirLimit) {
    RawWorld w(kOneAttempt, {.connections_max = 1});
    w.a.script = [](int) -> Script { return {.bytes = kOk, .delay = seconds(1)}; };
    io::TaskGroup group;
    std::vector<RawAnswer> answers(2);
    const auto ask = [](RawWorld& world, RawAnswer& out) -> io::Task<void> {
        std::vector<std::string> request = {"GET / HTTP/1.1\r\nHost: api\r\n\r\n"};
        auto answer = co_await world.exchange(std::move(request), milliseconds(1), seconds(3));
        out = std::move(answer);
    };
    for (auto& answer : answers) group.spawn(ask(w, answer));
    w.world.loop().run_for(seconds(6));
    EXPECT_THAT(answers[0].bytes, EndsWith("ok"));
    EXPECT_TRUE(answers[1].reset);
    EXPECT_EQ(w.value(metrics::names::kBadRequests, {"in", "too_many_connections"}), 1);
}

TEST(ProxyFaults, DrainEndsIdleStreamingAndSilentConnections) {
    RawWorld w;
    w.a.script = [](int n) -> Script {
        if (n == 0) return {.bytes = kOk};
        if (n == 1)
            return {
                .bytes = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha",
                .pause = seconds(2),
                .more = "lf"
            };
        return {.accept_only = true};
    };
    io::TaskGroup group;
    std::vector<RawAnswer> answers(3);
    bool drained = false;
    const auto ask = [](RawWorld& world, RawAnswer& out) -> io::Task<void> {
        std::vector<std::string> request = {"GET / HTTP/1.1\r\nHost: api\r\n\r\n"};
        auto answer = co_await world.exchange(std::move(request), milliseconds(1), seconds(30));
        out = std::move(answer);
    };
    const auto drain = [](RawWorld& world, bool& done) -> io::Task<void> {
        co_await world.proxy.drain(world.world.loop().now() + seconds(5));
        done = true;
    };
    for (auto& answer : answers) {
        group.spawn(ask(w, answer));
        w.world.loop().run_for(milliseconds(300));
    }
    group.spawn(drain(w, drained));
    w.world.loop().run_for(milliseconds(100));
    EXPECT_TRUE(answers[0].closed) << "idle: at once";
    w.world.loop().run_for(seconds(3));
    EXPECT_THAT(answers[1].bytes, EndsWith("half"));
    EXPECT_TRUE(answers[1].closed) << "streaming: when it is finished";
    EXPECT_FALSE(drained);
    w.world.loop().run_for(seconds(3));
    EXPECT_TRUE(drained) << "silent: cut at the deadline";
    EXPECT_TRUE(answers[2].reset);
    EXPECT_EQ(w.proxy.pool().counters().open, 0U);
    EXPECT_EQ(w.proxy.connections(), 0U);
}

TEST(ProxyFaults, CountsEveryAnswerOnce) {
    RawWorld w;
    w.a.script = [](int n) -> Script {
        if (n < 3) return {.bytes = kOk};
        if (n < 5) return {.bytes = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"};
        return {.bytes = "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"};
    };
    for (int i = 0; i < 6; ++i) (void)w.get();
    (void)w.ask({"GET / HTTP/1.1\r\nHost: nobody\r\n\r\n"});
    (void)w.ask({"GET / HTTP/1.1\r\n\r\n"});
    (void)w.ask({"GET / HTTP/1.1\r\nHost: api\r\nX: " + std::string(70'000, 'x') + "\r\n\r\n"});
    using namespace metrics::names;
    EXPECT_EQ(w.value(kRequests, {"api", "2xx"}), 3);
    EXPECT_EQ(w.value(kRequests, {"api", "4xx"}), 2);
    EXPECT_EQ(w.value(kRequests, {"api", "5xx"}), 1);
    EXPECT_EQ(w.value(kRequests, {"-", "4xx"}), 1);
    EXPECT_EQ(w.value(kRequests), 7);
    EXPECT_EQ(w.value(kRequestDuration), 7);
    EXPECT_EQ(w.value(kRequestsRejected, {"-", "no_route"}), 1);
    EXPECT_EQ(w.value(kBadRequests, {"in", "no_host"}), 1);
    EXPECT_EQ(w.value(kBadRequests, {"in", "head_too_large"}), 1);
    EXPECT_EQ(w.value(kListenerConnections), 9);
    w.expect_at_rest();
}

}  // namespace
}  // namespace datapunk::mesh::proxy
