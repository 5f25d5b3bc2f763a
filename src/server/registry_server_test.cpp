#include "server/registry_server.h"

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "http/client.h"
#include "io/epoll_loop.h"
#include "io/tcp.h"
#include "registry/embedded/check_runner.h"
#include "server/bodies.h"
#include "server/test_server.h"
#include "sim/sim_world.h"
#include "store/sqlite_log.h"

namespace datapunk::mesh::server {
namespace {

using Json = nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

std::string service(const std::string& name, const std::string& id) {
    return R"({"Name":")" + name + R"(","ID":")" + id + R"(","Port":80})";
}

class BlockingQuery : public ServerTest {
  public:
    void add(const std::string& name, const std::string& id) {
        desk_->put("/v1/agent/service/register", service(name, id));
    }

    std::string blocking(const std::string& target, const std::string& wait = "5m") {
        const std::string mark = target.find('?') == std::string::npos ? "?" : "&";
        return target + mark + "index=" + std::to_string(desk_->index(target)) + "&wait=" + wait;
    }
};

TEST_F(BlockingQuery, WakesOnItsServiceOnly) {
    add("api", "a1");
    PendingAsk watch(*server_, blocking("/v1/health/service/api"));
    add("other", "o1");
    desk_->put("/v1/kv/x", "1");
    loop_.run_for(seconds(1));
    EXPECT_FALSE(watch.ended());
    add("api", "a2");
    loop_.run_for(milliseconds(1));
    ASSERT_TRUE(watch.ended());
    EXPECT_EQ(Json::parse(watch.response().body).size(), 2U);
}

TEST_F(BlockingQuery, EachKindWakesOnWhatItShows) {
    desk_->put(
        "/v1/agent/service/register", R"({"Name":"api","Check":{"TTL":"600s","Status":"passing"}})"
    );
    PendingAsk instances(*server_, blocking("/v1/catalog/service/api"));
    PendingAsk names(*server_, blocking("/v1/catalog/services"));
    PendingAsk health(*server_, blocking("/v1/health/service/api?passing"));
    PendingAsk checks(*server_, blocking("/v1/health/checks/api"));
    PendingAsk state(*server_, blocking("/v1/health/state/critical"));
    PendingAsk key(*server_, blocking("/v1/kv/x"));
    PendingAsk tree(*server_, blocking("/v1/kv/d?recurse"));
    desk_->put("/v1/agent/check/fail/service:api");
    loop_.run_for(milliseconds(1));
    EXPECT_FALSE(instances.ended());
    EXPECT_FALSE(names.ended());
    EXPECT_FALSE(key.ended());
    ASSERT_TRUE(health.ended());
    EXPECT_EQ(health.response().body, "[]");
    EXPECT_TRUE(checks.ended());
    EXPECT_TRUE(state.ended());
    desk_->put("/v1/kv/x", "1");
    loop_.run_for(milliseconds(1));
    EXPECT_TRUE(key.ended());
    desk_->put("/v1/kv/d/1", "1");
    loop_.run_for(milliseconds(1));
    EXPECT_TRUE(tree.ended());
    add("other", "o1");
    loop_.run_for(milliseconds(1));
    EXPECT_TRUE(names.ended());
    EXPECT_FALSE(instances.ended());
}

TEST_F(BlockingQuery, EndsAfterItsWaitHealthWithoutJitterOthersWithASixteenth) {
    add("api", "a1");
    const std::string health_target = blocking("/v1/health/service/api", "4s");
    const std::string nodes_target = blocking("/v1/catalog/nodes", "4s");
    PendingAsk health(*server_, health_target);
    std::vector<std::unique_ptr<PendingAsk>> nodes;
    for (int i = 0; i < 50; ++i) {
        nodes.push_back(std::make_unique<PendingAsk>(*server_, nodes_target));
    }
    const auto ended = [&] {
        return std::count_if(nodes.begin(), nodes.end(), [](const auto& n) { return n->ended(); });
    };
    loop_.run_for(milliseconds(3990));
    EXPECT_FALSE(health.ended());
    EXPECT_EQ(ended(), 0);
    loop_.run_for(milliseconds(15));
    EXPECT_TRUE(health.ended());
    EXPECT_LT(ended(), 25);
    loop_.run_for(milliseconds(250));
    EXPECT_EQ(ended(), 50);
    EXPECT_EQ(health.response().status, 200);
}

TEST_F(BlockingQuery, AnIndexFromTheFutureWaitsAndZeroDoesNot) {
    add("api", "a1");
    PendingAsk future(*server_, "/v1/health/service/api?index=1000000&wait=2s");
    PendingAsk zero(*server_, "/v1/health/service/api?index=0&wait=2s");
    EXPECT_TRUE(zero.ended());
    loop_.run_for(milliseconds(1900));
    EXPECT_FALSE(future.ended());
    loop_.run_for(milliseconds(200));
    ASSERT_TRUE(future.ended());
    EXPECT_LT(std::stoull(std::string(future.response().header("X-Consul-Index"))), 1000U);
}

TEST_F(BlockingQuery, AClientThatLeavesLeavesNothingBehind) {
    add("api", "a1");
    PendingAsk watch(*server_, blocking("/v1/health/service/api"));
    EXPECT_EQ(registry_->waiters(), 1U);
    watch.leave();
    EXPECT_EQ(registry_->waiters(), 0U);
}

TEST_F(BlockingQuery, AHashWaitsUntilTheServiceIsAnother) {
    add("api", "a1");
    const std::string hash(desk_->ask("GET", "/v1/agent/service/a1").header("X-Consul-Contenthash")
    );
    ASSERT_NE(hash, "");
    PendingAsk watch(*server_, "/v1/agent/service/a1?wait=5m&hash=" + hash);
    add("other", "o1");
    loop_.run_for(seconds(1));
    EXPECT_FALSE(watch.ended());
    desk_->put("/v1/agent/service/deregister/a1");
    loop_.run_for(milliseconds(1));
    ASSERT_TRUE(watch.ended());
    EXPECT_EQ(watch.response().status, 404);
}

TEST_F(BlockingQuery, AThousandWatchersCostOneEncoding) {
    for (int i = 0; i < 40; ++i) add("api", "a" + std::to_string(i));
    const std::string target = blocking("/v1/health/service/api?passing");
    std::vector<std::unique_ptr<PendingAsk>> watchers;
    for (int i = 0; i < 1000; ++i) {
        watchers.push_back(std::make_unique<PendingAsk>(*server_, target));
    }
    EXPECT_EQ(registry_->waiters(), 1000U);
    const std::uint64_t before = server_->encodings();
    add("api", "one-more");
    loop_.run_for(milliseconds(1));
    for (const auto& watcher : watchers) {
        ASSERT_TRUE(watcher->ended());
        EXPECT_EQ(watcher->response().body, watchers[0]->response().body);
    }
    EXPECT_EQ(Json::parse(watchers[0]->response().body).size(), 41U);
    EXPECT_EQ(server_->encodings(), before + 1);
}

TEST_F(BlockingQuery, WatchersShareTheBytesOfTheHeadAndTheBodyByWhatTheyAsked) {
    add("api", "one");
    const auto ask = [this](const std::string& target) {
        http::Request request{.target = target};
        return *sim::run_on(loop_, server_->handle(std::move(request)));
    };
    const http::Response first = ask("/v1/health/service/api");
    const http::Response again = ask("/v1/health/service/api?index=1");
    const http::Response stale = ask("/v1/health/service/api?stale");
    const http::Response cached = ask("/v1/health/service/api?cached");
    ASSERT_NE(first.shared_fields, nullptr);
    EXPECT_EQ(first.shared_fields, again.shared_fields);
    for (const http::Response* other : {&again, &stale, &cached}) {
        EXPECT_EQ(first.shared_body, other->shared_body);
    }
    EXPECT_EQ(as_received(first).header("X-Consul-Effective-Consistency"), "leader");
    EXPECT_EQ(as_received(stale).header("X-Consul-Effective-Consistency"), "stale");
    EXPECT_EQ(as_received(first).header("X-Cache"), "");
    EXPECT_EQ(as_received(cached).header("X-Cache"), "HIT");
    EXPECT_EQ(as_received(first).header("X-Consul-Default-Acl-Policy"), "allow");
    add("api", "two");
    const http::Response later = ask("/v1/health/service/api");
    EXPECT_NE(
        as_received(first).header("X-Consul-Index"), as_received(later).header("X-Consul-Index")
    );
}

using Ttl = ServerTest;

TEST_F(Ttl, SilenceIsCriticalAndAHeartbeatKeepsItAlive) {
    desk_->put(
        "/v1/agent/service/register", R"({"Name":"api","Check":{"TTL":"2s","Status":"passing"}})"
    );
    for (int i = 0; i < 5; ++i) {
        loop_.run_for(milliseconds(1500));
        desk_->put("/v1/agent/check/pass/service:api?note=alive");
        EXPECT_NE(desk_->get("/v1/health/service/api?passing"), "[]");
    }
    EXPECT_EQ(Json::parse(desk_->get("/v1/agent/checks"))["service:api"]["Output"], "alive");
    loop_.run_for(milliseconds(1990));
    EXPECT_NE(desk_->get("/v1/health/service/api?passing"), "[]");
    loop_.run_for(milliseconds(50));
    EXPECT_EQ(desk_->get("/v1/health/service/api?passing"), "[]");
    EXPECT_EQ(Json::parse(desk_->get("/v1/agent/checks"))["service:api"]["Output"], "TTL expired");
}

// The whole way: a service on another host, its check run over the network, its health in answers.
class HttpChecks : public testing::Test {
  public:
    class Patient final : public http::Handler {
      public:
        io::Task<http::Response> handle(http::Request) override {
            ++asked;
            co_return http::text_response(status, "says so");
        }

        int status = 200;
        int asked = 0;
    };

    HttpChecks() {
        registry_ = *registry::embedded::EmbeddedRegistry::open(
            world_.loop(),
            std::make_unique<registry::embedded::VolatileLog>(),
            test_registry_config(),
            core::Logger()
        );
        server_ = std::make_unique<RegistryServer>(*registry_, RegistryServerConfig{});
        checks_ = std::make_unique<registry::embedded::CheckRunner>(
            *registry_, world_.host("10.0.0.1"), core::Logger()
        );
        desk_ = std::make_unique<Desk>(world_.loop(), *server_);
        web_ = std::make_unique<http::Server>(
            world_.host("10.0.0.2"), patient_, http::ServerConfig{}, core::Logger()
        );
        EXPECT_TRUE(web_->listen(*io::parse_ip("10.0.0.2", 8080)));
    }

    Json check() { return Json::parse(desk_->get("/v1/health/checks/web"))[0]; }

    // The check's status after one more probe, which finds the service so.
    std::string status_after(int status) {
        patient_.status = status;
        for (const int before = patient_.asked; patient_.asked == before;) {
            world_.loop().run_for(milliseconds(100));
        }
        world_.loop().run_for(milliseconds(100));
        return check()["Status"];
    }

    sim::SimWorld world_{sim::seed_for_test(11)};
    Patient patient_;
    std::unique_ptr<registry::embedded::EmbeddedRegistry> registry_;
    std::unique_ptr<RegistryServer> server_;
    std::unique_ptr<registry::embedded::CheckRunner> checks_;
    std::unique_ptr<Desk> desk_;
    std::unique_ptr<http::Server> web_;
};

TEST_F(HttpChecks, FlipHealthInBothDirections) {
    desk_->put(
        "/v1/agent/service/register",
        R"({"Name":"web","Address":"10.0.0.2","Port":8080,"Check":{"HTTP":"http://10.0.0.2:8080/health","Interval":"10s","Timeout":"1s"}})"
    );
    EXPECT_EQ(check()["Status"], "critical") << "until the first result";
    world_.loop().run_for(seconds(12));
    EXPECT_EQ(check()["Status"], "passing");
    EXPECT_EQ(check()["Output"], "HTTP GET http://10.0.0.2:8080/health: 200 OK Output: says so");
    patient_.status = 429;
    world_.loop().run_for(seconds(12));
    EXPECT_EQ(check()["Status"], "warning");
    patient_.status = 500;
    PendingAsk watch(
        *server_,
        "/v1/health/service/web?wait=5m&index=" +
            std::to_string(desk_->index("/v1/health/service/web"))
    );
    world_.loop().run_for(seconds(12));
    EXPECT_TRUE(watch.ended());
    EXPECT_EQ(check()["Status"], "critical");
    world_.partition("10.0.0.1", "10.0.0.2");
    world_.loop().run_for(seconds(12));
    world_.heal("10.0.0.1", "10.0.0.2");
    patient_.status = 200;
    world_.loop().run_for(seconds(12));
    EXPECT_EQ(check()["Status"], "passing");
    desk_->put("/v1/agent/service/deregister/web");
    EXPECT_EQ(checks_->size(), 0U);
}

// A datagram instead of a request: silence passes, and that nobody listens does not.
TEST_F(HttpChecks, AUdpCheckFindsWhetherAnybodyListens) {
    const io::SocketAddress place = *io::parse_ip("10.0.0.2", 5353);
    auto socket = *world_.host("10.0.0.2").open_datagram(place, {});
    desk_->put(
        "/v1/agent/service/register",
        R"({"Name":"web","Check":{"UDP":"10.0.0.2:5353","Interval":"10s","Timeout":"1s"}})"
    );
    EXPECT_EQ(check()["Type"], "udp");
    EXPECT_EQ(check()["Status"], "critical") << "until the first result";
    world_.loop().run_for(seconds(13));
    EXPECT_EQ(check()["Status"], "passing");
    EXPECT_EQ(check()["Output"], "UDP connect 10.0.0.2:5353: Success");
    socket.reset();
    world_.loop().run_for(seconds(12));
    EXPECT_EQ(check()["Status"], "critical");
}

TEST_F(HttpChecks, RespectTheirThresholds) {
    desk_->put(
        "/v1/agent/service/register",
        R"({"Name":"web","Check":{"HTTP":"http://10.0.0.2:8080/","Interval":"10s","Status":"passing","FailuresBeforeCritical":3}})"
    );
    patient_.status = 500;
    world_.loop().run_for(seconds(18));
    EXPECT_EQ(check()["Status"], "passing");
    world_.loop().run_for(seconds(24));
    EXPECT_EQ(check()["Status"], "critical");
}

// Consul's StatusHandler: either kind of result in a row, and one of the other starts over.
TEST_F(HttpChecks, SuccessAndFailuresCountAsInConsul) {
    desk_->put(
        "/v1/agent/service/register",
        R"({"Name":"web","Check":{"HTTP":"http://10.0.0.2:8080/","Interval":"10s","SuccessBeforePassing":2,"FailuresBeforeWarning":2,"FailuresBeforeCritical":3}})"
    );
    EXPECT_EQ(status_after(200), "critical");
    EXPECT_EQ(status_after(500), "critical");
    EXPECT_EQ(status_after(200), "critical") << "one in a row";
    EXPECT_EQ(status_after(429), "warning") << "a warning is no failure";
    EXPECT_EQ(status_after(200), "passing");
    EXPECT_EQ(status_after(500), "passing");
    EXPECT_EQ(status_after(200), "passing");
    EXPECT_EQ(status_after(500), "passing") << "one in a row";
    EXPECT_EQ(status_after(500), "warning");
    EXPECT_EQ(status_after(200), "warning") << "one success is not enough";
    EXPECT_EQ(status_after(200), "passing");
    EXPECT_EQ(status_after(500), "passing");
    EXPECT_EQ(status_after(500), "warning");
    EXPECT_EQ(status_after(500), "critical");
}

TEST_F(HttpChecks, AnAliasFollowsWhatTheProbeFinds) {
    desk_->put(
        "/v1/agent/service/register",
        R"({"Name":"db","Check":{"CheckID":"db","Name":"db http","HTTP":"http://10.0.0.2:8080/","Interval":"10s"}})"
    );
    desk_->put("/v1/agent/service/register", R"({"Name":"web","Check":{"AliasService":"db"}})");
    EXPECT_EQ(check()["Status"], "critical");
    EXPECT_EQ(status_after(200), "passing");
    EXPECT_EQ(check()["Output"], "All checks passing.");
    PendingAsk watch(
        *server_,
        "/v1/health/service/web?wait=5m&index=" +
            std::to_string(desk_->index("/v1/health/service/web"))
    );
    EXPECT_EQ(status_after(500), "critical");
    EXPECT_TRUE(watch.ended());
    EXPECT_EQ(
        check()["Output"],
        "Aliased check \"db http\" failing: HTTP GET http://10.0.0.2:8080/: 500 Internal Server "
        "Error Output: says so"
    );
}

TEST_F(HttpChecks, AServiceThatStaysCriticalIsDeregistered) {
    desk_->put(
        "/v1/agent/service/register",
        R"({"Name":"web","Check":{"TCP":"10.0.0.3:1","Interval":"10s","DeregisterCriticalServiceAfter":"1s"}})"
    );
    world_.loop().run_for(seconds(55));
    EXPECT_NE(desk_->get("/v1/agent/services"), "{}");
    world_.loop().run_for(seconds(10));
    EXPECT_EQ(desk_->get("/v1/agent/services"), "{}") << "after a minute, the minimum";
}

TEST_F(HttpChecks, ATargetThatMakesNoSenseIsCriticalAndHarmsNothing) {
    desk_->put(
        "/v1/agent/service/register",
        R"({"Name":"web","Check":{"HTTP":"::not a url::","Interval":"1s","Status":"passing"}})"
    );
    world_.loop().run_for(seconds(3));
    EXPECT_EQ(check()["Status"], "critical");
}

TEST(Durability, WhatWasAnsweredSurvivesARestart) {
    std::string directory = testing::TempDir() + "registry-XXXXXX";
    ASSERT_NE(mkdtemp(directory.data()), nullptr);
    const std::string path = directory + "/registry.db";
    std::uint64_t index = 0;
    for (int run = 0; run < 3; ++run) {
        auto loop = io::EpollLoop::create();
        ASSERT_TRUE(loop);
        auto log = store::SqliteLog::open({.path = path});
        ASSERT_TRUE(log) << log.error().what;
        auto registry = registry::embedded::EmbeddedRegistry::open(
            **loop, *std::move(log), test_registry_config(), core::Logger()
        );
        ASSERT_TRUE(registry) << registry.error().what;
        RegistryServer server(**registry, {});
        Desk desk(**loop, server);
        if (run > 0) {
            EXPECT_EQ(
                Json::parse(desk.get("/v1/agent/services")).size(),
                static_cast<std::size_t>(run) * 20
            );
            EXPECT_EQ(desk.get("/v1/kv/k?raw"), std::to_string(run - 1));
            EXPECT_EQ(desk.index("/v1/health/service/api"), index);
        }
        for (int i = 0; i < 20; ++i) {
            const std::string id = std::to_string(run) + "-" + std::to_string(i);
            desk.put("/v1/agent/service/register", service("api", id));
        }
        desk.put("/v1/kv/k", std::to_string(run));
        index = desk.index("/v1/health/service/api");
    }
    std::filesystem::remove_all(directory);
}

TEST(RegistryOverSockets, ServesAndForgetsClientsThatHangUp) {
    auto loop = *io::EpollLoop::create();
    io::KernelNetwork network(*loop);
    auto registry = *registry::embedded::EmbeddedRegistry::open(
        *loop,
        std::make_unique<registry::embedded::VolatileLog>(),
        test_registry_config(),
        core::Logger()
    );
    RegistryServer server(*registry, {});
    http::Server door(network, server, {}, core::Logger());
    ASSERT_TRUE(door.listen(io::SocketAddress::loopback(0)));
    http::Client client(network, {});
    const auto fetch = [&](http::Request request, Duration time) {
        return sim::run_on(
            *loop,
            client.fetch("127.0.0.1", door.local().port, std::move(request), loop->now() + time)
        );
    };
    const auto put = fetch(
        {.method = "PUT", .target = "/v1/agent/service/register", .body = service("api", "a1")},
        seconds(5)
    );
    ASSERT_TRUE(put && *put);
    EXPECT_EQ((*put)->status, 200);
    const auto got = fetch({.target = "/v1/health/service/api"}, seconds(5));
    ASSERT_TRUE(got && *got);
    EXPECT_EQ(Json::parse((*got)->body).size(), 1U);
    const auto cut = fetch(
        {.target = "/v1/health/service/api?wait=5m&index=" +
                   std::string((*got)->header("X-Consul-Index"))},
        milliseconds(30)
    );
    ASSERT_TRUE(cut);
    EXPECT_FALSE(*cut);
    const Instant end = loop->now() + seconds(5);
    while (registry->waiters() > 0 && loop->now() < end) loop->turn(end);
    EXPECT_EQ(registry->waiters(), 0U);
}

TEST(Bodies, BoundDepthAndSize) {
    const std::string deep =
        R"({"Name":)" + std::string(kJsonDepthMax, '[') + std::string(kJsonDepthMax, ']') + "}";
    EXPECT_EQ(parse_service(deep).error().what, "Request decode failed: json: exceeded max depth");
    const std::string allowed = R"({"Name":)" + std::string(kJsonDepthMax - 1, '[') +
                                std::string(kJsonDepthMax - 1, ']') + "}";
    EXPECT_THAT(parse_service(allowed).error().what, testing::HasSubstr("cannot unmarshal array"));
    EXPECT_FALSE(parse_service(std::string(kJsonBytesMax + 1, ' ')));
    EXPECT_FALSE(parse_service(std::string(1'000'000, '[')));
    EXPECT_TRUE(parse_service(R"({"Name":"[[[[[[[[[[[[[[[[[[[[[[[["})"));
}

TEST(Bodies, SurviveAnyGarbage) {
    const std::string good =
        R"({"Name":"w","Port":80,"Tags":["a"],"Check":{"TTL":"10s"},"Weights":{"Passing":1}})";
    core::Rng rng(sim::seed_for_test(5));
    for (int i = 0; i < 20'000; ++i) {
        std::string body = good;
        for (std::uint64_t n = rng.below(4) + 1; n > 0; --n) {
            body[rng.below(body.size())] = static_cast<char>(rng.below(256));
        }
        if (rng.chance(0.3)) body.resize(rng.below(body.size()));
        (void)parse_service(body);
        (void)parse_check(body);
        (void)parse_catalog_register(body);
    }
    for (const char* body :
         {"null",
          "[]",
          "1",
          "\"x\"",
          R"({"Port":-1})",
          R"({"Port":65536})",
          R"({"Port":1e99})",
          R"({"Check":[]})",
          R"({"Checks":{}})",
          R"({"Checks":[1]})",
          R"({"Meta":{"a":1}})",
          "{\"Name\":\"\xff\"}"}) {
        EXPECT_FALSE(parse_service(body).ok() && std::string_view(body) != "null") << body;
    }
}

TEST(AnswerCacheTest, IsBoundedAndForgetsTheLeastUsed) {
    AnswerCache cache(100);
    int encoded = 0;
    const auto get = [&](const std::string& name, std::uint64_t index) {
        const auto encode = [&] {
            ++encoded;
            return std::string(39, 'x');
        };
        cache.get(name, index, encode, 0, [] { return std::string(); });
    };
    get("a", 1);
    get("b", 1);
    get("a", 1);
    EXPECT_EQ(encoded, 2);
    get("c", 1);  // over 100 bytes: b goes
    EXPECT_LE(cache.bytes(), 100U);
    get("a", 1);
    EXPECT_EQ(encoded, 3);
    get("b", 1);
    EXPECT_EQ(encoded, 4);
    get("b", 2);
    EXPECT_EQ(encoded, 5) << "another index is another answer";
}

TEST(AnswerCacheTest, ABodyHasOneHeadForEachLabel) {
    AnswerCache cache(100);
    int labelled = 0;
    const auto get = [&](std::uint64_t index, std::size_t which) {
        const auto encode = [] { return std::string(39, 'x'); };
        return cache.get("a", index, encode, which, [&] {
            ++labelled;
            return std::string(10, 'h');
        });
    };
    const AnswerCache::Answer one = get(1, 0);
    const AnswerCache::Answer two = get(1, 5);
    EXPECT_EQ(one.body, two.body);
    EXPECT_NE(one.fields, two.fields);
    EXPECT_EQ(get(1, 0).fields, one.fields);
    EXPECT_EQ(labelled, 2);
    EXPECT_EQ(cache.bytes(), 1U + 39U + 20U);
    EXPECT_NE(get(2, 0).fields, one.fields) << "the index stands in it";
    EXPECT_EQ(cache.bytes(), 1U + 39U + 10U);
}

}  // namespace
}  // namespace datapunk::mesh::server
