// A registry whose own first write is under way.

#include "server/test_server.h"
#include "store/memory_log.h"

namespace datapunk::mesh::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class YoungRegistry : public testing::Test {
  public:
    YoungRegistry() {
        auto log = std::make_unique<store::MemoryLog>(
            std::make_shared<store::MemoryDisk>(), store::MemoryFaults{}
        );
        log_ = log.get();
        auto opened = registry::embedded::EmbeddedRegistry::open(
            loop_, std::move(log), test_registry_config(), core::Logger()
        );
        registry_ = *std::move(opened);
        server_ = std::make_unique<RegistryServer>(*registry_, RegistryServerConfig{});
    }

    void settle() {
        loop_.run_for(milliseconds(1));
        log_->run();
        loop_.run_for(milliseconds(1));
    }

    sim::SimLoop loop_{sim::seed_for_test(1)};
    store::MemoryLog* log_ = nullptr;
    std::unique_ptr<registry::embedded::EmbeddedRegistry> registry_;
    std::unique_ptr<RegistryServer> server_;
};

TEST_F(YoungRegistry, DoesNotSayThatThereIsNothing) {
    PendingAsk nodes(*server_, "/v1/catalog/nodes");
    PendingAsk checks(*server_, "/v1/health/state/any");
    PendingAsk leader(*server_, "/v1/status/leader");
    loop_.run_for(seconds(1));
    ASSERT_TRUE(leader.ended());
    EXPECT_EQ(leader.response().body, R"("")");
    EXPECT_FALSE(nodes.ended());
    EXPECT_FALSE(checks.ended());
    settle();
    ASSERT_TRUE(nodes.ended());
    EXPECT_THAT(nodes.response().body, testing::HasSubstr(R"("Node":"ref1")"));
    ASSERT_TRUE(checks.ended());
    EXPECT_THAT(checks.response().body, testing::HasSubstr("serfHealth"));
}

TEST_F(YoungRegistry, SaysThatItCannotAnswerIfTheDiskDoesNotCome) {
    PendingAsk nodes(*server_, "/v1/catalog/nodes");
    loop_.run_for(RegistryServerConfig{}.write_timeout + seconds(1));
    ASSERT_TRUE(nodes.ended());
    EXPECT_EQ(nodes.response().status, 500);
    EXPECT_EQ(nodes.response().body, "No cluster leader");
}

}  // namespace
}  // namespace datapunk::mesh::server
