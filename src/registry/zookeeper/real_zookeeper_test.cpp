// The backend on a real ZooKeeper (Debian's, a Java program): the conformance suite, and what
// happens when the session is lost, and when the server is killed and restarted with and without
// its data. PEERS=0 in the environment leaves them out.

#include <gtest/gtest.h>

#include <fstream>

#include "io/tcp.h"
#include "registry/test_conformance.h"
#include "registry/test_peers.h"
#include "registry/zookeeper/zookeeper_backend.h"

namespace datapunk::mesh::registry::zookeeper {
namespace {

using namespace std::chrono_literals;

// Started once; a test that kills it starts it again.
class Server {
  public:
    void start(const std::string& data) {
        const std::string config = directory_ / "zoo.cfg";
        std::ofstream(config) << "tickTime=250\n"  // sessions of 0.5 s to 5 s
                              << "dataDir=" << (directory_ / data) << "\n"
                              << "clientPort=" << port_ << "\n"
                              << "clientPortAddress=127.0.0.1\n"
                              << "admin.enableServer=false\n"
                              << "maxClientCnxns=0\n";
        std::filesystem::create_directories(directory_ / data);
        const std::vector<std::string> command = {
            "java",
            "-Xmx128m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Xshare:auto",
            "-cp",
            "/usr/share/java/zookeeper.jar",
            "org.apache.zookeeper.server.quorum.QuorumPeerMain",
            config
        };
        process_.emplace(command, directory_ / "log");
    }

    void kill() { process_.reset(); }

    std::uint16_t port() const { return port_; }

    std::string log() const { return directory_ / "log"; }

  private:
    PeerDirectory directory_{"zookeeper"};
    std::uint16_t port_ = free_port();
    std::optional<Peer> process_;
};

// One process's view: a loop of its own, which stands still unless it is asked something.
class Client : public RegistryUnderTest {
  public:
    explicit Client(std::uint16_t port, Duration session = 2s)
        : Client(config_for(port, session)) {}

    explicit Client(const ZookeeperConfig& config) {
        backend_ = *create_zookeeper(*loop_, network_, config, core::Logger());
    }

    static ZookeeperConfig config_for(std::uint16_t port, Duration session = 2s) {
        ZookeeperConfig config{.servers = {{.port = port}}};
        config.prefix = "/mesh/of-a-test";
        config.node = "a-test";
        config.session_timeout = session;
        return config;
    }

    Backend& backend() override { return *backend_; }

    io::Loop& loop() override { return *loop_; }

    // Until it is connected.
    void ready(const std::string& log) {
        Conversation talk(*this, "ready");
        const Instant end = loop_->now() + 30s;
        for (;;) {
            const auto answer = talk.value(backend_->services(talk.deadline()));
            if (answer) return;
            ASSERT_LT(loop_->now(), end) << answer.error().what << "; see " << log;
        }
    }

    void end() { backend_.reset(); }

  private:
    std::unique_ptr<io::EpollLoop> loop_ = *io::EpollLoop::create();
    io::KernelNetwork network_{*loop_};
    std::unique_ptr<Backend> backend_;
};

class RealZookeeper : public testing::Test {
  public:
    static void SetUpTestSuite() {
        if (!has_peers() || !is_built_in()) return;
        server_ = std::make_unique<Server>();
        server_->start("data");
    }

    static void TearDownTestSuite() { server_.reset(); }

    void SetUp() override {
        if (!has_peers()) GTEST_SKIP() << "PEERS=0";
        if (!is_built_in()) GTEST_SKIP() << "built without ZooKeeper";
        client_ = std::make_unique<Client>(server_->port());
        client_->ready(server_->log());
    }

    static std::unique_ptr<Server> server_;
    std::unique_ptr<Client> client_;
};

std::unique_ptr<Server> RealZookeeper::server_;

TEST_F(RealZookeeper, PassesTheConformanceSuite) {
    for (const Behaviour& behaviour : behaviours()) {
        SCOPED_TRACE(behaviour.name);
        behaviour.run(*client_);
    }
}

TEST_F(RealZookeeper, WhatAProcessRegisteredEndsWithIt) {
    Client other(server_->port());
    Conversation talk(*client_, "mortal");
    Conversation theirs(other, "mortal");
    ASSERT_TRUE(theirs.add(theirs.config(80)));
    const Answer before = talk.until_size(1);
    EXPECT_EQ(before.endpoints[0].node, "a-test");
    other.end();
    EXPECT_GT(talk.until_size(0).index, before.index);
}

TEST_F(RealZookeeper, MakesEverythingAgainWhenItsSessionIsOver) {
    Client other(server_->port(), 1s);
    Conversation talk(*client_, "expired");
    Conversation theirs(other, "expired");
    const ServiceConfig config = theirs.config_with_ttl(80);
    ASSERT_TRUE(theirs.add(config));
    ASSERT_TRUE(theirs.beat(config.id, Health::passing));
    talk.until_health(Health::passing);
    const Answer known = theirs.until_size(1);
    // Its loop stands still, so the server hears nothing of it.
    talk.until_size(0);
    const Answer again = theirs.until([&](const auto& now) { return now == known.endpoints; });
    EXPECT_GT(again.index, known.index);
    talk.until_health(Health::passing);
    PendingWait pending(theirs, again.index, 15s);
    ASSERT_TRUE(talk.add(talk.config(81)));
    ASSERT_TRUE(pending.ends_within(5s)) << "its watches are there again too";
}

TEST_F(RealZookeeper, TheNewestRegistrationOfAnIdHoldsIt) {
    Client other(server_->port());
    Conversation talk(*client_, "contended");
    Conversation theirs(other, "contended");
    ServiceConfig config = talk.config_with_ttl(80);
    config.id = "one";
    ASSERT_TRUE(talk.add(config));
    config.port = 81;
    ASSERT_TRUE(theirs.add(config));
    EXPECT_EQ(talk.until_size(1).endpoints.at(0).port, 81);
    const auto beaten = talk.beat("one", Health::passing);
    ASSERT_FALSE(beaten);
    EXPECT_EQ(beaten.error().code, Code::conflict) << beaten.error().what;
    const auto removed = talk.deregister("one");
    ASSERT_FALSE(removed) << "it is the other's";
    EXPECT_EQ(removed.error().code, Code::not_found);
    EXPECT_TRUE(*theirs.has("one"));
}

TEST_F(RealZookeeper, KeepsRegistrationsThroughKillAndRestart) {
    Conversation talk(*client_, "survivor");
    ASSERT_TRUE(talk.add(talk.config(80)));
    const Answer before = talk.until_size(1);
    PendingWait pending(talk, before.index, 15s);
    server_->kill();
    EXPECT_TRUE(pending.ends_within(10s)) << "an outage is an error, not silence";
    const auto away = talk.wait(0, 0s);
    ASSERT_FALSE(away);
    EXPECT_EQ(away.error().code, Code::unavailable) << away.error().what;
    server_->start("data");
    client_->ready(server_->log());
    const Answer after = talk.until([&](const auto& now) { return now == before.endpoints; });
    EXPECT_GE(after.index, before.index);
    EXPECT_TRUE(*talk.has(before.endpoints.at(0).id));
}

TEST_F(RealZookeeper, RegistersAgainAtAZookeeperThatLostItsData) {
    Conversation talk(*client_, "lost");
    const ServiceConfig config = talk.config_with_ttl(80);
    for (int i = 0; i < 20; ++i) {
        ASSERT_TRUE(talk.add(config));
        ASSERT_TRUE(talk.deregister(config.id));
    }
    ASSERT_TRUE(talk.add(config));
    ASSERT_TRUE(talk.beat(config.id, Health::passing));
    const Answer before = talk.until_health(Health::passing);
    server_->kill();
    server_->start("other-data");
    client_->ready(server_->log());
    const Answer again = talk.until([&](const auto& now) { return now == before.endpoints; });
    EXPECT_LT(again.index, before.index);
    PendingWait pending(talk, again.index, 15s);
    ASSERT_TRUE(talk.beat(config.id, Health::warning));
    ASSERT_TRUE(pending.ends_within(5s));
}

// With digest authentication: what is made belongs to one user.
class ZookeeperDigest : public RealZookeeper {
  public:
    static ZookeeperConfig of(const std::string& user, const std::string& password) {
        ZookeeperConfig config = Client::config_for(server_->port());
        config.prefix = "/private/of-a-test";
        config.user = user;
        config.password = password;
        return config;
    }

    void SetUp() override {
        RealZookeeper::SetUp();
        if (IsSkipped()) return;
        owner_ = std::make_unique<Client>(of("mesh", "a-secret"));
        owner_->ready(server_->log());
    }

    // Whether the owner's registrations can be neither read nor written so, and the error says why
    // without the password.
    static void expect_denied(const ZookeeperConfig& config) {
        Client stranger(config);
        Conversation talk(stranger, "owned");
        const auto denied = [&](const Error& error) {
            EXPECT_EQ(error.code, Code::denied) << error.what;
            EXPECT_EQ(error.what.find("secret"), std::string::npos) << error.what;
        };
        const auto added = talk.add(talk.config(90));
        ASSERT_FALSE(added);
        denied(added.error());
        const auto seen = talk.wait(0, 0s);
        ASSERT_FALSE(seen);
        denied(seen.error());
        const auto listed = talk.value(stranger.backend().services(talk.deadline()));
        ASSERT_FALSE(listed);
        denied(listed.error());
    }

    std::unique_ptr<Client> owner_;
};

TEST_F(ZookeeperDigest, PassesTheConformanceSuite) {
    for (const Behaviour& behaviour : behaviours()) {
        SCOPED_TRACE(behaviour.name);
        behaviour.run(*owner_);
    }
}

TEST_F(ZookeeperDigest, OnlyItsUserReadsAndWritesWhatIsThere) {
    Conversation talk(*owner_, "owned");
    ASSERT_TRUE(talk.add(talk.config(80)));
    ASSERT_EQ(talk.until_size(1).endpoints.at(0).port, 80);
    expect_denied(of("", ""));
    expect_denied(of("mesh", "another-secret"));
    expect_denied(of("somebody", "a-secret"));
    Client same(of("mesh", "a-secret"));
    Conversation theirs(same, "owned");
    EXPECT_EQ(theirs.until_size(1).endpoints.at(0).port, 80) << "another process of the user";
    EXPECT_EQ(talk.until_size(1).endpoints.at(0).port, 80);
}

TEST_F(ZookeeperDigest, LogsInAgainWhenItsSessionIsOver) {
    ZookeeperConfig config = of("mesh", "a-secret");
    config.session_timeout = 1s;
    Client other(config);
    Conversation talk(*owner_, "relogged");
    Conversation theirs(other, "relogged");
    ASSERT_TRUE(theirs.add(theirs.config(80)));
    const Answer known = theirs.until_size(1);
    talk.until_size(0);  // the other's loop stands still: the server hears nothing of it
    theirs.until([&](const auto& now) { return now == known.endpoints; });
    EXPECT_EQ(talk.until_size(1).endpoints, known.endpoints);
}

TEST(ZookeeperConfig, IsChecked) {
    EXPECT_TRUE(check({}));
    EXPECT_FALSE(check({.servers = {}}));
    EXPECT_FALSE(check({.servers = {{.host = ""}}}));
    for (const char* prefix : {"", "/", "mesh", "/mesh/", "/a//b", "/a/../b", "/a/./b"}) {
        EXPECT_FALSE(check({.prefix = prefix})) << prefix;
    }
    EXPECT_TRUE(check({.prefix = "/a/.b/c"}));
    EXPECT_FALSE(check({.user = "a"}));
    EXPECT_FALSE(check({.user = "a:b", .password = "c"}));
    EXPECT_FALSE(check({.session_timeout = 999ms}));
    EXPECT_FALSE(check({.connect_timeout = 49ms}));
}

}  // namespace
}  // namespace datapunk::mesh::registry::zookeeper
