#include "registry/embedded/embedded_backend.h"

#include "registry/embedded/volatile_log.h"
#include "registry/test_conformance.h"
#include "sim/run.h"
#include "sim/sim_loop.h"

namespace datapunk::mesh::registry::embedded {
namespace {

class Embedded final : public RegistryUnderTest {
  public:
    Embedded() {
        EmbeddedConfig config;
        config.node.name = "here";
        config.node.address = "127.0.0.1";
        auto opened =
            EmbeddedRegistry::open(loop_, std::make_unique<VolatileLog>(), config, core::Logger());
        EXPECT_TRUE(opened) << opened.error().what;
        registry_ = *std::move(opened);
        backend_ = std::make_unique<EmbeddedBackend>(*registry_);
    }

    Backend& backend() override { return *backend_; }

    io::Loop& loop() override { return loop_; }

    EmbeddedRegistry& registry() { return *registry_; }

  private:
    sim::SimLoop loop_{sim::seed_for_test(1)};
    std::unique_ptr<EmbeddedRegistry> registry_;
    std::unique_ptr<EmbeddedBackend> backend_;
};

class EmbeddedConformance : public testing::TestWithParam<Behaviour> {};

TEST_P(EmbeddedConformance, Holds) {
    Embedded registry;
    GetParam().run(registry);
}

INSTANTIATE_TEST_SUITE_P(All, EmbeddedConformance, testing::ValuesIn(behaviours()), behaviour_name);

TEST(EmbeddedBackend, TellsSameIdsOnTwoNodesApart) {
    Embedded registry;
    Conversation talk(registry, "twins");
    ASSERT_TRUE(talk.add(talk.config(80)));
    catalog::CatalogRegister twin;
    twin.node.name = "there";
    twin.node.address = "10.0.0.9";
    twin.service.emplace();
    twin.service->id = "twins-127.0.0.1-80";
    twin.service->name = "twins";
    twin.service->port = 81;
    const Instant deadline = talk.deadline();
    ASSERT_TRUE(talk.value(registry.registry().execute(twin, deadline)));
    const auto answer = talk.wait(0, Duration::zero());
    ASSERT_TRUE(answer);
    ASSERT_EQ(answer->endpoints.size(), 2U);
    EXPECT_EQ(answer->endpoints[0].id, "twins-127.0.0.1-80@here");
    EXPECT_EQ(answer->endpoints[1].id, "twins-127.0.0.1-80@there");
    EXPECT_EQ(answer->endpoints[1].host, "10.0.0.9") << "the node's, as the service has none";
}

}  // namespace
}  // namespace datapunk::mesh::registry::embedded
