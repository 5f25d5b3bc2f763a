// The client against Debian's redis-server. PEERS=0 in the environment leaves it out.

#include <gmock/gmock.h>

#include "io/epoll_loop.h"
#include "io/tcp.h"
#include "redis/redis_client.h"
#include "redis/redis_subscription.h"
#include "redis/test_redis_server.h"
#include "sim/run.h"

namespace datapunk::mesh::redis {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

class RealRedis : public testing::Test {
  public:
    void SetUp() override {
        if (!TestRedisServer::is_wanted()) GTEST_SKIP() << "PEERS=0";
        start({});
    }

    void start(std::vector<std::string> options) {
        server.emplace(io::random_seed(), std::move(options));
        config.port = server->port();
        config.reconnect.max = 200ms;
    }

    void connect() {
        client.emplace(network, config, core::Logger());
        EXPECT_TRUE(until([this] { return client->is_up(); }));
    }

    template <class Done>
    bool until(Done done, Duration limit = 15s) {
        const Instant end = loop.now() + limit;
        while (!done() && loop.now() < end) loop.turn(std::min(end, loop.now() + 10ms));
        return done();
    }

    Result<wire::resp::RespValue> call(std::vector<std::string> words, Duration limit = 5s) {
        return *sim::run_on(loop, client->call(std::move(words), loop.now() + limit));
    }

    std::unique_ptr<io::EpollLoop> owner = *io::EpollLoop::create();
    io::EpollLoop& loop = *owner;
    io::KernelNetwork network{loop};
    RedisConfig config{};
    std::optional<TestRedisServer> server;
    std::optional<RedisClient> client;
};

TEST_F(RealRedis, TalksToIt) {
    connect();
    EXPECT_EQ(call({"SET", "k", std::string("a\0b\r\n", 5)})->text, "OK");
    EXPECT_EQ(call({"GET", "k"})->text, std::string("a\0b\r\n", 5));
    EXPECT_TRUE(call({"GET", "none"})->is_null());
    EXPECT_EQ(call({"LPUSH", "list", "x"})->integer, 1);
    EXPECT_EQ(call({"GET", "list"}).error().code, Code::conflict);
    const std::string large(4U << 20U, 'x');
    EXPECT_EQ(call({"SET", "large", large})->text, "OK");
    EXPECT_EQ(call({"GET", "large"})->text, large);
    EXPECT_EQ(call({"EVAL", "return {1, 'two', false}", "0"})->items.size(), 3U);
}

TEST_F(RealRedis, AuthenticatesAndSelects) {
    server->kill();
    start({"--requirepass", "secret"});
    config.password = "secret";
    config.database = 5;
    connect();
    EXPECT_TRUE(call({"SET", "k", "v"}));
    EXPECT_TRUE(call({"SELECT", "0"}));
    EXPECT_TRUE(call({"GET", "k"})->is_null());
    config.password = "wrong";
    RedisClient stranger(network, config, core::Logger());
    EXPECT_TRUE(until([&] { return stranger.stats().failures >= 2; }));
    EXPECT_FALSE(stranger.is_up());
}

TEST_F(RealRedis, AFullOneRefusesToStore) {
    server->kill();
    start({"--maxmemory", "100kb", "--maxmemory-policy", "noeviction"});
    connect();
    EXPECT_EQ(call({"SET", "k", "v"}).error().code, Code::exhausted);
}

TEST_F(RealRedis, ComesBackAfterAKill) {
    connect();
    server->kill();
    EXPECT_TRUE(until([this] { return !client->is_up(); }));
    EXPECT_EQ(call({"GET", "k"}).error().code, Code::unavailable);
    server->start();
    EXPECT_TRUE(until([this] { return client->is_up(); }));
    EXPECT_TRUE(call({"GET", "k"}));
}

TEST_F(RealRedis, AFrozenOneIsGivenUp) {
    config.reply_timeout = 100ms;
    config.connect_timeout = 100ms;
    connect();
    server->freeze();
    EXPECT_EQ(call({"GET", "k"}, 50ms).error().code, Code::timeout);
    EXPECT_TRUE(until([this] { return !client->is_up(); }));
    EXPECT_EQ(call({"GET", "k"}).error().code, Code::unavailable);
    server->thaw();
    EXPECT_TRUE(until([this] { return client->is_up(); }));
    EXPECT_TRUE(call({"GET", "k"}));
}

TEST_F(RealRedis, PublishesAndSubscribes) {
    std::vector<std::string> heard;
    int subscribed = 0;
    config.ping_interval = 1s;
    RedisSubscription subscription(
        network,
        config,
        {"news"},
        {.on_message = [&](std::string_view,
                           std::string_view message) { heard.emplace_back(message); },
         .on_subscribed = [&] { ++subscribed; }},
        core::Logger()
    );
    connect();
    ASSERT_TRUE(until([&] { return subscribed == 1; }));
    EXPECT_EQ(call({"PUBLISH", "news", "one"})->integer, 1);
    EXPECT_TRUE(until([&] { return heard.size() == 1; }));
    server->kill();
    server->start();
    EXPECT_TRUE(until([&] { return subscribed == 2 && client->is_up(); }));
    EXPECT_EQ(call({"PUBLISH", "news", "two"})->integer, 1);
    EXPECT_TRUE(until([&] { return heard.size() == 2; }));
    EXPECT_THAT(heard, ElementsAre("one", "two"));
}

}  // namespace
}  // namespace datapunk::mesh::redis
