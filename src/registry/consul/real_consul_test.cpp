// The conformance suite on a real Consul server (tools/peers/consul.sh), in one test: the server
// takes a second to start. PEERS=0 in the environment leaves it out.

#include <gmock/gmock.h>

#include "io/epoll_loop.h"
#include "registry/consul/test_consul.h"
#include "registry/test_conformance.h"

namespace datapunk::mesh::registry::consul {
namespace {

using namespace std::chrono_literals;

class RealConsul : public testing::Test, public RegistryUnderTest {
  public:
    void SetUp() override {
        if (!has_peers()) GTEST_SKIP() << "PEERS=0";
        const std::string binary = fetch_consul(MESH_SOURCE_DIR);
        ASSERT_FALSE(binary.empty()) << "tools/peers/consul.sh failed; PEERS=0 skips this";
        server_.emplace(binary);
        ASSERT_TRUE(server_->is_ready(*loop_, network_))
            << "no leader; see " << *server_ / "consul.log";
        use({.port = server_->http_port()});
    }

    void use(const ConsulConfig& config) { backend_ = *ConsulBackend::create(network_, config); }

    Backend& backend() override { return *backend_; }

    std::uint16_t process_port() const { return server_->http_port(); }

    io::Loop& loop() override { return *loop_; }

  private:
    std::unique_ptr<io::EpollLoop> loop_ = *io::EpollLoop::create();
    io::KernelNetwork network_{*loop_};
    std::optional<ConsulServer> server_;
    std::unique_ptr<ConsulBackend> backend_;
};

TEST_F(RealConsul, PassesTheConformanceSuite) {
    for (const Behaviour& behaviour : behaviours()) {
        SCOPED_TRACE(behaviour.name);
        behaviour.run(*this);
    }
}

TEST_F(RealConsul, PassesTheConformanceSuiteByTheCatalogToo) {
    use(
        {.port = process_port(),
         .registration = ConsulRegistration::catalog,
         .node = "outside",
         .node_address = "10.0.0.9"}
    );
    EXPECT_EQ(backend().capabilities().kept_alive_by, KeptAliveBy::heartbeats);
    for (const Behaviour& behaviour : behaviours()) {
        SCOPED_TRACE(behaviour.name);
        behaviour.run(*this);
    }
}

TEST_F(RealConsul, PassesOnFilterAndDistance) {
    Conversation talk(*this, "filtered");
    ServiceConfig config = talk.config(process_port());
    config.check.kind = HealthCheck::Kind::none;
    config.tags = {"v2"};
    ASSERT_TRUE(talk.add(config));
    const std::string name = config.name;
    const auto count = [&](const std::string& filter) {
        use({.port = process_port(), .filter = filter, .near = "_agent"});
        const auto answer =
            sim::run_on(loop(), backend().wait(name, 0, 0s, loop().now() + 5s), 10s);
        EXPECT_TRUE(answer && *answer) << filter;
        return answer && *answer ? (*answer)->endpoints.size() : 99;
    };
    EXPECT_EQ(count("\"v2\" in Service.Tags"), 1U);
    EXPECT_EQ(count("\"v1\" in Service.Tags"), 0U);
}

TEST_F(RealConsul, RunsTheChecksThatWeAskFor) {
    Conversation talk(*this, "checked");
    ServiceConfig config = talk.config(process_port());
    config.check = {.kind = HealthCheck::Kind::http, .path = "/v1/status/leader", .interval = 1s};
    config.check.timeout = 1s;
    config.check.successes_before_passing = 1;
    ASSERT_TRUE(talk.add(config));
    talk.until_health(Health::passing);
    config.check.path = "/nothing-here";
    config.check.failures_before_critical = 1;
    ASSERT_TRUE(talk.add(config));
    talk.until_health(Health::critical);
    config.check.kind = HealthCheck::Kind::tcp;
    ASSERT_TRUE(talk.add(config));
    talk.until_health(Health::passing);
}

}  // namespace
}  // namespace datapunk::mesh::registry::consul
