// DNS as a registry, against a scripted server in virtual time.

#include "registry/dns/dns_backend.h"

#include <gmock/gmock.h>

#include <optional>

#include "metrics/names.h"
#include "registry/dns/test_dns_server.h"
#include "sim/run.h"
#include "sim/sim_world.h"

namespace datapunk::mesh::registry::dns {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using wire::dns::DnsRcode;
using wire::dns::DnsType;

constexpr std::string_view kOurs = "10.0.0.1";
constexpr std::string_view kServer = "10.0.0.53";
constexpr std::string_view kSecond = "10.0.0.54";

io::SocketAddress at(std::string_view ip, std::uint16_t port) {
    return *io::parse_ip(ip, port);
}

class DnsBackendTest : public testing::Test {
  protected:
    DnsBackendTest() : trace_(__FILE__, __LINE__, world_.hint()) {
        config_.servers = {std::string(kServer)};
        config_.name = "_{service}._tcp.example.org";
    }

    DnsBackend& backend() {
        if (backend_ == nullptr) {
            auto made = DnsBackend::create(world_.host(kOurs), config_, {}, &metrics_);
            EXPECT_TRUE(made) << made.error().what;
            backend_ = *std::move(made);
        }
        return *backend_;
    }

    Result<Answer> wait(std::uint64_t after = 0, Duration longest = 0s, Duration patience = 20s) {
        const Instant deadline = world_.loop().now() + patience;
        auto answer =
            sim::run_on(world_.loop(), backend().wait("web", after, longest, deadline), 10min);
        if (!answer) return Error{.code = Code::timeout, .what = "the test's own"};
        return *std::move(answer);
    }

    std::vector<std::string> addresses(const Result<Answer>& answer) {
        std::vector<std::string> out;
        if (!answer) return {answer.error().what};
        for (const ServiceEndpoint& endpoint : answer->endpoints) out.push_back(endpoint.address());
        return out;
    }

    Instant now() { return world_.loop().now(); }

    double counted(const metrics::MetricFamily& family) {
        const metrics::MetricsSnapshot snapshot = metrics_.snapshot();
        const metrics::FamilySnapshot* found = snapshot.find(family);
        return found == nullptr ? -1 : found->total();
    }

    void notify(std::string bytes) {
        const io::SocketAddress to = at(kOurs, backend().notify()->local().port);
        world_.forge_datagram(at(kServer, 53), to, std::move(bytes));
        world_.loop().run_for(1ms);
    }

    sim::SimWorld world_{sim::seed_for_test(5)};
    testing::ScopedTrace trace_;
    TestDnsServer server_{world_.host(kServer), at(kServer, 53)};
    DnsConfig config_;
    metrics::MetricRegistry metrics_;
    std::unique_ptr<DnsBackend> backend_;
};

TEST_F(DnsBackendTest, SrvRecordsBecomeEndpointsWithWeights) {
    server_.add_srv("_web._tcp.example.org", 0, 10, 8080, "h1.example.org");
    server_.add_srv("_web._tcp.example.org", 0, 0, 8081, "h2.example.org");
    server_.add_a("h1.example.org", 1);
    server_.add_a("h2.example.org", 2);
    const auto answer = wait();
    ASSERT_TRUE(answer) << answer.error().what;
    ASSERT_EQ(answer->endpoints.size(), 2U);
    const ServiceEndpoint& first = answer->endpoints[0];
    EXPECT_EQ(first.id, "web-10.1.0.1-8080");
    EXPECT_EQ(first.service, "web");
    EXPECT_EQ(first.weight, 10U);
    EXPECT_EQ(first.health, Health::passing);
    EXPECT_THAT(first.metadata, IsEmpty());
    EXPECT_EQ(answer->endpoints[1].weight, 1U);
    EXPECT_GE(answer->index, 1U);
    // The addresses came along: one question was enough.
    EXPECT_EQ(server_.questions().size(), 1U);
}

TEST_F(DnsBackendTest, OnlyTheLowestPriorityThatHasMembersIsUsed) {
    server_.add_srv("_web._tcp.example.org", 5, 1, 80, "gone.example.org");
    server_.add_srv("_web._tcp.example.org", 10, 1, 80, "h1.example.org");
    server_.add_srv("_web._tcp.example.org", 10, 1, 80, "h2.example.org");
    server_.add_srv("_web._tcp.example.org", 20, 1, 80, "h3.example.org");
    for (std::uint8_t i = 1; i <= 3; ++i)
        server_.add_a("h" + std::to_string(i) + ".example.org", i);
    const auto answer = wait();
    EXPECT_THAT(addresses(answer), ElementsAre("10.1.0.1:80", "10.1.0.2:80"));
    EXPECT_EQ(answer->endpoints[0].metadata.at("dns-priority"), "10");
}

TEST_F(DnsBackendTest, TargetsWithoutAdditionalRecordsAreAskedForOneByOne) {
    server_.fills_additional = false;
    for (std::uint8_t i = 1; i <= 30; ++i) {
        const std::string host = "h" + std::to_string(i) + ".example.org";
        server_.add_srv("_web._tcp.example.org", 0, 1, 80, host);
        server_.add_a(host, i);
    }
    EXPECT_EQ(addresses(wait()).size(), 30U);
    EXPECT_EQ(server_.asked("h7.example.org", DnsType::a), 1U);
    EXPECT_EQ(server_.asked("h7.example.org", DnsType::aaaa), 0U);
}

TEST_F(DnsBackendTest, AFamilyIsAFallbackOrBothAreUsed) {
    server_.add_srv("_web._tcp.example.org", 0, 9, 80, "both.example.org");
    server_.add_srv("_web._tcp.example.org", 0, 9, 80, "six.example.org");
    server_.add_a("both.example.org", 1);
    server_.add_aaaa("both.example.org", 1);
    server_.add_aaaa("six.example.org", 2);
    EXPECT_THAT(addresses(wait()), ElementsAre("10.1.0.1:80", "[2001:db8::2]:80"));
    backend_.reset();
    config_.family = DnsFamily::ipv6_first;
    EXPECT_THAT(addresses(wait()), ElementsAre("[2001:db8::1]:80", "[2001:db8::2]:80"));
    backend_.reset();
    config_.family = DnsFamily::both;
    const auto answer = wait();
    EXPECT_THAT(
        addresses(answer), ElementsAre("10.1.0.1:80", "[2001:db8::1]:80", "[2001:db8::2]:80")
    );
    // Two addresses of one target share its weight.
    EXPECT_EQ(answer->endpoints[0].weight, 4U);
    EXPECT_EQ(answer->endpoints[2].weight, 9U);
}

TEST_F(DnsBackendTest, AddressRecordsTakeTheConfiguredPortAndFollowAliases) {
    config_.records = DnsRecords::address;
    config_.name = "{service}.example.org";
    config_.port = 9000;
    server_.add_name("web.example.org", DnsType::cname, "real.example.org");
    server_.add_a("real.example.org", 1);
    server_.add_a("real.example.org", 2);
    const auto answer = wait();
    EXPECT_THAT(addresses(answer), ElementsAre("10.1.0.1:9000", "10.1.0.2:9000"));
    EXPECT_EQ(answer->endpoints[0].weight, 1U);
}

TEST_F(DnsBackendTest, InstancesAreBrowsedWithTheirTexts) {
    config_.records = DnsRecords::dns_sd;
    server_.fills_additional = false;
    server_.add_name("_web._tcp.example.org", DnsType::ptr, R"(Web\032One._web._tcp.example.org)");
    server_.add_name("_web._tcp.example.org", DnsType::ptr, "two._web._tcp.example.org");
    server_.add_name("_web._tcp.example.org", DnsType::ptr, "gone._web._tcp.example.org");
    server_.add_srv(R"(Web\032One._web._tcp.example.org)", 0, 3, 8080, "h1.example.org");
    server_.add_txt(
        R"(Web\032One._web._tcp.example.org)",
        {"zone=eu-1", "Zone=ignored", "flag", "tags=v1,a\\,b", "=bad", "no space=x", "bin=\x01"}
    );
    server_.add_srv("two._web._tcp.example.org", 0, 1, 8081, "h1.example.org");
    server_.add_a("h1.example.org", 1);
    const auto answer = wait();
    EXPECT_THAT(addresses(answer), ElementsAre("10.1.0.1:8080", "10.1.0.1:8081"));
    const ServiceEndpoint& one = answer->endpoints[0];
    EXPECT_EQ(one.id, "Web One");
    EXPECT_EQ(one.weight, 3U);
    EXPECT_EQ(one.metadata, (Metadata{{"flag", ""}, {"zone", "eu-1"}}));
    EXPECT_THAT(one.tags, ElementsAre("v1", "a,b"));
    EXPECT_EQ(answer->endpoints[1].id, "two");
}

TEST_F(DnsBackendTest, ServicesAreListedWhereDnsHasAList) {
    const auto listed = [&] {
        const Instant deadline = now() + 20s;
        return *sim::run_on(world_.loop(), backend().services(deadline));
    };
    const auto none = listed();
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().code, Code::invalid);
    backend_.reset();
    config_.records = DnsRecords::dns_sd;
    for (const char* type : {"_web._tcp", "_api_v2._tcp", "_printer._udp"}) {
        server_.add_name(
            "_services._dns-sd._udp.example.org", DnsType::ptr, std::string(type) + ".example.org"
        );
    }
    const auto some = listed();
    ASSERT_TRUE(some) << some.error().what;
    ASSERT_EQ(some->size(), 2U);
    EXPECT_EQ(some->at(0).name, "api_v2");
    EXPECT_EQ(some->at(1).name, "web");
}

TEST_F(DnsBackendTest, WaitsForTheTimeToLiveAndSeesTheChange) {
    server_.add_srv("_web._tcp.example.org", 0, 1, 80, "h1.example.org");
    server_.add_a("h1.example.org", 1);
    const auto first = wait();
    ASSERT_TRUE(first);
    const Instant start = now();
    server_.clear();
    server_.add_srv("_web._tcp.example.org", 0, 1, 80, "h2.example.org");
    server_.add_a("h2.example.org", 2);
    const auto second = wait(first->index, 60s, 90s);
    EXPECT_THAT(addresses(second), ElementsAre("10.1.0.2:80"));
    EXPECT_GT(second->index, first->index);
    EXPECT_GE(now() - start, 9s);  // its TTL was 10 s
    EXPECT_LE(now() - start, 11s);
    // Nothing changes: one question each TTL, and the answer when the time is up.
    const std::size_t asked = server_.questions().size();
    const auto third = wait(second->index, 35s, 90s);
    EXPECT_EQ(third->index, second->index);
    EXPECT_EQ(server_.questions().size() - asked, 3U);
}

TEST_F(DnsBackendTest, TimesToLiveAreTakenWithinBounds) {
    config_.ttl_min = 2s;
    config_.ttl_max = 30s;
    for (const auto& [ttl_s, expected] : std::vector<std::pair<std::uint32_t, Duration>>{
             {0, 2s}, {1, 2s}, {20, 20s}, {86'400, 30s}
         }) {
        SCOPED_TRACE(ttl_s);
        backend_.reset();
        server_.clear();
        server_.ttl_s = ttl_s;
        server_.add_srv("_web._tcp.example.org", 0, 1, 80, "h1.example.org");
        server_.add_a("h1.example.org", 1);
        const auto first = wait();
        ASSERT_TRUE(first) << first.error().what;
        const Instant start = now();
        const std::size_t asked = server_.questions().size();
        // The question goes out when the TTL is over, not before.
        const auto second = wait(first->index, expected - 100ms, 90s);
        EXPECT_EQ(server_.questions().size(), asked);
        server_.clear();
        const auto third = wait(first->index, 10min, 15min);
        ASSERT_TRUE(third) << third.error().what;
        EXPECT_THAT(third->endpoints, IsEmpty());
        EXPECT_GE(now() - start, expected - 100ms);
        EXPECT_LE(now() - start, expected + 100ms);
    }
}

TEST_F(DnsBackendTest, ThereIsNoneHoldsForTheSoasMinimum) {
    config_.negative_ttl_max = 30s;
    for (const auto& [minimum_s, expected] :
         std::vector<std::pair<std::uint32_t, Duration>>{{0, 2s}, {7, 7s}, {3'600, 30s}}) {
        SCOPED_TRACE(minimum_s);
        backend_.reset();
        server_.clear();
        server_.soa_minimum_s = minimum_s;
        const auto none = wait();
        ASSERT_TRUE(none) << none.error().what;
        EXPECT_THAT(none->endpoints, IsEmpty());
        const Instant start = now();
        server_.add_srv("_web._tcp.example.org", 0, 1, 80, "h1.example.org");
        server_.add_a("h1.example.org", 1);
        const auto some = wait(none->index, 5min, 10min);
        EXPECT_EQ(addresses(some).size(), 1U);
        EXPECT_GE(now() - start, expected - 100ms);
        EXPECT_LE(now() - start, expected + 100ms);
    }
}

TEST_F(DnsBackendTest, ATargetOfADotIsDecidedlyNone) {
    server_.add_srv("_web._tcp.example.org", 0, 0, 0, ".");
    const auto none = wait();
    ASSERT_TRUE(none) << none.error().what;
    EXPECT_THAT(none->endpoints, IsEmpty());
}

TEST_F(DnsBackendTest, FailuresAreErrorsAndNeverLookEmpty) {
    server_.add_srv("_web._tcp.example.org", 0, 1, 80, "h1.example.org");
    server_.add_a("h1.example.org", 1);
    ASSERT_TRUE(wait());
    for (const DnsRcode rcode :
         {DnsRcode::server_failure, DnsRcode::refused, DnsRcode::not_authorised}) {
        server_.rcode = rcode;
        const auto failed = wait();
        ASSERT_FALSE(failed);
        EXPECT_EQ(failed.error().code, Code::unavailable);
        EXPECT_EQ(failed.error().source, Source::registry);
        EXPECT_TRUE(failed.error().retryable);
        EXPECT_THAT(failed.error().what, HasSubstr(to_string(rcode)));
        EXPECT_THAT(failed.error().what, HasSubstr("10.0.0.53:53"));
    }
    server_.rcode = DnsRcode::no_error;
    server_.is_silent = true;
    const Instant start = now();
    const auto silent = wait();
    ASSERT_FALSE(silent);
    EXPECT_EQ(silent.error().code, Code::timeout);
    EXPECT_LE(now() - start, 4100ms);  // two rounds of two seconds
    server_.is_silent = false;
    EXPECT_TRUE(wait());
    // A target whose addresses cannot be had: half a service is an error too.
    server_.fills_additional = false;
    server_.add_srv("_web._tcp.example.org", 0, 1, 80, "h2.example.org");
    server_.spoil = [](wire::dns::DnsMessage& reply) {
        if (reply.questions[0].name == *wire::dns::DnsName::parse("h2.example.org")) {
            reply.rcode = DnsRcode::server_failure;
        }
    };
    EXPECT_FALSE(wait());
}

TEST_F(DnsBackendTest, AReferralIsNoAnswer) {
    server_.spoil = [](wire::dns::DnsMessage& reply) {
        reply.rcode = DnsRcode::no_error;
        reply.authority = {
            {.name = TestDnsServer::name("org"),
             .type = DnsType::ns,
             .data = wire::dns::NameData{TestDnsServer::name("a.org-servers.net")}}
        };
    };
    const auto answer = wait();
    ASSERT_FALSE(answer);
    EXPECT_THAT(answer.error().what, HasSubstr("refers"));
}

TEST_F(DnsBackendTest, TheNextServerTakesOverAndIsKept) {
    TestDnsServer second(world_.host(kSecond), at(kSecond, 53));
    config_.servers = {std::string(kServer), std::string(kSecond)};
    for (TestDnsServer* server : {&server_, &second}) {
        server->add_srv("_web._tcp.example.org", 0, 1, 80, "h1.example.org");
        server->add_a("h1.example.org", 1);
    }
    ASSERT_TRUE(wait());
    EXPECT_EQ(second.questions().size(), 0U);
    server_.is_silent = true;
    Instant start = now();
    ASSERT_TRUE(wait());
    EXPECT_GE(now() - start, 2s);
    start = now();
    ASSERT_TRUE(wait());
    EXPECT_LE(now() - start, 100ms);  // did not try the silent one again
    server_.is_silent = false;
    second.rcode = DnsRcode::server_failure;
    start = now();
    ASSERT_TRUE(wait());
    EXPECT_LE(now() - start, 100ms);
    world_.kill(kServer);
    EXPECT_FALSE(wait());
}

TEST_F(DnsBackendTest, TruncatedAnswersComeByTcp) {
    server_.truncates = true;
    for (std::uint8_t i = 1; i <= 200; ++i) {
        const std::string host = "h" + std::to_string(i) + ".example.org";
        server_.add_srv("_web._tcp.example.org", 0, 1, 80, host);
        server_.add_a(host, i);
    }
    EXPECT_EQ(addresses(wait()).size(), 200U);
    EXPECT_EQ(server_.by_tcp, 1U);
    EXPECT_EQ(backend().stats().by_tcp, 1U);
    EXPECT_EQ(counted(metrics::names::kDnsClientQuestions), backend().stats().questions);
}

TEST_F(DnsBackendTest, AServerWithoutEdnsIsAskedWithout) {
    server_.knows_edns = false;
    server_.add_srv("_web._tcp.example.org", 0, 1, 80, "h1.example.org");
    server_.add_a("h1.example.org", 1);
    EXPECT_EQ(addresses(wait()).size(), 1U);
    // One so old that it does not even repeat the question.
    server_.spoil = [](wire::dns::DnsMessage& reply) {
        if (reply.rcode == DnsRcode::format_error) reply.questions.clear();
    };
    const Instant start = now();
    EXPECT_EQ(addresses(wait()).size(), 1U);
    EXPECT_LE(now() - start, 100ms);
}

TEST_F(DnsBackendTest, LostDoubledCutAndLateMessagesOnlyCostTime) {
    server_.add_srv("_web._tcp.example.org", 0, 1, 80, "h1.example.org");
    server_.add_a("h1.example.org", 1);
    config_.rounds = 10;
    config_.attempt_timeout = 1s;
    const sim::FaultPlan bad_link{
        .latency_min = 1ms, .latency_max = 300ms, .loss = 0.3, .datagram_twice = 0.3
    };
    const sim::FaultPlan cutting_link{.latency_max = 20ms, .datagram_cut = 0.3};
    for (const sim::FaultPlan& plan : {bad_link, cutting_link}) {
        world_.set_plan(kOurs, kServer, plan);
        int answered = 0;
        for (int i = 0; i < 50; ++i) {
            const auto answer = wait(0, 0s, 60s);
            if (!answer) continue;
            ++answered;
            EXPECT_THAT(addresses(answer), ElementsAre("10.1.0.1:80"));
        }
        EXPECT_GE(answered, 45);
    }
}

TEST_F(DnsBackendTest, ForgedAnswersAreNotBelieved) {
    server_.add_srv("_web._tcp.example.org", 0, 1, 80, "h1.example.org");
    server_.add_a("h1.example.org", 1);
    // The attacker sees every question's name and even the port, but not the id or the case, and
    // sends before the real server does.
    world_.set_plan(kOurs, kServer, {.latency_min = 20ms, .latency_max = 20ms});
    const auto forge = [&](std::uint16_t id, std::string_view name, std::uint16_t port) {
        wire::dns::DnsMessage lie{.id = id, .is_response = true, .is_authoritative = true};
        lie.questions.push_back({.name = TestDnsServer::name(name), .type = DnsType::srv});
        lie.answers.push_back(
            {.name = TestDnsServer::name(name),
             .type = DnsType::srv,
             .ttl_s = 60,
             .data = wire::dns::SrvData{0, 1, 80, TestDnsServer::name("evil.example.org")}}
        );
        lie.additional.push_back(
            {.name = TestDnsServer::name("evil.example.org"),
             .type = DnsType::a,
             .ttl_s = 60,
             .data = wire::dns::AddressData{.ip = {6, 6, 6, 6}}}
        );
        world_.forge_datagram(at(kServer, 53), at(kOurs, port), *wire::dns::encode(lie));
    };
    for (int round = 0; round < 20; ++round) {
        std::optional<Result<Answer>> answer;
        io::TaskGroup tasks;
        const Instant deadline = now() + 20s;
        tasks.spawn(
            [](io::Task<Result<Answer>> task,
               std::optional<Result<Answer>>* out) -> io::Task<void> {
                auto result = co_await std::move(task);
                out->emplace(std::move(result));
            }(backend().wait("web", 0, 0s, deadline), &answer)
        );
        for (unsigned port = 32'768; port < 61'000; port += 7) {
            const auto id = static_cast<std::uint16_t>(world_.rng()());
            forge(id, "_web._tcp.example.org", static_cast<std::uint16_t>(port));
        }
        ASSERT_TRUE(world_.loop().run_until([&] { return answer.has_value(); }, now() + 30s));
        ASSERT_TRUE(*answer) << answer->error().what;
        EXPECT_THAT(addresses(*answer), ElementsAre("10.1.0.1:80"));
    }
    // Some did reach the socket, and were seen for what they are.
    EXPECT_GT(backend().stats().mismatched, 0U);
}

TEST_F(DnsBackendTest, AnAnswerInAnotherCaseIsForgedUnlessItMayBe) {
    server_.add_srv("_web._tcp.example.org", 0, 1, 80, "h1.example.org");
    server_.add_a("h1.example.org", 1);
    server_.spoil = [](wire::dns::DnsMessage& reply) {
        reply.questions[0].name = TestDnsServer::name(
            reply.questions[0].type == DnsType::srv ? "_web._tcp.example.org" : "h1.example.org"
        );
    };
    EXPECT_FALSE(wait());
    EXPECT_GT(backend().stats().mismatched, 0U);
    EXPECT_EQ(counted(metrics::names::kDnsClientMismatched), backend().stats().mismatched);
    EXPECT_EQ(counted(metrics::names::kDnsClientFailures), backend().stats().failures);
    backend_.reset();
    config_.mix_case = false;
    EXPECT_TRUE(wait());
}

TEST_F(DnsBackendTest, AThousandWatchersAskOnce) {
    server_.add_srv("_web._tcp.example.org", 0, 1, 80, "h1.example.org");
    server_.add_a("h1.example.org", 1);
    const auto first = wait();
    const std::size_t asked = server_.questions().size();
    std::vector<std::uint64_t> seen;
    io::TaskGroup tasks;
    for (int i = 0; i < 1'000; ++i) {
        const Instant deadline = now() + 90s;
        tasks.spawn(
            [](io::Task<Result<Answer>> task, std::vector<std::uint64_t>* out) -> io::Task<void> {
                auto result = co_await std::move(task);
                if (result) out->push_back(result->index);
            }(backend().wait("web", first->index, 60s, deadline), &seen)
        );
    }
    server_.add_srv("_web._tcp.example.org", 0, 1, 81, "h1.example.org");
    world_.loop().run_for(12s);
    EXPECT_EQ(seen.size(), 1'000U);
    EXPECT_EQ(server_.questions().size() - asked, 1U);
}

TEST_F(DnsBackendTest, AGivenUpQuestionIsTakenOverByWhoStillWaits) {
    server_.is_silent = true;
    server_.add_srv("_web._tcp.example.org", 0, 1, 80, "h1.example.org");
    server_.add_a("h1.example.org", 1);
    std::optional<Result<Answer>> answer;
    io::TaskGroup first;
    io::TaskGroup second;
    const Instant deadline = now() + 20s;
    const auto keep = [](io::Task<Result<Answer>> task,
                         std::optional<Result<Answer>>* out) -> io::Task<void> {
        auto result = co_await std::move(task);
        out->emplace(std::move(result));
    };
    std::optional<Result<Answer>> never;
    first.spawn(keep(backend().wait("web", 0, 0s, deadline), &never));
    second.spawn(keep(backend().wait("web", 0, 0s, deadline), &answer));
    world_.loop().run_for(500ms);
    server_.is_silent = false;
    first.cancel();
    world_.loop().run_for(500ms);
    ASSERT_TRUE(answer);
    EXPECT_EQ(addresses(*answer).size(), 1U);
}

TEST_F(DnsBackendTest, TooManyEndpointsAreAnErrorAndNoCutList) {
    config_.endpoints_max = 3;
    for (std::uint8_t i = 1; i <= 4; ++i) {
        server_.add_srv("_web._tcp.example.org", 0, 1, i, "h1.example.org");
    }
    server_.add_a("h1.example.org", 1);
    const auto answer = wait();
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, Code::exhausted);
    backend_.reset();
    config_.endpoints_max = 4;
    EXPECT_EQ(addresses(wait()).size(), 4U);
}

TEST(DnsConfigTest, NamesEveryBadFieldAtOnce) {
    DnsConfig config;
    EXPECT_TRUE(check(config));
    config.servers = {"localhost", "10.0.0.1:0"};
    config.name = "web.example.org";
    config.records = DnsRecords::address;
    config.ttl_min = 1ms;
    config.rounds = 0;
    config.notify = {.address = "here", .key_name = "k", .key_secret = "c2hvcnQ="};
    const auto verdict = check(config);
    ASSERT_FALSE(verdict);
    for (const char* text :
         {"\"localhost\"",
          "\"10.0.0.1:0\"",
          "{service}",
          "port must",
          "ttl_min",
          "rounds",
          "\"here\"",
          "16 bytes"}) {
        EXPECT_THAT(verdict.error().what, HasSubstr(text));
    }
    EXPECT_THAT(verdict.error().what, testing::Not(HasSubstr("c2hvcnQ")));
}

}  // namespace
}  // namespace datapunk::mesh::registry::dns
