#include "redis/redis_client.h"

#include <gmock/gmock.h>

#include "redis/fake_redis.h"
#include "redis/redis_subscription.h"
#include "sim/run.h"
#include "sim/sim_world.h"

namespace datapunk::mesh::redis {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;
using wire::resp::RespValue;

constexpr const char* kHere = "10.0.0.1";
constexpr const char* kThere = "10.0.0.2";

class RedisTest : public testing::Test {
  public:
    RedisTest() { make_server(); }

    void make_server() {
        server = std::make_unique<FakeRedis>(world.host(kThere), *io::parse_ip(kThere, 6379));
    }

    void connect() {
        client = std::make_unique<RedisClient>(world.host(kHere), config, core::Logger());
        world.loop().run_for(1s);
    }

    Result<RespValue> call(std::vector<std::string> words, Duration limit = 200ms) {
        const Instant deadline = world.loop().now() + limit;
        auto result =
            sim::run_on(world.loop(), client->call(std::move(words), deadline), limit + 1s);
        if (!result) return Error{.what = "call() did not end"};
        return *std::move(result);
    }

    sim::SimWorld world{sim::seed_for_test(1)};
    RedisConfig config{.host = kThere};
    std::unique_ptr<FakeRedis> server;
    std::unique_ptr<RedisClient> client;
};

TEST_F(RedisTest, SetsAndGets) {
    connect();
    EXPECT_EQ(call({"SET", "k", "v"})->text, "OK");
    EXPECT_EQ(call({"GET", "k"})->text, "v");
    EXPECT_TRUE(call({"GET", "other"})->is_null());
    EXPECT_EQ(client->stats().calls, 3U);
}

TEST_F(RedisTest, AuthenticatesAndSelectsOnce) {
    server->password = "secret";
    config.username = "mesh";
    config.password = "secret";
    config.database = 3;
    connect();
    EXPECT_TRUE(call({"GET", "k"}));
    EXPECT_THAT(
        server->log,
        ElementsAre(
            ElementsAre("AUTH", "mesh", "secret"),
            ElementsAre("SELECT", "3"),
            ElementsAre("PING"),
            ElementsAre("GET", "k")
        )
    );
}

TEST_F(RedisTest, AWrongPasswordIsAnErrorThatDoesNotShowIt) {
    server->password = "right";
    config.password = "wrong";
    connect();
    EXPECT_FALSE(client->is_up());
    const auto refused = call({"GET", "k"});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::unavailable);
    EXPECT_THAT(refused.error().what, HasSubstr("WRONGPASS"));
    EXPECT_THAT(refused.error().what, testing::Not(HasSubstr("wrong")));
}

TEST_F(RedisTest, WhatIsAskedInOneTurnGoesOutTogetherAndComesBackInOrder) {
    server->more = [](const FakeRedis::Words& words) -> std::optional<RespValue> {
        if (words[0] != "ECHO") return std::nullopt;
        return FakeRedis::text(words[1]);
    };
    connect();
    std::vector<std::string> heard;
    const auto ask = [](RedisClient* from, int i, Instant deadline, std::vector<std::string>* out
                     ) -> io::Task<void> {
        std::vector<std::string> words = {"ECHO", std::to_string(i)};
        auto reply = co_await from->call(std::move(words), deadline);
        out->push_back(reply ? reply->text : reply.error().what);
    };
    io::TaskGroup tasks;
    std::vector<std::string> expected;
    for (int i = 0; i < 100; ++i) {
        tasks.spawn(ask(client.get(), i, world.loop().now() + 1s, &heard));
        expected.push_back(std::to_string(i));
    }
    const Instant begun = world.loop().now();
    world.loop().run_for(10ms);
    EXPECT_EQ(heard, expected);
    EXPECT_LE(world.loop().now() - begun, 20ms);  // not a hundred round trips of 2 ms
}

TEST_F(RedisTest, WithoutAConnectionACallFailsAtOnce) {
    server.reset();
    connect();
    const Instant begun = world.loop().now();
    for (int i = 0; i < 10; ++i) {
        const auto refused = call({"GET", "k"});
        ASSERT_FALSE(refused);
        EXPECT_EQ(refused.error().code, Code::unavailable);
        EXPECT_TRUE(refused.error().retryable);
    }
    EXPECT_EQ(world.loop().now(), begun);
    EXPECT_EQ(client->stats().refused, 10U);
}

TEST_F(RedisTest, ConnectsAgainWithPausesThatGrow) {
    server.reset();
    connect();
    world.loop().run_for(1min);
    const auto tries = client->stats().failures;
    EXPECT_GE(tries, 8U);
    EXPECT_LE(tries, 60U);
    make_server();
    world.loop().run_for(11s);
    EXPECT_TRUE(client->is_up());
    EXPECT_TRUE(call({"GET", "k"}));
}

TEST_F(RedisTest, AConnectionThatBreaksFailsWhatWasUnderWayAndComesBack) {
    server->takes = 50ms;
    connect();
    const auto drop = [](sim::SimWorld* sim, FakeRedis* redis) -> io::Task<void> {
        co_await io::sleep_for(sim->loop(), 10ms);
        redis->drop_all();
    };
    io::TaskGroup tasks;
    tasks.spawn(drop(&world, server.get()));
    const auto cut = call({"GET", "k"});
    ASSERT_FALSE(cut);
    EXPECT_EQ(cut.error().code, Code::unavailable);
    world.loop().run_for(1s);
    EXPECT_TRUE(call({"GET", "k"}));
    EXPECT_EQ(client->stats().connections, 2U);
}

TEST_F(RedisTest, AServerThatHangsCostsEachCallItsDeadlineAndThenNothing) {
    connect();
    server->is_silent = true;
    const Instant begun = world.loop().now();
    EXPECT_EQ(call({"GET", "k"}, 50ms).error().code, Code::timeout);
    EXPECT_LE(world.loop().now() - begun, 52ms);
    world.loop().run_for(1s);  // reply_timeout
    EXPECT_FALSE(client->is_up());
    const Instant after = world.loop().now();
    EXPECT_EQ(call({"GET", "k"}, 50ms).error().code, Code::unavailable);
    EXPECT_EQ(world.loop().now(), after);
    server->is_silent = false;
    world.loop().run_for(20s);
    EXPECT_TRUE(call({"GET", "k"}));
}

TEST_F(RedisTest, ALateAnswerIsNotTakenForTheNextOne) {
    connect();
    ASSERT_TRUE(call({"SET", "a", "1"}));
    ASSERT_TRUE(call({"SET", "b", "2"}));
    server->takes = 100ms;
    EXPECT_EQ(call({"GET", "a"}, 50ms).error().code, Code::timeout);
    EXPECT_EQ(call({"GET", "b"}, 500ms)->text, "2");
}

TEST_F(RedisTest, ACallThatIsCancelledHurtsNobody) {
    connect();
    ASSERT_TRUE(call({"SET", "b", "2"}));
    server->takes = 100ms;
    {
        io::TaskGroup tasks;
        const auto ask = [](RedisClient* from, Instant deadline) -> io::Task<void> {
            std::vector<std::string> words = {"GET", "a"};
            auto reply = co_await from->call(std::move(words), deadline);
            (void)reply;
        };
        tasks.spawn(ask(client.get(), world.loop().now() + 1s));
        world.loop().run_for(10ms);
    }
    EXPECT_EQ(call({"GET", "b"}, 500ms)->text, "2");
}

TEST_F(RedisTest, TheQueueIsBounded) {
    config.queue_max = 4;
    config.queue_bytes_max = 1000;
    connect();
    server->is_silent = true;
    EXPECT_EQ(call({"SET", "k", std::string(1000, 'x')}).error().code, Code::exhausted);
    const auto ask = [](RedisClient* from, Instant deadline) -> io::Task<void> {
        std::vector<std::string> words = {"GET", "a"};
        auto reply = co_await from->call(std::move(words), deadline);
        (void)reply;
    };
    io::TaskGroup tasks;
    for (int i = 0; i < 4; ++i) tasks.spawn(ask(client.get(), world.loop().now() + 1s));
    const auto refused = call({"GET", "k"});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::exhausted);
    EXPECT_THAT(refused.error().what, HasSubstr("4 commands wait"));
}

TEST_F(RedisTest, ErrorRepliesSayWhatKindOfErrorTheyAre) {
    connect();
    server->keys["h"] = {.is_hash = true};
    EXPECT_EQ(call({"GET", "h"}).error().code, Code::conflict);
    server->is_full = true;
    EXPECT_EQ(call({"SET", "k", "v"}).error().code, Code::exhausted);
    EXPECT_EQ(call({"NONSENSE"}).error().code, Code::invalid);
    EXPECT_TRUE(client->is_up());
}

TEST_F(RedisTest, SomethingThatIsNotRedisIsLeftAlone) {
    connect();
    server->garbage = "HTTP/1.1 400 Bad Request\r\n\r\n";
    const auto broken = call({"GET", "k"});
    ASSERT_FALSE(broken);
    EXPECT_THAT(broken.error().what, HasSubstr("makes no sense"));
    EXPECT_FALSE(client->is_up());
}

TEST_F(RedisTest, APeerThatDiedSilentlyIsNoticedWithoutTraffic) {
    connect();
    ASSERT_TRUE(client->is_up());
    world.kill(kThere);
    world.loop().run_for(config.ping_interval + config.reply_timeout + 1s);
    EXPECT_FALSE(client->is_up());
}

TEST_F(RedisTest, ASubscriptionHearsWhatIsPublished) {
    std::vector<std::string> heard;
    int subscribed = 0;
    RedisSubscription subscription(
        world.host(kHere),
        config,
        {"news", "weather"},
        {.on_message = [&](std::string_view channel, std::string_view message
                       ) { heard.push_back(std::string(channel) + ": " + std::string(message)); },
         .on_subscribed = [&] { ++subscribed; }},
        core::Logger()
    );
    world.loop().run_for(1s);
    EXPECT_TRUE(subscription.is_listening());
    EXPECT_EQ(subscribed, 1);
    EXPECT_EQ(server->publish("news", "one"), 1);
    server->publish("weather", "rain");
    server->publish("sport", "nil");
    world.loop().run_for(1s);
    EXPECT_THAT(heard, ElementsAre("news: one", "weather: rain"));
}

TEST_F(RedisTest, ASubscriptionSurvivesSilenceAndReconnects) {
    std::vector<std::string> heard;
    int subscribed = 0;
    RedisSubscription subscription(
        world.host(kHere),
        config,
        {"news"},
        {.on_message = [&](std::string_view,
                           std::string_view message) { heard.emplace_back(message); },
         .on_subscribed = [&] { ++subscribed; }},
        core::Logger()
    );
    world.loop().run_for(5min);
    EXPECT_EQ(subscribed, 1) << "an idle connection was given up";
    EXPECT_GE(server->count("PING"), 15U);
    server->drop_all();
    world.loop().run_for(1s);
    EXPECT_EQ(subscribed, 2);
    server->publish("news", "after");
    world.loop().run_for(1s);
    EXPECT_THAT(heard, ElementsAre("after"));
    world.kill(kThere);  // no reset: only the missing answer to a PING tells
    world.loop().run_for(20s);
    EXPECT_FALSE(subscription.is_listening());
}

TEST(RedisConfigCheck, NamesEverythingThatIsWrong) {
    EXPECT_TRUE(check(RedisConfig{}));
    const auto verdict =
        check(RedisConfig{.host = "", .port = 0, .username = "u", .database = 1024, .queue_max = 0}
        );
    ASSERT_FALSE(verdict);
    EXPECT_EQ(
        verdict.error().what,
        "redis: host must have 1 to 253 bytes; port must be 1 .. 65535; username needs a password; "
        "database must be 0 .. 1023; queue_max must be 1 .. 65536"
    );
}

}  // namespace
}  // namespace datapunk::mesh::redis
