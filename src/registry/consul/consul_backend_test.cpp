#include "registry/consul/consul_backend.h"

#include <gmock/gmock.h>

#include <deque>

#include "http/server.h"
#include "sim/run.h"
#include "sim/sim_world.h"

namespace datapunk::mesh::registry::consul {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

// Answers from a script and writes down what it was asked.
class ScriptedAgent final : public http::Handler {
  public:
    explicit ScriptedAgent(io::Loop& loop) : loop_(loop) {}

    io::Task<http::Response> handle(http::Request request) override {
        asked.push_back(request.method + " " + request.target);
        tokens.emplace_back(request.header("X-Consul-Token"));
        authorizations.emplace_back(request.header("Authorization"));
        bodies.push_back(request.body);
        if (delay > Duration::zero()) co_await io::sleep_for(loop_, delay);
        if (answers.empty()) co_return http::text_response(500, "the script is over");
        http::Response answer = std::move(answers.front());
        answers.pop_front();
        co_return answer;
    }

    std::deque<http::Response> answers;
    std::vector<std::string> asked;
    std::vector<std::string> tokens;
    std::vector<std::string> authorizations;
    std::vector<std::string> bodies;
    Duration delay{};

  private:
    io::Loop& loop_;
};

http::Response health(std::string index, std::string body = "[]") {
    http::Response response = http::json_response(200, std::move(body));
    if (!index.empty()) response.headers.push_back({"X-Consul-Index", std::move(index)});
    return response;
}

class ConsulBackendTest : public testing::Test {
  public:
    ConsulBackendTest()
        : agent_(world_.loop()),
          server_(world_.host("10.0.0.2"), agent_, {}, core::Logger()),
          backend_(make({.host = "10.0.0.2"})) {
        EXPECT_TRUE(server_.listen(*io::parse_ip("10.0.0.2", 8500)));
    }

    std::unique_ptr<ConsulBackend> make(ConsulConfig config) {
        return *ConsulBackend::create(world_.host("10.0.0.1"), std::move(config));
    }

    template <class T>
    T run(io::Task<T> task) {
        auto result = sim::run_on(world_.loop(), std::move(task), 1h);
        MESH_ASSERT(result.has_value());
        return *std::move(result);
    }

    Result<Answer> wait(std::uint64_t after, Duration longest) {
        return run(backend_->wait("api", after, longest, in(30min)));
    }

    Instant in(Duration time) { return world_.loop().now() + time; }

    sim::SimWorld world_{sim::seed_for_test(1)};
    ScriptedAgent agent_;
    http::Server server_;
    std::unique_ptr<ConsulBackend> backend_;
};

TEST_F(ConsulBackendTest, AsksAtOnceForAfterZeroAndBlocksOtherwise) {
    agent_.answers = {health("47"), health("48"), health("48")};
    EXPECT_EQ(wait(0, 60s)->index, 47U);
    EXPECT_EQ(wait(47, 1500ms)->index, 48U);
    EXPECT_EQ(wait(48, 24h)->index, 48U);  // Consul's maximum is ten minutes
    EXPECT_THAT(
        agent_.asked,
        ElementsAre(
            "GET /v1/health/service/api?stale",
            "GET /v1/health/service/api?stale&index=47&wait=1500ms",
            "GET /v1/health/service/api?stale&index=48&wait=600000ms"
        )
    );
}

TEST_F(ConsulBackendTest, NeverBlocksLongerThanConfigured) {
    agent_.answers = {health("48"), health("48")};
    backend_ = make({.host = "10.0.0.2", .wait_max = 2s});
    ASSERT_TRUE(wait(47, 1999ms));
    ASSERT_TRUE(wait(47, 2001ms));
    EXPECT_THAT(
        agent_.asked,
        ElementsAre(
            "GET /v1/health/service/api?stale&index=47&wait=1999ms",
            "GET /v1/health/service/api?stale&index=47&wait=2000ms"
        )
    );
    EXPECT_FALSE(check(ConsulConfig{.wait_max = 999ms}));
    EXPECT_FALSE(check(ConsulConfig{.wait_max = 601s}));
}

TEST_F(ConsulBackendTest, TokenDatacenterAndConsistencyAreSaid) {
    agent_.answers = {health("1"), http::json_response(200, R"({"api":["v1"]})")};
    backend_ = make({.host = "10.0.0.2", .token = "secret", .datacenter = "dc 2", .stale = false});
    ASSERT_TRUE(wait(0, 0s));
    const auto services = run(backend_->services(in(5s)));
    ASSERT_TRUE(services);
    EXPECT_EQ(services->at(0).name, "api");
    EXPECT_THAT(
        agent_.asked,
        ElementsAre(
            "GET /v1/health/service/api?leader&dc=dc%202",
            "GET /v1/catalog/services?leader&dc=dc%202"
        )
    );
    EXPECT_THAT(agent_.tokens, ElementsAre("secret", "secret"));
}

TEST_F(ConsulBackendTest, NamesAndIdsAreEscaped) {
    agent_.answers = {health("1"), http::json_response(200, "{}")};
    ASSERT_TRUE(run(backend_->wait("a/b?c d", 0, 0s, in(5s))));
    ASSERT_TRUE(*run(backend_->has_service("x%/y", in(5s))));
    EXPECT_THAT(
        agent_.asked,
        ElementsAre("GET /v1/health/service/a%2Fb%3Fc%20d?stale", "GET /v1/agent/service/x%25%2Fy")
    );
}

TEST_F(ConsulBackendTest, AnIndexThatWentBackwardsIsReportedAsItIs) {
    agent_.answers = {health("14")};
    EXPECT_EQ(wait(492, 10s)->index, 14U);
}

TEST_F(ConsulBackendTest, TheIndexOfAnErrorIsNotBelieved) {
    agent_.answers = {
        {.status = 500,
         .headers = {{"X-Consul-Index", "1"}, {"X-Consul-KnownLeader", "false"}},
         .body = "No cluster leader"}
    };
    const auto answer = wait(18, 10s);
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, Code::unavailable);
    EXPECT_EQ(answer.error().source, Source::registry);
    EXPECT_TRUE(answer.error().retryable);
    EXPECT_THAT(answer.error().what, HasSubstr("consul at 10.0.0.2:8500: GET /v1/health/service"));
    EXPECT_THAT(answer.error().what, HasSubstr("No cluster leader"));
}

TEST_F(ConsulBackendTest, AnAnswerWithoutAnIndexIsAnError) {
    agent_.answers = {health("")};
    EXPECT_THAT(wait(1, 10s).error().what, HasSubstr("X-Consul-Index"));
}

TEST_F(ConsulBackendTest, AnAnswerThatIsNoJsonIsAnErrorThatShowsIt) {
    agent_.answers = {health("3", "<html>502 Bad Gateway</html>")};
    const auto answer = wait(1, 10s);
    ASSERT_FALSE(answer);
    EXPECT_THAT(answer.error().what, HasSubstr("<html>502 Bad Gateway"));
}

TEST_F(ConsulBackendTest, AnAnswerOverTheLimitIsRefused) {
    agent_.answers = {health("3", "[" + std::string(5'000, ' ') + "]")};
    backend_ = make({.host = "10.0.0.2", .body_bytes_max = 4'096});
    const auto answer = wait(1, 10s);
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, Code::exhausted);
}

TEST_F(ConsulBackendTest, WaitsForConsulsOwnJitterAndNotMuchLonger) {
    agent_.delay = 64s + 4s;  // wait + wait/16
    agent_.answers = {health("5")};
    EXPECT_TRUE(wait(5, 64s));
    agent_.delay = 64s + 4s + 6s;  // more than the slack
    agent_.answers = {health("5")};
    const Instant start = world_.loop().now();
    const auto late = wait(5, 64s);
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().code, Code::timeout);
    EXPECT_EQ(late.error().source, Source::registry);
    EXPECT_TRUE(late.error().retryable);
    EXPECT_LE(world_.loop().now() - start, 64s + 4s + 5s + 10ms);
}

TEST_F(ConsulBackendTest, TheCallersDeadlineCounts) {
    agent_.delay = 10s;
    const Instant start = world_.loop().now();
    const auto result = run(backend_->wait("api", 1, 60s, in(2s)));
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, Code::timeout);
    EXPECT_LE(world_.loop().now() - start, 2s + 10ms);
}

TEST_F(ConsulBackendTest, AnAgentThatIsNotThereIsTheRegistrysFault) {
    backend_ = make({.host = "10.0.0.2", .port = 1});
    const auto answer = wait(0, 0s);
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, Code::unavailable);
    EXPECT_EQ(answer.error().source, Source::registry);
    EXPECT_TRUE(answer.error().retryable);
}

TEST_F(ConsulBackendTest, AWaitThatIsGivenUpLeavesNothingBehind) {
    agent_.delay = 1h;
    {
        io::TaskGroup group;
        const auto start = [](ConsulBackend* backend, Instant deadline) -> io::Task<void> {
            const std::string service = "api";
            auto ignored = co_await backend->wait(service, 1, 60s, deadline);
        };
        group.spawn(start(backend_.get(), in(60s)));
        world_.loop().run_for(1s);
        EXPECT_EQ(agent_.asked.size(), 1U);
    }
    world_.loop().run_for(1s);
    EXPECT_EQ(server_.connections(), 0U);
}

TEST_F(ConsulBackendTest, RegistersWithOneCallThatReplacesOldChecks) {
    agent_.answers = {{.status = 200}};
    const auto config = checked({.name = "web", .host = "10.0.0.1", .port = 80});
    ASSERT_TRUE(run(backend_->register_service(*config, in(5s))));
    EXPECT_THAT(
        agent_.asked, ElementsAre("PUT /v1/agent/service/register?replace-existing-checks=true")
    );
    EXPECT_THAT(agent_.bodies[0], HasSubstr(R"("ID":"web-10.0.0.1-80")"));
}

TEST_F(ConsulBackendTest, ACheckThatWouldTellASecretIsNotSent) {
    ServiceConfig config{.name = "web", .host = "10.0.0.1", .port = 80};
    config.check.bearer_token = "secret";
    const auto result = run(backend_->register_service(*checked(config), in(5s)));
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, Code::invalid);
    EXPECT_THAT(result.error().what, HasSubstr("check.bearer_token"));
    EXPECT_TRUE(agent_.asked.empty());
}

TEST_F(ConsulBackendTest, ATokenThatMayNotRegisterIsDenied) {
    agent_.answers = {http::text_response(403, "Permission denied: … lacks 'service:write'")};
    const auto config = checked({.name = "web", .host = "10.0.0.1", .port = 80});
    const auto result = run(backend_->register_service(*config, in(5s)));
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, Code::denied);
    EXPECT_FALSE(result.error().retryable);
}

TEST_F(ConsulBackendTest, AnUnknownIdIsNotFoundForOldAndNewAgents) {
    agent_.answers = {http::text_response(404, "unknown service ID: nope")};
    EXPECT_EQ(run(backend_->deregister_service("nope", in(5s))).error().code, Code::not_found);
    // Gone between the question and the order.
    agent_.answers = {
        http::json_response(200, "{}"), http::text_response(404, "Unknown service ID \"nope\".")
    };
    EXPECT_EQ(run(backend_->deregister_service("nope", in(5s))).error().code, Code::not_found);
    agent_.answers = {http::json_response(200, "{}"), {.status = 200}};
    EXPECT_TRUE(run(backend_->deregister_service("nope", in(5s))));
}

TEST_F(ConsulBackendTest, A404OfSomethingThatIsNoAgentIsNotAnAnswer) {
    agent_.answers = {http::text_response(404, "<h1>nginx</h1>")};
    const auto known = run(backend_->has_service("web", in(5s)));
    ASSERT_FALSE(known);
    EXPECT_THAT(known.error().what, HasSubstr("nginx"));
}

TEST_F(ConsulBackendTest, AHeartbeatNamesTheCheckOfTheService) {
    agent_.answers = {{.status = 200}};
    ASSERT_TRUE(run(backend_->heartbeat("web-1", Health::warning, "load \"high\"", in(5s))));
    EXPECT_THAT(agent_.asked, ElementsAre("PUT /v1/agent/check/update/service%3Aweb-1"));
    EXPECT_THAT(agent_.bodies, ElementsAre(R"({"Status":"warning","Output":"load \"high\""})"));
}

TEST_F(ConsulBackendTest, ABadCertificateFileIsNoticedAtOnce) {
    const auto backend =
        ConsulBackend::create(world_.host("10.0.0.1"), {.https = true, .ca = "/nowhere/ca.pem"});
    ASSERT_FALSE(backend);
    EXPECT_EQ(backend.error().code, Code::invalid);
    EXPECT_THAT(backend.error().what, HasSubstr("/nowhere/ca.pem"));
}

TEST_F(ConsulBackendTest, FilterAndDistanceAreSaidAndBasicAuthentication) {
    agent_.answers = {health("1")};
    backend_ = make(
        {.host = "10.0.0.2",
         .user = "me",
         .password = "p:w",
         .filter = "\"v1\" in Service.Tags",
         .near = "_agent"}
    );
    ASSERT_TRUE(wait(0, 0s));
    EXPECT_THAT(
        agent_.asked,
        ElementsAre("GET /v1/health/service/api?stale&near=_agent&filter=%22v1%22%20in%20Service."
                    "Tags")
    );
    EXPECT_THAT(agent_.authorizations, ElementsAre("Basic bWU6cDp3"));
}

TEST_F(ConsulBackendTest, RetryAfterStopsQuestionsButNotHeartbeats) {
    http::Response busy = http::text_response(429, "too many");
    busy.headers.push_back({"Retry-After", "7"});
    agent_.answers = {busy, {.status = 200}, health("5")};
    const auto busy_now = wait(1, 10s);
    EXPECT_EQ(busy_now.error().code, Code::unavailable);
    EXPECT_EQ(busy_now.error().retry_after, 7s);
    const auto refused = wait(1, 10s);
    ASSERT_FALSE(refused);
    EXPECT_GT(refused.error().retry_after, 6s);
    EXPECT_TRUE(refused.error().retryable);
    EXPECT_THAT(refused.error().what, HasSubstr("left alone for another 7s"));
    EXPECT_EQ(agent_.asked.size(), 1U);
    EXPECT_TRUE(run(backend_->heartbeat("web-1", Health::passing, "", in(5s))));
    world_.loop().run_for(6900ms);
    EXPECT_FALSE(wait(1, 10s));
    EXPECT_EQ(agent_.asked.size(), 2U);
    world_.loop().run_for(200ms);
    EXPECT_TRUE(wait(1, 10s));
}

TEST_F(ConsulBackendTest, ALongRetryAfterIsNotTakenAtItsWord) {
    http::Response busy = http::text_response(503, "");
    busy.headers.push_back({"Retry-After", "86400"});
    agent_.answers = {busy, health("5")};
    EXPECT_FALSE(wait(1, 10s));
    world_.loop().run_for(61s);
    EXPECT_TRUE(wait(1, 10s));
}

TEST_F(ConsulBackendTest, AnAnswerWithoutALeaderIsStale) {
    const auto with = [](std::string_view name, std::string value) {
        http::Response response = health("5");
        response.headers.push_back({std::string(name), std::move(value)});
        return response;
    };
    agent_.answers = {
        with("X-Consul-KnownLeader", "true"),
        with("X-Consul-Knownleader", "false"),
        with("X-Consul-LastContact", "30000"),
        with("X-Consul-LastContact", "30001"),
        with("X-Consul-LastContact", "x")
    };
    for (const bool stale : {false, true, false, true, false}) {
        EXPECT_EQ(wait(1, 10s)->is_stale, stale);
    }
}

TEST_F(ConsulBackendTest, EmptinessThatAccessControlExplainsIsAnError) {
    const auto with = [](std::string_view name, std::string value) {
        http::Response response = health("5");
        response.headers.push_back({std::string(name), std::move(value)});
        return response;
    };
    agent_.answers = {with("X-Consul-Default-Acl-Policy", "deny")};
    const auto anonymous = wait(1, 10s);
    ASSERT_FALSE(anonymous);
    EXPECT_EQ(anonymous.error().code, Code::denied);
    backend_ = make({.host = "10.0.0.2", .token = "secret"});
    agent_.answers = {
        with("X-Consul-Default-Acl-Policy", "deny"),
        with("X-Consul-Results-Filtered-By-Acls", "true"),
        with("X-Consul-Default-Acl-Policy", "allow")
    };
    EXPECT_TRUE(wait(1, 10s)) << "a token may see that there is none";
    EXPECT_EQ(wait(1, 10s).error().code, Code::denied);
    EXPECT_TRUE(wait(1, 10s));
}

class ConsulCatalogTest : public ConsulBackendTest {
  public:
    ConsulCatalogTest() {
        backend_ = make(
            {.host = "10.0.0.2",
             .registration = ConsulRegistration::catalog,
             .node = "outside",
             .node_address = "10.0.0.9"}
        );
    }

    ServiceConfig web() const {
        ServiceConfig config{.name = "web", .id = "web-1", .host = "10.0.0.1", .port = 80};
        config.check.kind = HealthCheck::Kind::ttl;
        return *checked(config);
    }

    // What the catalog would answer about it.
    std::string as_read(const std::string& registration) {
        const std::string check = registration.substr(registration.find("\"Check\":{") + 8);
        return R"([{"Node":{"Node":"outside","Address":"10.0.0.9"},"Service":{"ID":"web-1",)"
               R"("Service":"web","Address":"10.0.0.1","Port":80},"Checks":[)" +
               check.substr(0, check.rfind('}')) + "]}]";
    }
};

TEST_F(ConsulCatalogTest, ServiceAndCheckGoIntoTheCatalogInOneCall) {
    agent_.answers = {http::json_response(200, "true"), http::json_response(200, "true")};
    ASSERT_TRUE(run(backend_->register_service(web(), in(5s))));
    ASSERT_TRUE(run(backend_->heartbeat("web-1", Health::passing, "fine", in(5s))));
    EXPECT_THAT(agent_.asked, ElementsAre("PUT /v1/catalog/register", "PUT /v1/catalog/register"));
    EXPECT_THAT(
        agent_.bodies[0],
        testing::StartsWith(R"({"Node":"outside","Address":"10.0.0.9","NodeMeta":{"external-node":)"
                            R"("true","external-probe":"false"},"Service":{"ID":"web-1","Service":)"
                            R"("web","Address":"10.0.0.1","Port":80,)")
    );
    EXPECT_THAT(
        agent_.bodies[0],
        HasSubstr(R"("Check":{"Node":"outside","CheckID":"service:web-1",)"
                  R"("Name":"renewed by its service","ServiceID":"web-1","Status":"critical",)"
                  R"("Notes":"dpmesh: until )")
    );
    EXPECT_THAT(agent_.bodies[1], HasSubstr(R"("SkipNodeUpdate":true)"));
    EXPECT_THAT(agent_.bodies[1], HasSubstr(R"("Status":"passing")"));
}

TEST_F(ConsulCatalogTest, ARenewalThatIsOverIsCriticalToOurReaders) {
    agent_.answers = {http::json_response(200, "true"), http::json_response(200, "true")};
    ASSERT_TRUE(run(backend_->register_service(web(), in(5s))));
    ASSERT_TRUE(run(backend_->heartbeat("web-1", Health::passing, "", in(5s))));
    const std::string row = as_read(agent_.bodies[1]);
    agent_.answers = {health("5", row), health("5", row)};
    world_.loop().run_for(29s);  // of a ttl of 30 s
    EXPECT_EQ(wait(0, 0s)->endpoints.at(0).health, Health::passing);
    world_.loop().run_for(3s);
    EXPECT_EQ(wait(0, 0s)->endpoints.at(0).health, Health::critical);
}

TEST_F(ConsulCatalogTest, IsLookedUpAndRemovedByItsNode) {
    agent_.answers = {
        http::json_response(200, "null"),
        http::json_response(200, R"({"Node":{},"Services":{"web-1":{}}})"),
        http::json_response(200, R"({"Node":{},"Services":{"web-1":{}}})"),
        http::json_response(200, "true"),
    };
    EXPECT_FALSE(*run(backend_->has_service("web-1", in(5s))));
    EXPECT_TRUE(*run(backend_->has_service("web-1", in(5s))));
    EXPECT_TRUE(run(backend_->deregister_service("web-1", in(5s))));
    EXPECT_EQ(agent_.asked.back(), "PUT /v1/catalog/deregister");
    EXPECT_EQ(agent_.bodies.back(), R"({"Node":"outside","ServiceID":"web-1"})");
}

TEST_F(ConsulCatalogTest, AHeartbeatOfWhatTheCatalogLostIsNotFound) {
    EXPECT_EQ(
        run(backend_->heartbeat("web-1", Health::passing, "", in(5s))).error().code, Code::not_found
    );
    agent_.answers = {
        http::json_response(200, "true"),
        http::text_response(500, "failed inserting check: Missing service registration")
    };
    ASSERT_TRUE(run(backend_->register_service(web(), in(5s))));
    EXPECT_EQ(
        run(backend_->heartbeat("web-1", Health::passing, "", in(5s))).error().code, Code::not_found
    );
}

}  // namespace
}  // namespace datapunk::mesh::registry::consul
