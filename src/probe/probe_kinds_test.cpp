// Every kind of probe against peers that behave and peers that do not, on the simulated network.
// http's plain cases are in probe_test.cpp; foreign servers in foreign_peers_test.cpp.

#include <gmock/gmock.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "io/test_certificates.h"
#include "probe/probe.h"
#include "probe/test_canned.h"
#include "sim/run.h"
#include "sim/sim_processes.h"
#include "sim/sim_world.h"
#include "wire/grpc/health.h"

namespace datapunk::mesh::probe {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using Kind = ProbeDefinition::Kind;

constexpr std::string_view kThere = "10.0.0.2";
constexpr std::uint16_t kPort = 80;

std::string page(int status, std::string_view fields, std::string_view body) {
    return "HTTP/1.1 " + std::to_string(status) + " X\r\n" + std::string(fields) +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

class ProbeKinds : public testing::Test {
  protected:
    static ProbeDefinition of(Kind kind) {
        ProbeDefinition definition;
        definition.kind = kind;
        definition.host = kThere;
        definition.port = kPort;
        definition.display = "it";
        definition.timeout = 3s;
        return definition;
    }

    ProbeResult run(const ProbeDefinition& definition) {
        const Instant start = world_.loop().now();
        const ProbeTools tools{world_.host("10.0.0.1"), tls_, &processes_};
        auto result =
            sim::run_on(world_.loop(), probe(tools, definition, start + definition.timeout), 1min);
        EXPECT_TRUE(result) << "a probe without an end";
        took_ = world_.loop().now() - start;
        EXPECT_LE(took_, definition.timeout + 10ms);
        return result.value_or(ProbeResult{});
    }

    // One answer, whatever is asked.
    ProbeResult against(const ProbeDefinition& definition, CannedScript script) {
        Canned canned(world_.host(std::string(kThere)), kPort, std::move(script));
        const ProbeResult result = run(definition);
        asked_ = canned.asked;
        return result;
    }

    sim::SimWorld world_{sim::seed_for_test(11)};
    TlsContexts tls_;
    sim::SimProcesses processes_{world_.loop()};
    Duration took_{};
    std::string asked_;
};

// --- http: what is expected, redirects, tokens

TEST_F(ProbeKinds, ExpectedStatusesAreTheOnlyGoodOnes) {
    ProbeDefinition definition = of(Kind::http);
    definition.expected_status = {{204, 204}, {400, 404}};
    const std::vector<std::pair<int, Health>> cases = {
        {204, Health::passing},
        {200, Health::critical},
        {399, Health::critical},
        {400, Health::passing},
        {404, Health::passing},
        {405, Health::critical},
        {429, Health::critical}
    };
    for (const auto& [status, health] : cases) {
        EXPECT_EQ(against(definition, {.answer = page(status, "", "")}).status, health) << status;
    }
}

TEST_F(ProbeKinds, TheExpectedTextMustBeInTheBodysBeginning) {
    ProbeDefinition definition = of(Kind::http);
    definition.expected_body = "ready";
    EXPECT_EQ(against(definition, {.answer = page(200, "", "not rea")}).status, Health::critical);
    EXPECT_EQ(against(definition, {.answer = page(200, "", "I'm ready.")}).status, Health::passing);
    EXPECT_EQ(against(definition, {.answer = page(500, "", "ready")}).status, Health::critical);
    const std::string late = std::string(50'000, ' ') + "ready";
    EXPECT_EQ(against(definition, {.answer = page(200, "", late)}).status, Health::passing);
    const std::string too_late = std::string(90'000, ' ') + "ready";
    const ProbeResult result = against(definition, {.answer = page(200, "", too_late)});
    EXPECT_EQ(result.status, Health::critical);
    EXPECT_THAT(result.output, HasSubstr("the expected text is not in the body"));
}

TEST_F(ProbeKinds, ABodyThatDripsDoesNotHoldTheSearchBeyondTheDeadline) {
    ProbeDefinition definition = of(Kind::http);
    definition.expected_body = "ready";
    const ProbeResult result = against(
        definition, {.answer = page(200, "", std::string(1'000, '.')), .piece = 100, .pause = 1s}
    );
    EXPECT_EQ(result.status, Health::critical);
    EXPECT_THAT(result.output, HasSubstr("deadline"));
}

TEST_F(ProbeKinds, AHeadThatDripsIsCutAtTheDeadline) {
    const ProbeResult result =
        against(of(Kind::http), {.answer = page(200, "", "ok"), .piece = 1, .pause = 500ms});
    EXPECT_EQ(result.status, Health::critical);
    EXPECT_EQ(took_ / 1ms, 3000);
}

TEST_F(ProbeKinds, AnEndlessHeadIsRefused) {
    const std::string head = "HTTP/1.1 200 OK\r\nX: " + std::string(100'000, 'x');
    EXPECT_EQ(against(of(Kind::http), {.answer = head}).status, Health::critical);
}

TEST_F(ProbeKinds, AConnectionThatBreaksOffIsCritical) {
    for (const Kind kind : {Kind::http, Kind::grpc}) {
        const ProbeResult result =
            against(of(kind), {.until = "", .answer = "HTTP/1.1 2", .ends = false, .resets = true});
        EXPECT_EQ(result.status, Health::critical);
        EXPECT_FALSE(result.output.empty());
    }
}

TEST_F(ProbeKinds, RedirectsAreFollowedIfAskedAndOnlySoFar) {
    Canned last(
        world_.host("10.0.0.3"), kPort, {.answer = page(200, "", "arrived"), .ends = false}
    );
    ProbeDefinition definition = of(Kind::http);
    const CannedScript away{.answer = page(302, "Location: http://10.0.0.3/up?a=b#c\r\n", "")};
    EXPECT_EQ(against(definition, away).status, Health::critical) << "not followed: a 302 is bad";
    definition.redirects_max = 1;
    const ProbeResult followed = against(definition, away);
    EXPECT_EQ(followed.status, Health::passing) << followed.output;
    EXPECT_THAT(followed.output, EndsWith("arrived"));
    EXPECT_THAT(last.asked, testing::StartsWith("GET /up?a=b HTTP/1.1\r\nHost: 10.0.0.3\r\n"));
    const ProbeResult circle = against(definition, {.answer = page(301, "Location: /\r\n", "")});
    EXPECT_EQ(circle.status, Health::critical);
    EXPECT_THAT(circle.output, HasSubstr("stopped after 1 redirects"));
    const ProbeResult odd =
        against(definition, {.answer = page(301, "Location: gopher://x/\r\n", "")});
    EXPECT_THAT(odd.output, HasSubstr("cannot be followed"));
    definition.expected_status = {{302, 302}};
    EXPECT_EQ(against(definition, away).status, Health::passing) << "what is expected is the end";
}

TEST_F(ProbeKinds, AnotherHostIsNotToldWhatProvesWhoWeAre) {
    Canned other(world_.host("10.0.0.3"), kPort, {.answer = page(200, "", "ok")});
    ProbeDefinition definition = of(Kind::http);
    definition.redirects_max = 3;
    definition.method = "POST";
    definition.body = "ping";
    definition.bearer_token = "secret";
    definition.headers = {{"Cookie", "c"}, {"X-A", "1"}, {"Host", "web.example"}};
    const CannedScript away{.answer = page(307, "Location: //10.0.0.3/x\r\n", "")};
    EXPECT_EQ(against(definition, away).status, Health::passing);
    EXPECT_THAT(asked_, HasSubstr("Authorization: Bearer secret\r\n"));
    EXPECT_THAT(asked_, HasSubstr("Host: web.example\r\n"));
    EXPECT_THAT(other.asked, Not(HasSubstr("secret")));
    EXPECT_THAT(other.asked, Not(HasSubstr("Cookie")));
    EXPECT_THAT(other.asked, HasSubstr("X-A: 1\r\n"));
    EXPECT_THAT(other.asked, testing::StartsWith("POST /x HTTP/1.1\r\nHost: 10.0.0.3\r\n"));
    EXPECT_THAT(other.asked, EndsWith("ping"));
    const CannedScript see_other{.answer = page(303, "Location: //10.0.0.3/x\r\n", "")};
    other.asked.clear();
    EXPECT_EQ(against(definition, see_other).status, Health::passing);
    EXPECT_THAT(other.asked, testing::StartsWith("GET /x "));
    EXPECT_THAT(other.asked, Not(HasSubstr("ping")));
}

TEST_F(ProbeKinds, AnEchoOfTheTokenIsNotShown) {
    ProbeDefinition definition = of(Kind::http);
    definition.bearer_token = "hunter2hunter2";
    const ProbeResult whole =
        against(definition, {.answer = page(401, "", "bad token hunter2hunter2!")});
    EXPECT_THAT(whole.output, HasSubstr("bad token <redacted>!"));
    const std::string prefix = "HTTP GET it: 200 X Output: ";
    const std::string body =
        std::string(kOutputBytesMax - prefix.size() - 9, '.') + "hunter2hunter2";
    const ProbeResult cut = against(definition, {.answer = page(200, "", body)});
    EXPECT_THAT(cut.output, Not(HasSubstr("hunter2")));
    EXPECT_LE(cut.output.size(), kOutputBytesMax);
}

// --- tcp

TEST_F(ProbeKinds, TcpSaysItsLineAndHearsTheAnswer) {
    ProbeDefinition definition = of(Kind::tcp);
    definition.send = "PING\r\n";
    definition.expect = "+PONG";
    const CannedScript redis{.until = "PING\r\n", .answer = "+PONG\r\n", .piece = 2, .pause = 1ms};
    EXPECT_EQ(against(definition, redis).status, Health::passing);
    EXPECT_EQ(asked_, "PING\r\n");
    const ProbeResult loading =
        against(definition, {.until = "PING\r\n", .answer = "-LOADING\r\n", .ends = true});
    EXPECT_EQ(loading.status, Health::critical);
    EXPECT_THAT(loading.output, HasSubstr("-LOADING"));
}

TEST_F(ProbeKinds, TcpHearsAGreetingWithoutSayingAnything) {
    ProbeDefinition definition = of(Kind::tcp);
    definition.expect = "220 ";
    EXPECT_EQ(
        against(definition, {.until = "", .answer = "220 mail\r\n", .ends = false}).status,
        Health::passing
    );
}

TEST_F(ProbeKinds, TcpDoesNotListenForever) {
    ProbeDefinition definition = of(Kind::tcp);
    definition.expect = "ready";
    const ProbeResult silent = against(definition, {.until = "", .answer = "", .ends = false});
    EXPECT_EQ(silent.status, Health::critical);
    EXPECT_EQ(took_ / 1ms, 3000);
    const ProbeResult chatty =
        against(definition, {.until = "", .answer = std::string(200'000, 'x'), .ends = false});
    EXPECT_THAT(chatty.output, HasSubstr("it goes on and on"));
    EXPECT_LE(chatty.output.size(), kOutputBytesMax);
    const ProbeResult drip = against(
        definition, {.until = "", .answer = std::string(100, 'x'), .piece = 1, .pause = 100ms}
    );
    EXPECT_EQ(drip.status, Health::critical);
}

// --- TLS

class ProbeTls : public ProbeKinds {
  protected:
    std::shared_ptr<const io::TlsContext> server(
        io::TestCertificateRequest request, io::TlsServerConfig config = {}
    ) {
        const auto identity = io::make_test_certificate(request, &ca_);
        config.certificate_chain = identity.certificate;
        config.private_key = identity.key;
        return *io::TlsContext::server(config);
    }

    ProbeDefinition https() const {
        ProbeDefinition definition = of(Kind::http);
        definition.tls.enabled = true;
        definition.tls.ca = ca_.certificate;
        return definition;
    }

    io::TestCertificate ca_ = io::make_test_certificate({.common_name = "ca", .is_ca = true});
    const CannedScript ok_{.answer = page(200, "", "ok")};
};

TEST_F(ProbeTls, OwnAuthorityNamesAndExpiry) {
    sim::SimNetwork& there = world_.host(std::string(kThere));
    {
        Canned good(there, kPort, ok_, server({.common_name = "web", .names = "IP:10.0.0.2"}));
        EXPECT_EQ(run(https()).status, Health::passing);
        ProbeDefinition other = https();
        other.tls.server_name = "web.example";
        EXPECT_THAT(run(other).output, HasSubstr("hostname mismatch"));
        other.tls.verify = false;
        EXPECT_EQ(run(other).status, Health::passing);
    }
    Canned old(
        there, kPort, ok_, server({.common_name = "web", .names = "IP:10.0.0.2", .ends_s = -1})
    );
    const ProbeResult expired = run(https());
    EXPECT_EQ(expired.status, Health::critical);
    EXPECT_THAT(expired.output, HasSubstr("expired"));
}

TEST_F(ProbeTls, ShowsACertificateWhereOneIsAskedFor) {
    const auto mutual =
        server({.common_name = "web", .names = "IP:10.0.0.2"}, {.client_ca = ca_.certificate});
    Canned strict(world_.host(std::string(kThere)), kPort, ok_, mutual);
    EXPECT_EQ(run(https()).status, Health::critical);
    EXPECT_EQ(strict.asked, "");
    const auto ours = io::make_test_certificate({.common_name = "prober"}, &ca_);
    ProbeDefinition definition = https();
    definition.tls.certificate = ours.certificate;
    definition.tls.private_key = ours.key;
    const ProbeResult result = run(definition);
    EXPECT_EQ(result.status, Health::passing) << result.output;
    EXPECT_EQ(strict.visitor.subject, "CN=prober");
}

TEST_F(ProbeTls, ACertificateThatCannotBeReadIsCriticalAndSaysWhy) {
    Canned good(world_.host(std::string(kThere)), kPort, ok_, server({.common_name = "w"}));
    ProbeDefinition definition = https();
    definition.tls.ca = "/nowhere/ca.pem";
    const ProbeResult result = run(definition);
    EXPECT_EQ(result.status, Health::critical);
    EXPECT_THAT(result.output, HasSubstr("/nowhere/ca.pem"));
}

TEST_F(ProbeTls, APlainServerIsNotMistakenForASecureOne) {
    const ProbeResult result = against(https(), ok_);
    EXPECT_EQ(result.status, Health::critical);
}

TEST_F(ProbeTls, TcpMayMeanTheHandshake) {
    ProbeDefinition definition = of(Kind::tcp);
    definition.tls = https().tls;
    definition.expect = "hello";
    Canned good(
        world_.host(std::string(kThere)),
        kPort,
        {.until = "", .answer = "hello"},
        server({.common_name = "web", .names = "IP:10.0.0.2"})
    );
    EXPECT_EQ(run(definition).status, Health::passing);
}

TEST_F(ProbeTls, ARenewedAuthorityCountsWithoutARestart) {
    std::string directory = testing::TempDir() + "probe-ca-XXXXXX";
    ASSERT_NE(::mkdtemp(directory.data()), nullptr);
    const std::string file = directory + "/ca.pem";
    const auto old_ca = io::make_test_certificate({.common_name = "old", .is_ca = true});
    std::ofstream(file) << old_ca.certificate;
    Canned good(
        world_.host(std::string(kThere)),
        kPort,
        ok_,
        server({.common_name = "web", .names = "IP:10.0.0.2"})
    );
    ProbeDefinition definition = https();
    definition.tls.ca = file;
    EXPECT_EQ(run(definition).status, Health::critical);
    std::ofstream(file) << ca_.certificate;
    EXPECT_EQ(run(definition).status, Health::critical) << "not read again for every probe";
    world_.loop().run_for(TlsContexts::kReload);
    EXPECT_EQ(run(definition).status, Health::passing);
    std::filesystem::remove_all(directory);
    world_.loop().run_for(TlsContexts::kReload);
    EXPECT_EQ(run(definition).status, Health::passing) << "what was read last goes on";
}

TEST(TlsContextsTest, SystemsRootsAreReadOnceForEachProtocol) {
    TlsContexts contexts;
    const Instant now{};
    const auto verified = contexts.get({}, "", now);
    ASSERT_TRUE(verified);
    EXPECT_EQ(*contexts.get({}, "", now + 24h), *verified);
    EXPECT_NE(*contexts.get({}, "h2", now), *verified);
    EXPECT_NE(*contexts.get({.verify = false}, "", now), *verified);
}

// --- gRPC

std::string h2_frame(
    std::uint8_t type, std::uint8_t flags, std::uint32_t stream, std::string body
) {
    std::string out;
    for (const int shift : {16, 8, 0}) out += static_cast<char>(body.size() >> shift & 0xff);
    out += static_cast<char>(type);
    out += static_cast<char>(flags);
    for (const int shift : {24, 16, 8, 0}) out += static_cast<char>(stream >> shift & 0xff);
    return out + body;
}

std::string h2_field(const std::string& name, const std::string& value) {
    return "\0"s + static_cast<char>(name.size()) + name + static_cast<char>(value.size()) + value;
}

// What a server says to the one call: SETTINGS, headers, a message, trailers.
std::string grpc_answer(const std::string& message, const std::string& trailers) {
    return h2_frame(4, 0, 0, "") +
           h2_frame(1, 4, 1, "\x88" + h2_field("content-type", "application/grpc")) +
           h2_frame(0, 0, 1, message) + h2_frame(1, 5, 1, trailers);
}

const std::string kServing = "\0\0\0\0\x02\x08\x01"s;
const std::string kNotServing = "\0\0\0\0\x02\x08\x02"s;
const std::string kStatusOk = h2_field("grpc-status", "0");

// The request ends with a message that is empty.
CannedScript after_request(std::string answer) {
    return {.until = std::string(5, '\0'), .answer = std::move(answer), .ends = false};
}

TEST_F(ProbeKinds, GrpcServingIsPassingAndNothingElseIs) {
    const ProbeResult serving =
        against(of(Kind::grpc), after_request(grpc_answer(kServing, kStatusOk)));
    EXPECT_EQ(serving, (ProbeResult{Health::passing, "gRPC it: SERVING"}));
    const ProbeResult not_serving =
        against(of(Kind::grpc), after_request(grpc_answer(kNotServing, kStatusOk)));
    EXPECT_EQ(not_serving, (ProbeResult{Health::critical, "gRPC it: NOT_SERVING"}));
}

TEST_F(ProbeKinds, GrpcErrorsAreNamed) {
    const std::string unknown =
        h2_field("grpc-status", "5") + h2_field("grpc-message", "no%20such");
    const std::string alone =
        h2_frame(4, 0, 0, "") +
        h2_frame(1, 5, 1, "\x88" + h2_field("content-type", "application/grpc") + unknown);
    ProbeDefinition definition = of(Kind::grpc);
    definition.grpc_service = "shop";
    const ProbeResult result = against(definition, after_request(alone));
    EXPECT_EQ(result, (ProbeResult{Health::critical, "gRPC it/shop: NOT_FOUND: no such"}));
}

TEST_F(ProbeKinds, WhatIsNotGrpcIsCriticalInTime) {
    const std::string settings = h2_frame(4, 0, 0, "");
    const std::vector<std::string> answers = {
        "",
        settings,
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        std::string(100'000, '\xff'),
        settings + h2_frame(3, 0, 1, "\0\0\0\x02"s),
        settings + h2_frame(7, 0, 0, "\0\0\0\0\0\0\0\0"s),
        settings + h2_frame(1, 5, 1, "\x88"),
        settings + h2_frame(1, 5, 1, "\x8d"),  // 404
        grpc_answer("", kStatusOk),
        grpc_answer("garbage", kStatusOk),
        grpc_answer(kServing, h2_field("x", "y")),
        grpc_answer(kServing + std::string(16'000, 'x'), kStatusOk),
    };
    for (std::size_t i = 0; i < answers.size(); ++i) {
        for (const bool ends : {true, false}) {
            CannedScript script = after_request(answers[i]);
            script.ends = ends;
            const ProbeResult result = against(of(Kind::grpc), script);
            EXPECT_EQ(result.status, Health::critical) << i;
            EXPECT_THAT(result.output, testing::StartsWith("gRPC it: ")) << i;
        }
    }
}

TEST_F(ProbeKinds, AGrpcAnswerThatDripsIsReadButNotBeyondTheDeadline) {
    CannedScript drip = after_request(grpc_answer(kServing, kStatusOk));
    drip.piece = 1;
    drip.pause = 10ms;
    EXPECT_EQ(against(of(Kind::grpc), drip).status, Health::passing);
    drip.pause = 100ms;
    EXPECT_EQ(against(of(Kind::grpc), drip).status, Health::critical);
    EXPECT_EQ(took_ / 1ms, 3000);
}

TEST_F(ProbeKinds, AFloodInsteadOfAnAnswerIsCut) {
    std::string flood = h2_frame(4, 0, 0, "");
    for (int i = 0; i < 50'000; ++i) flood += h2_frame(6, 0, 0, "12345678");
    EXPECT_EQ(against(of(Kind::grpc), after_request(flood)).status, Health::critical);
    std::string giant = h2_frame(4, 0, 0, "") +
                        h2_frame(1, 4, 1, "\x88" + h2_field("content-type", "application/grpc"));
    for (int i = 0; i < 3; ++i) giant += h2_frame(0, 0, 1, std::string(16'000, 'x'));
    giant += h2_frame(0, 0, 1, std::string(16'384, 'x')) + h2_frame(0, 0, 1, "one more");
    EXPECT_EQ(against(of(Kind::grpc), after_request(giant)).status, Health::critical);
}

TEST_F(ProbeTls, GrpcOverTlsWantsHttp2) {
    ProbeDefinition definition = of(Kind::grpc);
    definition.tls = https().tls;
    sim::SimNetwork& there = world_.host(std::string(kThere));
    const io::TestCertificateRequest web{.common_name = "web", .names = "IP:10.0.0.2"};
    {
        Canned good(
            there,
            kPort,
            after_request(grpc_answer(kServing, kStatusOk)),
            server(web, {.alpn = {"h2"}})
        );
        const ProbeResult result = run(definition);
        EXPECT_EQ(result.status, Health::passing) << result.output;
    }
    Canned mute(there, kPort, after_request(grpc_answer(kServing, kStatusOk)), server(web));
    EXPECT_THAT(run(definition).output, HasSubstr("does not speak HTTP/2"));
}

// --- exec

TEST_F(ProbeKinds, TheExitStatusOfAProgramDecides) {
    ProbeDefinition definition = of(Kind::exec);
    definition.command = {"/bin/up", "-v"};
    const std::vector<std::pair<io::ProcessResult, Health>> cases = {
        {{.exit_status = 0}, Health::passing},
        {{.exit_status = 1}, Health::warning},
        {{.exit_status = 2}, Health::critical},
        {{.exit_status = 255}, Health::critical},
        {{.signal = SIGSEGV}, Health::critical},
    };
    for (auto [result, health] : cases) {
        result.output = "said ";
        result.errors = "this";
        processes_.script("/bin/up", result);
        const ProbeResult verdict = run(definition);
        EXPECT_EQ(verdict.status, health) << result.exit_status;
        EXPECT_THAT(verdict.output, HasSubstr("said this"));
    }
    const io::ProcessSpec& spec = processes_.runs().back();
    EXPECT_THAT(spec.arguments, testing::ElementsAre("/bin/up", "-v"));
    EXPECT_FALSE(spec.inherits_environment);
    EXPECT_THAT(spec.environment, testing::ElementsAre(testing::StartsWith("PATH=/")));
}

TEST_F(ProbeKinds, AProgramThatHangsOrIsNotThereIsCritical) {
    ProbeDefinition definition = of(Kind::exec);
    definition.command = {"/bin/up"};
    EXPECT_THAT(run(definition).output, HasSubstr("No such file"));
    processes_.script("/bin/up", {.exit_status = 0, .output = "thinking"}, 1h);
    const ProbeResult hung = run(definition);
    EXPECT_EQ(hung, (ProbeResult{Health::critical, "Timed out. Output: thinking"}));
    EXPECT_EQ(took_ / 1ms, 3000);
    processes_.script("/bin/up", {.exit_status = 0, .output = std::string(10'000, 'x')});
    EXPECT_EQ(run(definition).output.size(), kOutputBytesMax);
}

TEST_F(ProbeKinds, ProgramsAreNotRunUnlessEnabled) {
    ProbeDefinition definition = of(Kind::exec);
    definition.command = {"/bin/up"};
    const ProbeTools tools{world_.host("10.0.0.1"), tls_, nullptr};
    const Instant deadline = world_.loop().now() + 3s;
    const auto result = sim::run_on(world_.loop(), probe(tools, definition, deadline));
    ASSERT_TRUE(result);
    EXPECT_EQ(result->status, Health::critical);
    EXPECT_THAT(result->output, HasSubstr("not enabled"));
}

// --- custom

TEST_F(ProbeKinds, AFunctionsResultCountsAndItsExceptionIsCritical) {
    ProbeDefinition definition = of(Kind::custom);
    definition.custom = std::make_shared<const CheckFunction>([] {
        return CheckResult{Health::warning, std::string(10'000, 'x')};
    });
    const ProbeResult result = run(definition);
    EXPECT_EQ(result.status, Health::warning);
    EXPECT_EQ(result.output.size(), kOutputBytesMax);
    definition.custom = std::make_shared<const CheckFunction>([]() -> CheckResult {
        throw std::runtime_error("no luck");
    });
    EXPECT_EQ(run(definition), (ProbeResult{Health::critical, "no luck"}));
    definition.custom = std::make_shared<const CheckFunction>([]() -> CheckResult { throw 7; });
    EXPECT_EQ(run(definition).status, Health::critical);
}

// --- udp

// Says `answer` to every datagram, or nothing if there is none.
io::Task<void> answer_datagrams(
    io::DatagramSocket* socket, std::string answer, std::vector<std::string>* heard
) {
    std::string buffer(2048, '\0');
    for (;;) {
        auto got = co_await socket->receive(buffer, kNever);
        if (!got) co_return;
        heard->push_back(buffer.substr(0, got->bytes));
        if (!answer.empty()) (void)socket->send(answer, got->from, got->to);
    }
}

class UdpProbe : public ProbeKinds {
  protected:
    ProbeResult against_listener(const ProbeDefinition& definition, const std::string& answer) {
        const std::string there(kThere);
        const auto socket = world_.host(there).open_datagram(*io::parse_ip(there, kPort), {});
        EXPECT_TRUE(socket);
        io::TaskGroup tasks;
        tasks.spawn(answer_datagrams(socket->get(), answer, &heard_));
        return run(definition);
    }

    std::vector<std::string> heard_;
};

TEST_F(UdpProbe, AnAnswerPassesAtOnceAndSilenceAtTheDeadline) {
    const ProbeDefinition definition = of(Kind::udp);
    const ProbeResult passed{Health::passing, "UDP connect it: Success"};
    EXPECT_EQ(against_listener(definition, "whatever"), passed);
    EXPECT_LT(took_, 1s);
    EXPECT_EQ(against_listener(definition, ""), passed);
    EXPECT_EQ(took_, 3s);
    EXPECT_EQ(heard_, (std::vector<std::string>{"", ""})) << "empty, as Consul's";
}

TEST_F(UdpProbe, ThatNobodyListensIsCriticalAtOnce) {
    (void)world_.host(std::string(kThere));
    const ProbeResult refused = run(of(Kind::udp));
    EXPECT_EQ(refused.status, Health::critical);
    EXPECT_THAT(refused.output, HasSubstr("UDP it: "));
    EXPECT_THAT(refused.output, HasSubstr("refused"));
    EXPECT_LT(took_, 1s);
    ProbeDefinition nameless = of(Kind::udp);
    nameless.host = "no-such-host";
    EXPECT_EQ(run(nameless).status, Health::critical);
}

TEST_F(UdpProbe, WithAnExpectedAnswerSilenceIsCritical) {
    ProbeDefinition definition = of(Kind::udp);
    definition.send = "ping?";
    definition.expect = "pong";
    EXPECT_EQ(against_listener(definition, "yes, pong!").status, Health::passing);
    EXPECT_EQ(heard_.back(), "ping?");
    for (const char* answer : {"", "gnop"}) {
        const ProbeResult result = against_listener(definition, answer);
        EXPECT_EQ(result.status, Health::critical);
        EXPECT_THAT(result.output, HasSubstr("the expected answer has not come in time"));
        EXPECT_EQ(took_, 3s);
    }
}

// --- what a check means

TEST(ProbeDefinitionTest, SaysWhatTheCheckSays) {
    ServiceConfig config{.name = "web", .id = "web-1", .host = "::1", .port = 443};
    config.check.path = "/up?x";
    config.check.headers = {{"X-A", "1"}};
    config.check.host = "web.example";
    config.check.tls.enabled = true;
    config.check.expected_status = {"200-299", "404"};
    config.check.grace = 7s;
    const ProbeDefinition http = definition_of(config);
    EXPECT_EQ(http.display, "https://[::1]:443/up?x");
    EXPECT_EQ(http.host, "::1");
    EXPECT_EQ(http.redirects_max, 10U);
    EXPECT_EQ(http.expected_status, (std::vector<std::pair<int, int>>{{200, 299}, {404, 404}}));
    EXPECT_EQ(http::find_header(http.headers, "Host"), "web.example");
    EXPECT_EQ(http.grace, 7s);
    config.check.follow_redirects = false;
    config.check.target = "[::2]:81";
    const ProbeDefinition elsewhere = definition_of(config);
    EXPECT_EQ(elsewhere.redirects_max, 0U);
    EXPECT_EQ(elsewhere.host, "::2");
    EXPECT_EQ(elsewhere.port, 81);
    EXPECT_EQ(elsewhere.display, "https://[::2]:81/up?x");
    config.check.kind = HealthCheck::Kind::exec;
    config.check.command = {"a", "b"};
    EXPECT_EQ(definition_of(config).command, config.check.command);
    config.check.kind = HealthCheck::Kind::udp;
    config.check.send = "ping?";
    const ProbeDefinition udp = definition_of(config);
    EXPECT_EQ(udp.kind, Kind::udp);
    EXPECT_EQ(udp.display, "[::2]:81");
    EXPECT_EQ(udp.send, "ping?");
}

}  // namespace
}  // namespace datapunk::mesh::probe
