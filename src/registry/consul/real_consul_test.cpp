// The conformance suite on a real Consul server (tools/peers/consul.sh), in one test: the server
// takes a second to start. PEERS=0 in the environment leaves it out.

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "core/strings.h"
#include "http/client.h"
#include "io/epoll_loop.h"
#include "io/tcp.h"
#include "registry/consul/consul_backend.h"
#include "registry/test_conformance.h"
#include "sim/run.h"

namespace datapunk::mesh::registry::consul {
namespace {

using namespace std::chrono_literals;

bool is_free(std::uint16_t port) {
    for (const int type : {SOCK_STREAM, SOCK_DGRAM}) {  // gossip uses both
        const int fd = ::socket(AF_INET, type | SOCK_CLOEXEC, 0);
        sockaddr_in at{};
        at.sin_family = AF_INET;
        at.sin_port = htons(port);
        at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        const bool bound = ::bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0;
        ::close(fd);
        if (!bound) return false;
    }
    return true;
}

// Below the range from which the kernel gives ports to outgoing connections.
std::vector<std::uint16_t> free_ports(std::size_t count) {
    std::vector<std::uint16_t> ports;
    core::Rng rng(io::random_seed());
    while (ports.size() < count) {
        const auto port = static_cast<std::uint16_t>(20'000 + rng.below(12'000));
        const bool taken = std::find(ports.begin(), ports.end(), port) != ports.end();
        if (!taken && is_free(port)) ports.push_back(port);
    }
    return ports;
}

std::string fetch_binary() {
    FILE* out = ::popen(MESH_SOURCE_DIR "/tools/peers/consul.sh", "r");
    std::string path;
    std::array<char, 512> line{};
    while (std::fgets(line.data(), line.size(), out) != nullptr) path += line.data();
    if (::pclose(out) != 0) return {};
    return std::string(core::trim(path.substr(0, path.find('\n'))));
}

class ConsulProcess {
  public:
    ConsulProcess(const std::string& binary, const std::filesystem::path& directory)
        : ports_(free_ports(4)) {
        const std::string config = directory / "consul.json";
        std::ofstream(config) << R"({"bind_addr": "127.0.0.1", "disable_update_check": true,)"
                              << R"("node_name": "n1", "ports": {"grpc": -1, "dns": -1, "http": )"
                              << ports_[0] << R"(, "server": )" << ports_[1] << R"(, "serf_lan": )"
                              << ports_[2] << R"(, "serf_wan": )" << ports_[3] << "}}";
        const std::string log = directory / "consul.log";
        const std::string option = "-config-file=" + config;
        pid_ = ::fork();
        if (pid_ != 0) return;
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // not left behind by a test that crashes
        const int fd = ::open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
        ::dup2(fd, 1);
        ::dup2(fd, 2);
        ::execl(binary.c_str(), "consul", "agent", "-dev", option.c_str(), nullptr);
        ::_exit(127);
    }

    ConsulProcess(const ConsulProcess&) = delete;
    ConsulProcess& operator=(const ConsulProcess&) = delete;

    ~ConsulProcess() {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }

    std::uint16_t http_port() const { return ports_[0]; }

  private:
    std::vector<std::uint16_t> ports_;
    pid_t pid_ = -1;
};

io::Task<bool> has_leader(io::Network& network, std::uint16_t port, Instant deadline) {
    http::Client client(network, {});
    while (network.loop().now() < deadline) {
        http::Request request{.target = "/v1/status/leader"};
        const std::string host = "127.0.0.1";
        auto response = co_await client.fetch(host, port, std::move(request), deadline);
        if (response && response->status == 200 && response->body.size() > 4) co_return true;
        co_await io::sleep_for(network.loop(), 50ms);
    }
    co_return false;
}

class RealConsul : public testing::Test, public RegistryUnderTest {
  public:
    void SetUp() override {
        const char* peers = std::getenv("PEERS");
        if (peers != nullptr && std::string_view(peers) == "0") GTEST_SKIP() << "PEERS=0";
        const std::string binary = fetch_binary();
        ASSERT_FALSE(binary.empty()) << "tools/peers/consul.sh failed; PEERS=0 leaves this out";
        std::string directory = testing::TempDir() + "consul-XXXXXX";
        ASSERT_NE(::mkdtemp(directory.data()), nullptr);
        directory_ = directory;
        process_.emplace(binary, directory_);
        const Instant deadline = loop_->now() + 30s;
        const auto ready =
            sim::run_on(*loop_, has_leader(network_, process_->http_port(), deadline), 40s);
        ASSERT_TRUE(ready && *ready) << "no leader; see " << directory_ / "consul.log";
        const ConsulConfig config{.port = process_->http_port(), .owner = "a test"};
        backend_ = *ConsulBackend::create(network_, config);
    }

    void TearDown() override {
        process_.reset();
        if (!HasFailure() && !directory_.empty()) std::filesystem::remove_all(directory_);
    }

    Backend& backend() override { return *backend_; }

    std::uint16_t process_port() const { return process_->http_port(); }

    io::Loop& loop() override { return *loop_; }

  private:
    std::unique_ptr<io::EpollLoop> loop_ = *io::EpollLoop::create();
    io::KernelNetwork network_{*loop_};
    std::filesystem::path directory_;
    std::optional<ConsulProcess> process_;
    std::unique_ptr<ConsulBackend> backend_;
};

TEST_F(RealConsul, PassesTheConformanceSuite) {
    for (const Behaviour& behaviour : behaviours()) {
        SCOPED_TRACE(behaviour.name);
        behaviour.run(*this);
    }
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
