// The backend on a real etcd (Debian's etcd-server): the conformance suite, and what happens when
// the server is killed, restarted with and without its data, or stops answering. PEERS=0 in the
// environment leaves them out.

#include <gtest/gtest.h>

#include "io/tcp.h"
#include "registry/etcd/etcd_backend.h"
#include "registry/etcd/range_reader.h"
#include "registry/test_conformance.h"
#include "registry/test_peers.h"

namespace datapunk::mesh::registry::etcd {
namespace {

using namespace std::chrono_literals;

class RealEtcd : public testing::Test, public RegistryUnderTest {
  public:
    void SetUp() override {
        if (!has_peers()) GTEST_SKIP() << "PEERS=0";
        start("data");
        backend_ = make({});
        ready(*backend_);
    }

    void start(const std::string& data) {
        const std::string client = "http://127.0.0.1:" + std::to_string(port_);
        const std::string peer = "http://127.0.0.1:" + std::to_string(peer_port_);
        const std::vector<std::string> command = {
            "etcd",
            "--name=n1",
            "--data-dir=" + directory_ / data,
            "--listen-client-urls=" + client,
            "--advertise-client-urls=" + client,
            "--listen-peer-urls=" + peer,
            "--initial-advertise-peer-urls=" + peer,
            "--initial-cluster=n1=" + peer,
            "--heartbeat-interval=20",  // it elects itself at each start, and has nobody to lose to
            "--election-timeout=200",
            "--logger=zap",
            "--log-level=error"
        };
        process_.emplace(command, directory_ / "log");
    }

    void kill() { process_.reset(); }

    std::unique_ptr<EtcdBackend> make(EtcdConfig config) {
        config.endpoints = {{.port = port_}};
        config.node = "a-test";
        if (config.lease_ttl == EtcdConfig{}.lease_ttl) config.lease_ttl = 5s;
        config.request_timeout = 1s;
        return *EtcdBackend::create(network_, config, core::Logger());
    }

    // Until it answers.
    void ready(Backend& backend) {
        Conversation talk(*this, "ready");
        const Instant end = loop_->now() + 20s;
        for (;;) {
            const auto answer = talk.value(backend.services(loop_->now() + 1s));
            if (answer) return;
            ASSERT_LT(loop_->now(), end) << answer.error().what << "; see " << directory_ / "log";
            ASSERT_TRUE(talk.value(pause(50ms)));
        }
    }

    io::Task<Result<>> pause(Duration time) {
        co_await io::sleep_for(*loop_, time);
        co_return Ok{};
    }

    Backend& backend() override { return *backend_; }

    io::Loop& loop() override { return *loop_; }

    std::unique_ptr<io::EpollLoop> loop_ = *io::EpollLoop::create();
    io::KernelNetwork network_{*loop_};
    PeerDirectory directory_{"etcd"};
    std::uint16_t port_ = free_port();
    std::uint16_t peer_port_ = free_port();
    std::optional<Peer> process_;
    std::unique_ptr<EtcdBackend> backend_;
};

TEST_F(RealEtcd, PassesTheConformanceSuite) {
    for (const Behaviour& behaviour : behaviours()) {
        SCOPED_TRACE(behaviour.name);
        behaviour.run(*this);
    }
}

TEST_F(RealEtcd, KeepsRegistrationsThroughKillAndRestart) {
    Conversation talk(*this, "survivor");
    ASSERT_TRUE(talk.add(talk.config(80)));
    const Answer before = talk.until_size(1);
    PendingWait pending(talk, before.index, 15s);
    kill();
    EXPECT_TRUE(pending.ends_within(10s)) << "a broken watch is an error, not silence";
    const auto away = talk.wait(0, 0s);
    ASSERT_FALSE(away);
    EXPECT_EQ(away.error().code, Code::unavailable) << away.error().what;
    EXPECT_TRUE(away.error().retryable);
    start("data");
    ready(*backend_);
    const auto after = talk.wait(0, 0s);
    ASSERT_TRUE(after) << after.error().what;
    EXPECT_EQ(after->endpoints, before.endpoints);
    EXPECT_GE(after->index, before.index);
    EXPECT_TRUE(*talk.has(before.endpoints.at(0).id));
}

TEST_F(RealEtcd, RegistersAgainAtAnEtcdThatLostItsData) {
    Conversation talk(*this, "lost");
    ServiceConfig config = talk.config_with_ttl(80);
    for (int i = 0; i < 20; ++i) {  // so that the index is far above the new one's
        ASSERT_TRUE(talk.add(config));
    }
    ASSERT_TRUE(talk.beat(config.id, Health::passing));
    const Answer before = talk.until_health(Health::passing);
    kill();
    start("other-data");
    ready(*backend_);
    const Answer again = talk.until([&](const auto& now) { return now == before.endpoints; });
    EXPECT_LT(again.index, before.index);
    EXPECT_TRUE(*talk.has(config.id));
    // The watch is a good one: what happens next is heard at once.
    PendingWait pending(talk, again.index, 15s);
    ASSERT_TRUE(talk.beat(config.id, Health::warning));
    ASSERT_TRUE(pending.ends_within(5s));
    EXPECT_EQ(pending.answer().endpoints.at(0).health, Health::warning);
}

TEST_F(RealEtcd, WhatAProcessRegisteredEndsWithIt) {
    Conversation talk(*this, "mortal");
    auto mortal = make({});
    ASSERT_TRUE(talk.value(mortal->register_service(talk.config(80), talk.deadline())));
    talk.until_size(1);
    mortal.reset();
    const Instant start = loop_->now();
    talk.until_size(0);
    EXPECT_GE(loop_->now() - start, 2s) << "by its lease, not by saying good-bye";
}

TEST_F(RealEtcd, AnEtcdThatHangsIsATimeoutAndThenGoesOn) {
    Conversation talk(*this, "stopped");
    ASSERT_TRUE(talk.add(talk.config(80)));
    const Answer before = talk.until_size(1);
    process_->signal(SIGSTOP);
    const auto silence =
        talk.value(backend_->wait("stopped", before.index, 200ms, loop_->now() + 1s));
    ASSERT_FALSE(silence) << "nothing has been confirmed";
    EXPECT_EQ(silence.error().code, Code::timeout) << silence.error().what;
    process_->signal(SIGCONT);
    PendingWait pending(talk, before.index, 15s);
    ASSERT_TRUE(talk.add(talk.config(81)));
    ASSERT_TRUE(pending.ends_within(5s));
    EXPECT_EQ(pending.answer().endpoints.size(), 2U);
}

TEST_F(RealEtcd, ACompactedWatchReadsEverythingAnew) {
    Conversation talk(*this, "compacted");
    ASSERT_TRUE(talk.add(talk.config(80)));
    EtcdClient client(network_, {.endpoints = {{.port = port_}}}, nullptr, core::Logger());
    const auto reader = make({});
    const auto before = talk.value(reader->wait("compacted", 0, 0s, talk.deadline()));
    ASSERT_TRUE(before);
    // While it does not watch, history goes on and its beginning is forgotten.
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(talk.add(talk.config(81)));
    const auto now = talk.value(read_prefix(client, "/dpmesh/", talk.deadline()));
    ASSERT_TRUE(now);
    const std::string body =
        R"({"revision":")" + std::to_string(now->position.revision) + R"(","physical":true})";
    ASSERT_TRUE(talk.value(client.ask("/v3/kv/compaction", body, talk.deadline())));
    const auto after = talk.value(reader->wait("compacted", before->index, 15s, talk.deadline()));
    ASSERT_TRUE(after) << after.error().what;
    EXPECT_EQ(after->endpoints.size(), 2U);
    EXPECT_GT(after->index, before->index);
    // And it watches from there.
    ASSERT_TRUE(talk.add(talk.config(82)));
    const auto later = talk.value(reader->wait("compacted", after->index, 15s, talk.deadline()));
    ASSERT_TRUE(later) << later.error().what;
    EXPECT_EQ(later->endpoints.size(), 3U);
}

TEST_F(RealEtcd, LogsInWhereAuthenticationIsOn) {
    EtcdClient root(network_, {.endpoints = {{.port = port_}}}, nullptr, core::Logger());
    Conversation talk(*this, "guarded");
    const auto say = [&](const std::string& path, const std::string& body) {
        const auto done = talk.value(root.ask(path, body, talk.deadline()));
        ASSERT_TRUE(done) << done.error().what;
    };
    say("/v3/auth/user/add", R"({"name":"root","password":"secret"})");
    say("/v3/auth/role/add", R"({"name":"root"})");
    say("/v3/auth/user/grant", R"({"user":"root","role":"root"})");
    say("/v3/auth/enable", "{}");
    const auto refused = talk.wait(0, 0s);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::denied) << refused.error().what;  // "user name is empty"
    backend_ = make({.user = "root", .password = "wrong"});
    const auto wrong = talk.wait(0, 0s);
    ASSERT_FALSE(wrong);
    EXPECT_EQ(wrong.error().code, Code::denied) << wrong.error().what;
    EXPECT_THAT(wrong.error().what, testing::Not(testing::HasSubstr("secret")));
    backend_ = make({.user = "root", .password = "secret"});
    ASSERT_TRUE(talk.add(talk.config(80)));
    talk.until_size(1);
    // The token is worth nothing to the server that comes after.
    kill();
    start("data");
    ready(*backend_);
    const auto added = talk.add(talk.config(81));
    ASSERT_TRUE(added) << added.error().what;
    talk.until_size(2);
}

}  // namespace
}  // namespace datapunk::mesh::registry::etcd
