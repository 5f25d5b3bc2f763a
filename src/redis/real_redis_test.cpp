// The client against Debian's redis-server. PEERS=0 in the environment leaves it out.

#include <gmock/gmock.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "io/epoll_loop.h"
#include "io/tcp.h"
#include "io/test_certificates.h"
#include "io/tls.h"
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
        ASSERT_TRUE(until([this] { return client->is_up(); }));
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

// A server behind TLS whose users come from its access control list.
class SecureRedis : public RealRedis {
  public:
    void SetUp() override {
        if (!TestRedisServer::is_wanted()) GTEST_SKIP() << "PEERS=0";
        std::string pattern = testing::TempDir() + "redis-XXXXXX";
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        folder_ = pattern;
        const auto theirs =
            io::make_test_certificate({.common_name = "redis", .names = "DNS:redis.test"}, &ca_);
        const std::vector<std::string> options = {
            "--tls-cert-file",
            file("redis.pem", theirs.certificate),
            "--tls-key-file",
            file("redis.key", theirs.key),
            "--tls-ca-cert-file",
            file("ca.pem", ca_.certificate),
            "--tls-auth-clients",
            "yes",
            "--user",
            "default",
            "off",
            "--user",
            "mesh",
            "on",
            ">secret",
            "~dpmesh:*",
            "&dpmesh:*",
            "+@connection",
            "+@read",
            "+@write",
            "+@pubsub",
            "+acl|whoami"
        };
        server.emplace(io::random_seed(), options, "--tls-port");
        const io::TestCertificate ours = io::make_test_certificate({.common_name = "us"}, &ca_);
        shared.host = "127.0.0.1";
        shared.port = server->port();
        shared.username = "mesh";
        shared.password = "secret";
        shared.tls = true;
        shared.tls_ca = ca_.certificate;
        shared.tls_certificate = file("us.pem", ours.certificate);
        shared.tls_private_key = file("us.key", ours.key);
        shared.tls_server_name = "redis.test";
        config = told(shared);
    }

    // As the library's options and the agent's configuration say it.
    RedisConfig told(const SharedCacheConfig& options) {
        auto made = config_of(options, {});
        EXPECT_TRUE(made) << made.error().what;
        made->reconnect.max = 200ms;
        return *std::move(made);
    }

    void TearDown() override {
        std::error_code ignored;
        if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
    }

    // Whether somebody with this configuration is turned away.
    bool is_refused(RedisConfig other) {
        RedisClient stranger(network, std::move(other), core::Logger());
        const bool failed = until([&] { return stranger.stats().failures >= 2; });
        return failed && !stranger.is_up() && stranger.stats().connections == 0;
    }

    SharedCacheConfig shared;

  private:
    std::string file(const std::string& name, const std::string& text) {
        std::ofstream(folder_ / name) << text;
        return folder_ / name;
    }

    std::filesystem::path folder_;
    io::TestCertificate ca_ = io::make_test_certificate({.common_name = "ca", .is_ca = true});
};

TEST_F(SecureRedis, ServesTheUserThatItKnowsOverTls) {
    connect();
    EXPECT_EQ(call({"ACL", "WHOAMI"})->text, "mesh");
    EXPECT_EQ(call({"SET", "dpmesh:k", "v"})->text, "OK");
    EXPECT_EQ(call({"GET", "dpmesh:k"})->text, "v");
    const auto refused = call({"GET", "others"});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::denied) << refused.error().what;
    std::vector<std::string> heard;
    bool is_subscribed = false;
    RedisSubscription subscription(
        network,
        config,
        {"dpmesh:news"},
        {.on_message = [&](std::string_view,
                           std::string_view message) { heard.emplace_back(message); },
         .on_subscribed = [&] { is_subscribed = true; }},
        core::Logger()
    );
    ASSERT_TRUE(until([&] { return is_subscribed; }));
    EXPECT_EQ(call({"PUBLISH", "dpmesh:news", "one"})->integer, 1);
    EXPECT_TRUE(until([&] { return heard.size() == 1; }));
}

TEST_F(SecureRedis, TurnsAwayWhoDoesNotProveWhoTheyAre) {
    connect();
    RedisConfig other = config;
    other.password = "wrong";
    EXPECT_TRUE(is_refused(other)) << "the password";
    other = config;
    other.username.clear();
    EXPECT_TRUE(is_refused(other)) << "the user that everybody is";
    SharedCacheConfig nameless = shared;
    nameless.tls_certificate.clear();
    nameless.tls_private_key.clear();
    EXPECT_TRUE(is_refused(told(nameless))) << "without a certificate";
    const auto stranger = io::make_test_certificate({.common_name = "us"});
    nameless.tls_certificate = stranger.certificate;
    nameless.tls_private_key = stranger.key;
    EXPECT_TRUE(is_refused(told(nameless))) << "with a certificate of its own making";
    other = config;
    other.tls = nullptr;
    EXPECT_TRUE(is_refused(other)) << "without TLS";
}

TEST_F(SecureRedis, AKeyThatIsNotTheCertificatesIsAnErrorAtOnce) {
    shared.tls_private_key = io::make_test_certificate({.common_name = "us"}).key;
    const auto made = config_of(shared, {});
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, Code::invalid);
    shared.tls_private_key = "/no/such.key";
    EXPECT_THAT(config_of(shared, {}).error().what, testing::HasSubstr("/no/such.key"));
}

TEST_F(SecureRedis, IsNotTrustedIfItIsNotWhoIsMeant) {
    connect();
    SharedCacheConfig other = shared;
    other.tls_server_name = "another.test";
    EXPECT_TRUE(is_refused(told(other)));
    other = shared;
    other.tls_ca = io::make_test_certificate({.common_name = "other", .is_ca = true}).certificate;
    EXPECT_TRUE(is_refused(told(other)));
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
