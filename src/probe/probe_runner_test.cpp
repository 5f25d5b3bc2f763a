#include "probe/probe_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "http/server.h"
#include "sim/run.h"
#include "sim/sim_world.h"

namespace datapunk::mesh::probe {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

// A service whose answer the test sets.
class Patient final : public http::Handler {
  public:
    io::Task<http::Response> handle(http::Request request) override {
        ++asked;
        last = std::move(request);
        co_return http::text_response(status, body);
    }

    int status = 200;
    std::string body = "fine";
    int asked = 0;
    http::Request last;
};

class ProbeTest : public testing::Test {
  public:
    ProbeTest()
        : world_(sim::seed_for_test(7)),
          here_(world_.host("10.0.0.1")),
          there_(world_.host("10.0.0.2")),
          server_(
              std::make_unique<http::Server>(there_, patient_, http::ServerConfig{}, core::Logger())
          ) {
        EXPECT_TRUE(server_->listen(*io::parse_ip("10.0.0.2", 8080)));
    }

    ProbeDefinition http_check() const {
        ProbeDefinition definition;
        definition.host = "10.0.0.2";
        definition.port = 8080;
        definition.target = "/health";
        definition.display = "http://10.0.0.2:8080/health";
        definition.interval = seconds(10);
        definition.timeout = seconds(2);
        return definition;
    }

    ProbeResult once(ProbeDefinition definition) {
        const Instant deadline = world_.loop().now() + definition.timeout;
        return *sim::run_on(
            world_.loop(), probe(ProbeTools{here_, tls_}, std::move(definition), deadline)
        );
    }

    sim::SimWorld world_;
    sim::SimNetwork& here_;
    sim::SimNetwork& there_;
    Patient patient_;
    TlsContexts tls_;
    std::unique_ptr<http::Server> server_;
};

TEST_F(ProbeTest, HttpStatusDecides) {
    ProbeDefinition definition = http_check();
    definition.headers = {{"X-A", "1"}, {"Host", "web.example"}};
    EXPECT_EQ(
        once(definition),
        (ProbeResult{Health::passing, "HTTP GET http://10.0.0.2:8080/health: 200 OK Output: fine"})
    );
    EXPECT_EQ(patient_.last.target, "/health");
    EXPECT_EQ(patient_.last.host, "web.example");
    EXPECT_EQ(patient_.last.header("X-A"), "1");
    EXPECT_EQ(patient_.last.header("User-Agent"), "Consul Health Check");
    const std::vector<std::pair<int, Health>> cases = {
        {299, Health::passing},
        {300, Health::critical},
        {428, Health::critical},
        {429, Health::warning},
        {430, Health::critical},
        {500, Health::critical}
    };
    for (const auto& [status, health] : cases) {
        patient_.status = status;
        EXPECT_EQ(once(http_check()).status, health) << status;
    }
}

TEST_F(ProbeTest, OutputIsCutAtFourKilobytes) {
    patient_.body = std::string(10'000, 'x');
    EXPECT_EQ(once(http_check()).output.size(), kOutputBytesMax);
}

TEST_F(ProbeTest, TcpConnectIsEnough) {
    ProbeDefinition definition = http_check();
    definition.kind = ProbeDefinition::Kind::tcp;
    definition.display = "10.0.0.2:8080";
    EXPECT_EQ(
        once(definition), (ProbeResult{Health::passing, "TCP connect 10.0.0.2:8080: Success"})
    );
    definition.port = 8081;
    EXPECT_EQ(once(definition).status, Health::critical);
    EXPECT_EQ(patient_.asked, 0);
}

TEST_F(ProbeTest, SilenceEndsAtTheTimeout) {
    world_.partition("10.0.0.1", "10.0.0.2");
    const Instant start = world_.loop().now();
    EXPECT_EQ(once(http_check()).status, Health::critical);
    EXPECT_LE(world_.loop().now() - start, seconds(2) + milliseconds(10));
    EXPECT_GE(world_.loop().now() - start, seconds(2));
}

class ProbeRunnerTest : public ProbeTest {
  public:
    ProbeRunnerTest() { restart(ProbeRunner::kConcurrentMax); }

    void restart(std::size_t concurrent_max) {
        runner_ = std::make_unique<ProbeRunner>(
            here_,
            [this](const std::string& id, Health status, std::string) {
                reports_.emplace_back(id, status);
                if (remove_on_report_) runner_->remove(id);
            },
            concurrent_max
        );
    }

    std::vector<std::pair<std::string, Health>> reports_;
    bool remove_on_report_ = false;
    std::unique_ptr<ProbeRunner> runner_;
};

TEST_F(ProbeRunnerTest, RunsOnceAnIntervalFromARandomStart) {
    runner_->set("a", http_check(), Health::critical);
    world_.loop().run_for(seconds(11));
    EXPECT_GE(patient_.asked, 1);
    EXPECT_LE(patient_.asked, 2);
    world_.loop().run_for(seconds(1000));
    EXPECT_NEAR(patient_.asked, 101, 2);
    runner_->remove("a");
    const int asked = patient_.asked;
    world_.loop().run_for(seconds(30));
    EXPECT_EQ(patient_.asked, asked);
}

TEST_F(ProbeRunnerTest, ReportsOnlyWhatHasComeOftenEnough) {
    ProbeDefinition definition = http_check();
    definition.successes_before_passing = 2;
    definition.failures_before_critical = 3;
    runner_->set("a", definition, Health::critical);
    while (patient_.asked < 1) world_.loop().run_for(milliseconds(100));
    EXPECT_TRUE(reports_.empty()) << "one success of two";
    while (patient_.asked < 2) world_.loop().run_for(milliseconds(100));
    world_.loop().run_for(milliseconds(500));
    ASSERT_EQ(reports_.size(), 1U);
    EXPECT_EQ(reports_.back().second, Health::passing);
    patient_.status = 500;
    while (patient_.asked < 4) world_.loop().run_for(milliseconds(100));
    world_.loop().run_for(milliseconds(500));
    EXPECT_EQ(reports_.size(), 1U) << "two failures of three";
    while (patient_.asked < 5) world_.loop().run_for(milliseconds(100));
    world_.loop().run_for(milliseconds(500));
    ASSERT_EQ(reports_.size(), 2U);
    EXPECT_EQ(reports_.back().second, Health::critical);
}

TEST_F(ProbeRunnerTest, FailuresShowAsAWarningFirstIfAsked) {
    ProbeDefinition definition = http_check();
    definition.failures_before_warning = 1;
    definition.failures_before_critical = 2;
    patient_.status = 500;
    runner_->set("a", definition, Health::passing);
    world_.loop().run_for(seconds(25));
    ASSERT_GE(reports_.size(), 2U);
    EXPECT_EQ(reports_[0].second, Health::warning);
    EXPECT_EQ(reports_[1].second, Health::critical);
}

TEST_F(ProbeRunnerTest, SpreadsManyChecksAndBoundsThoseThatRunAtOnce) {
    restart(4);
    world_.partition("10.0.0.1", "10.0.0.2");  // every probe takes its whole timeout
    for (int i = 0; i < 40; ++i)
        runner_->set("c" + std::to_string(i), http_check(), Health::passing);
    std::set<std::string> seen;
    const Instant end = world_.loop().now() + seconds(60);
    while (world_.loop().now() < end) {
        world_.loop().run_for(milliseconds(200));
        EXPECT_LE(runner_->running(), 4U);
    }
    for (const auto& [id, status] : reports_) seen.insert(id);
    EXPECT_EQ(seen.size(), 40U) << "the queue is fair";
}

TEST_F(ProbeRunnerTest, TheListenerMayRemoveTheCheck) {
    remove_on_report_ = true;
    runner_->set("a", http_check(), Health::critical);
    world_.loop().run_for(seconds(20));
    EXPECT_EQ(reports_.size(), 1U);
    EXPECT_EQ(runner_->size(), 0U);
    EXPECT_EQ(runner_->running(), 0U);
}

TEST_F(ProbeRunnerTest, ReplacingDropsTheProbeInFlight) {
    world_.partition("10.0.0.1", "10.0.0.2");
    runner_->set("a", http_check(), Health::passing);
    while (runner_->running() == 0) world_.loop().run_for(milliseconds(100));
    ProbeDefinition other = http_check();
    other.interval = seconds(20);
    runner_->set("a", other, Health::passing);
    EXPECT_EQ(runner_->running(), 0U);
    EXPECT_EQ(runner_->size(), 1U);
}

}  // namespace
}  // namespace datapunk::mesh::probe
