// The embedded backend on a log that is really on disk: the conformance suite, and a restart.

#include "io/epoll_loop.h"
#include "registry/embedded/embedded_backend.h"
#include "registry/test_conformance.h"
#include "store/log_test_support.h"

namespace datapunk::mesh::registry::embedded {
namespace {

using namespace std::chrono_literals;

class Durable final : public RegistryUnderTest {
  public:
    Durable() { start(); }

    // What a crash after an answer leaves behind is what the log holds.
    void restart() {
        backend_.reset();
        registry_.reset();
        start();
    }

    Backend& backend() override { return *backend_; }

    io::Loop& loop() override { return *loop_; }

  private:
    void start() {
        EmbeddedConfig config;
        config.node.name = "here";
        config.node.address = "127.0.0.1";
        auto opened = EmbeddedRegistry::open(
            *loop_, store::opened(directory_.file("registry.db")), config, core::Logger()
        );
        ASSERT_TRUE(opened) << opened.error().what;
        registry_ = *std::move(opened);
        backend_ = std::make_unique<EmbeddedBackend>(*registry_);
    }

    store::TemporaryDirectory directory_;
    std::unique_ptr<io::EpollLoop> loop_ = *io::EpollLoop::create();
    std::unique_ptr<EmbeddedRegistry> registry_;
    std::unique_ptr<EmbeddedBackend> backend_;
};

// One test: the behaviours with a TTL wait for real seconds, and share the registry.
TEST(EmbeddedOnDisk, PassesTheConformanceSuite) {
    Durable registry;
    for (const Behaviour& behaviour : behaviours()) {
        SCOPED_TRACE(behaviour.name);
        behaviour.run(registry);
    }
}

TEST(EmbeddedOnDisk, WhatWasAnsweredIsThereAfterARestart) {
    Durable registry;
    Conversation talk(registry, "kept");
    ServiceConfig config = talk.config_with_ttl(80);
    config.weight = 7;
    config.tags = {"v1"};
    config.meta = {{"zone", "a"}};
    ASSERT_TRUE(talk.add(config));
    ASSERT_TRUE(talk.beat(config.id, Health::warning));
    const Answer before = talk.until_health(Health::warning);
    registry.restart();
    const auto after = talk.wait(0, 0s);
    ASSERT_TRUE(after) << after.error().what;
    EXPECT_EQ(after->endpoints, before.endpoints);
    EXPECT_EQ(after->index, before.index);
    EXPECT_TRUE(*talk.has(config.id));
    ASSERT_TRUE(talk.beat(config.id, Health::passing));
    EXPECT_GT(talk.until_health(Health::passing).index, before.index);
}

}  // namespace
}  // namespace datapunk::mesh::registry::embedded
