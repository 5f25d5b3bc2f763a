// A real Consul with TLS on both sides and access control that denies by default. PEERS=0 leaves it
// out.

#include <gmock/gmock.h>

#include "io/epoll_loop.h"
#include "io/test_certificates.h"
#include "registry/consul/test_consul.h"
#include "registry/test_conformance.h"

namespace datapunk::mesh::registry::consul {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr std::string_view kMaster = "b1gs33cr3t-0000-4000-8000-000000000001";

class SecureConsul : public testing::Test, public RegistryUnderTest {
  public:
    void SetUp() override {
        if (!has_peers()) GTEST_SKIP() << "PEERS=0";
        const std::string binary = fetch_consul(MESH_SOURCE_DIR);
        ASSERT_FALSE(binary.empty()) << "tools/peers/consul.sh failed; PEERS=0 skips this";
        const auto server =
            io::make_test_certificate({.common_name = "n1", .names = "DNS:consul.test"}, &ca_);
        write("ca.pem", ca_.certificate);
        write("server.pem", server.certificate);
        write("server.key", server.key);
        server_.emplace(
            binary,
            R"(, "ca_file": ")" + file("ca.pem") + R"(", "cert_file": ")" + file("server.pem") +
                R"(", "key_file": ")" + file("server.key") +
                R"(", "verify_incoming_https": true, )" +
                R"("acl": {"enabled": true, "default_policy": "deny", "tokens": {"master": ")" +
                std::string(kMaster) + R"(", "agent": ")" + std::string(kMaster) + R"("}})"
        );
        ASSERT_TRUE(server_->is_ready(*loop_, network_))
            << "no leader; see " << *server_ / "consul.log";
    }

    ConsulConfig secure() const {
        ConsulConfig config;
        config.port = server_->https_port();
        config.https = true;
        config.ca = file("ca.pem");
        config.server_name = "consul.test";
        config.certificate = ours_.certificate;
        config.private_key = ours_.key;
        config.token = kMaster;
        return config;
    }

    void use(const ConsulConfig& config) {
        auto made = ConsulBackend::create(network_, config);
        ASSERT_TRUE(made) << made.error().what;
        backend_ = *std::move(made);
    }

    Result<Answer> ask() {
        const std::string service = "consul";
        const Instant deadline = loop_->now() + 5s;
        auto answer = sim::run_on(*loop_, backend_->wait(service, 0, 0s, deadline), 10s);
        MESH_ASSERT(answer.has_value());
        return *std::move(answer);
    }

    Backend& backend() override { return *backend_; }

    io::Loop& loop() override { return *loop_; }

  protected:
    std::string file(const std::string& name) const { return directory_ / name; }

    void write(const std::string& name, const std::string& text) const {
        std::ofstream(file(name)) << text;
    }

    PeerDirectory directory_{"consul-tls"};
    io::TestCertificate ca_ = io::make_test_certificate({.common_name = "ca", .is_ca = true});
    io::TestCertificate ours_ = io::make_test_certificate({.common_name = "mesh"}, &ca_);
    std::unique_ptr<io::EpollLoop> loop_ = *io::EpollLoop::create();
    io::KernelNetwork network_{*loop_};
    std::optional<ConsulServer> server_;
    std::unique_ptr<ConsulBackend> backend_;
};

TEST_F(SecureConsul, PassesTheConformanceSuiteOverMutualTlsWithAToken) {
    use(secure());
    for (const Behaviour& behaviour : behaviours()) {
        SCOPED_TRACE(behaviour.name);
        behaviour.run(*this);
    }
}

TEST_F(SecureConsul, NeitherSideTrustsAStranger) {
    ConsulConfig config = secure();
    config.server_name = "other.test";
    use(config);
    EXPECT_EQ(ask().error().code, Code::denied);
    config = secure();
    config.ca = io::make_test_certificate({.common_name = "other", .is_ca = true}).certificate;
    use(config);
    EXPECT_EQ(ask().error().code, Code::denied);
    config.verify = false;
    use(config);
    EXPECT_TRUE(ask());
    config = secure();
    config.certificate.clear();
    config.private_key.clear();
    use(config);
    const auto anonymous = ask();
    ASSERT_FALSE(anonymous);
    EXPECT_EQ(anonymous.error().source, Source::registry);
    EXPECT_EQ(anonymous.error().what.find(kMaster), std::string::npos);
}

TEST_F(SecureConsul, ABadTokenIsDeniedAndAReplacedOneCountsAtOnce) {
    ConsulConfig config = secure();
    config.token = "00000000-0000-0000-0000-000000000000";
    use(config);
    EXPECT_EQ(ask().error().code, Code::denied);
    write("token", "00000000-0000-0000-0000-000000000000\n");
    config.token.clear();
    config.token_file = file("token");
    use(config);
    EXPECT_EQ(ask().error().code, Code::denied);
    write("token", std::string(kMaster) + "\n");
    const auto answer = ask();
    ASSERT_TRUE(answer) << answer.error().what;
    EXPECT_EQ(answer->endpoints.size(), 1U);
}

}  // namespace
}  // namespace datapunk::mesh::registry::consul
