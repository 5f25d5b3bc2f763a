// A rate that processes share through Redis: how well they keep to it together, in virtual time
// against the bucket's rule, and with a real server.

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/epoll_loop.h"
#include "io/tcp.h"
#include "mesh/shared_tokens.h"
#include "policy/test_service.h"
#include "redis/fake_redis.h"
#include "redis/test_redis_server.h"
#include "sim/run.h"
#include "sim/sim_world.h"

namespace datapunk::mesh::internal {
namespace {

using namespace std::chrono_literals;

ServicePolicy sharing(std::uint32_t calls, std::uint32_t burst) {
    return {.limits = {.rate = {.calls = calls, .burst = burst}, .share_rate = true}};
}

struct Process {
    Process(io::Network& network, const SharedCacheConfig& redis, const ServicePolicy& policy)
        : service("api_service", policy, 1),
          shared(*SharedTokens::create(network, redis, metrics, core::Logger())) {
        service.update(policy::test_set(2), network.loop().now());
    }

    void tick() {
        const std::vector<policy::ServicePolicies*> services = {&service};
        shared->tick(services);
    }

    bool call(Instant now) { return policy::ask(service, now).has_value(); }

    metrics::MetricRegistry metrics{};
    policy::ServicePolicies service;
    std::unique_ptr<SharedTokens> shared;
};

// What the script of redis::SliceExchange does, by the clock of the simulator.
class FakeBucket {
  public:
    FakeBucket(sim::SimWorld& world, redis::FakeRedis& fake) : world_(world) {
        fake.more = [this](const redis::FakeRedis::Words& words) {
            return words.at(0) == "EVAL" ? std::optional(lease(words)) : std::nullopt;
        };
    }

  private:
    // EVAL script 2 bucket who rate burst wanted returned process forgotten_ms
    redis::FakeRedis::Value lease(const redis::FakeRedis::Words& words) {
        const double rate = std::stod(words.at(5));
        const double burst = std::stod(words.at(6));
        const Instant now = world_.loop().now();
        if (who_.empty()) tokens_ = burst;
        const double passed = who_.empty() ? 0 : std::chrono::duration<double>(now - at_).count();
        at_ = now;
        tokens_ = std::min(burst, tokens_ + passed * rate + std::stod(words.at(8)));
        who_[words.at(9)] = now;
        std::erase_if(who_, [now](const auto& one) { return one.second < now - 10s; });
        const double share =
            std::max(1.0, std::floor(tokens_ * 2 / static_cast<double>(who_.size())));
        const double granted = std::min({std::stod(words.at(7)), share, std::floor(tokens_)});
        tokens_ -= granted;
        return redis::FakeRedis::array(
            {redis::FakeRedis::integer(static_cast<std::int64_t>(granted)),
             redis::FakeRedis::integer(static_cast<std::int64_t>(who_.size()))}
        );
    }

    sim::SimWorld& world_;
    double tokens_ = 0;
    Instant at_{};
    std::map<std::string, Instant> who_;
};

class SharedRate : public testing::Test {
  public:
    void start(std::size_t count, const ServicePolicy& policy) {
        for (std::size_t i = 0; i < count; ++i) {
            processes.push_back(std::make_unique<Process>(
                world.host("10.0.1." + std::to_string(i + 1)),
                SharedCacheConfig{.host = "10.0.0.2", .prefix = "t:"},
                policy
            ));
            processes.back()->tick();
        }
        admitted.assign(count, 0);
    }

    // Process i makes per_second[i] calls a second, in steps of 10 ms.
    int run(Duration time, const std::vector<double>& per_second) {
        std::vector<double> due(processes.size(), 0);
        int all = 0;
        std::fill(admitted.begin(), admitted.end(), 0);
        for (Duration t{}; t < time; t += 10ms) {
            for (std::size_t i = 0; i < processes.size(); ++i) {
                for (due[i] += per_second[i] / 100; due[i] >= 1; --due[i]) {
                    if (!processes[i]->call(world.loop().now())) continue;
                    ++admitted[i];
                    ++all;
                }
            }
            world.loop().run_for(10ms);
        }
        return all;
    }

    sim::SimWorld world{sim::seed_for_test(1)};
    redis::FakeRedis fake{world.host("10.0.0.2"), *io::parse_ip("10.0.0.2", 6379)};
    FakeBucket bucket{world, fake};
    std::vector<std::unique_ptr<Process>> processes;
    std::vector<int> admitted;
};

// 100 calls a second in all, from 1 to 20 processes that each would make as many.
TEST_F(SharedRate, AllTogetherKeepToItWithinTwoPercent) {
    for (const std::size_t count : {1U, 2U, 5U, 20U}) {
        SharedRate::TearDown();
        processes.clear();
        world.loop().run_for(15s);  // forgotten
        start(count, sharing(100, 20));
        const std::vector<double> greedy(count, 100);
        run(5s, greedy);
        const int all = run(60s, greedy);
        EXPECT_NEAR(all, 6000, 120) << count;
        const auto [least, most] = std::minmax_element(admitted.begin(), admitted.end());
        EXPECT_LE(*most, 1.5 * *least) << count << ": and none of them has it all";
    }
}

TEST_F(SharedRate, WhoNeedsLessLeavesTheRestToOthers) {
    start(4, sharing(100, 20));
    const std::vector<double> demand = {300, 10, 10, 0};
    run(5s, demand);
    const int all = run(60s, demand);
    EXPECT_NEAR(all, 6000, 120);
    EXPECT_GE(admitted[1], 540) << "nine tenths of what it asks for";
    EXPECT_GE(admitted[2], 540);
    EXPECT_GE(admitted[0], 4500);
}

TEST_F(SharedRate, BelowTheRateNobodyIsRefused) {
    start(4, sharing(100, 20));
    const std::vector<double> demand = {20, 20, 20, 20};
    run(5s, demand);
    EXPECT_GE(run(60s, demand), 4790) << "of 4800";
}

// Slow, silent: nobody waits (calls are made in between, at one instant), and the rate holds.
TEST_F(SharedRate, RedisSlowOrSilentDegradesToALocalPart) {
    start(4, sharing(100, 20));
    const std::vector<double> greedy(4, 100);
    run(5s, greedy);
    fake.takes = 250ms;
    run(2s, greedy);
    EXPECT_NEAR(run(60s, greedy), 6000, 900) << "slow";
    fake.takes = {};
    fake.is_silent = true;
    run(2s, greedy);
    const int alone = run(60s, greedy);
    EXPECT_NEAR(alone, 6000, 300) << "silent: a quarter each";
    const auto [least, most] = std::minmax_element(admitted.begin(), admitted.end());
    EXPECT_LE(*most, 1.1 * *least);
    fake.is_silent = false;
    run(15s, greedy);  // until all are connected again
    EXPECT_NEAR(run(60s, greedy), 6000, 120) << "and together again";
}

TEST_F(SharedRate, WhoIsRefusedHearsWhenItMayAskAgain) {
    start(1, sharing(1, 1));
    while (processes[0]->call(world.loop().now())) {
    }
    policy::CallState call = policy::call_at(world.loop().now());
    auto begun = processes[0]->service.begin_attempt(call, world.loop().now());
    const auto* why = std::get_if<policy::NoEndpoint>(&begun);
    ASSERT_NE(why, nullptr);
    EXPECT_EQ(why->reason, policy::NoEndpoint::Reason::rate_limit);
    EXPECT_EQ(processes[0]->service.to_error(*why, world.loop().now()).retry_after, 1s);
}

// Three greedy processes and a real server: never more than the bucket has, and what each began
// with or filled in before it was connected.
TEST(RealSharedRate, AllTogetherKeepToIt) {
    if (!redis::TestRedisServer::is_wanted()) GTEST_SKIP() << "PEERS=0";
    const auto owner = *io::EpollLoop::create();
    io::EpollLoop& loop = *owner;
    io::KernelNetwork network(loop);
    redis::TestRedisServer server(io::random_seed());
    std::vector<std::unique_ptr<Process>> processes;
    for (int i = 0; i < 3; ++i) {
        processes.push_back(std::make_unique<Process>(
            network,
            SharedCacheConfig{.host = "127.0.0.1", .port = server.port(), .prefix = "t:"},
            sharing(200, 40)
        ));
        processes.back()->tick();
    }
    const Instant begun = loop.now();
    int admitted = 0;
    // In turns of the loop, until so many have begun: a slow machine takes longer.
    while (admitted < 300 && loop.now() < begun + 20s) {
        for (const auto& process : processes) {
            for (int i = 0; i < 5; ++i) admitted += process->call(loop.now()) ? 1 : 0;
        }
        loop.turn(loop.now() + 5ms);
    }
    EXPECT_GE(admitted, 300);
    const double elapsed = std::chrono::duration<double>(loop.now() - begun).count();
    const double begun_with = 3 * 20;
    EXPECT_LE(admitted, 40 + 200 * elapsed + begun_with + 15) << elapsed;
    bool are_together = true;
    for (const auto& process : processes) {
        are_together = are_together && !process->service.call_limits()->slice()->is_alone();
    }
    EXPECT_TRUE(are_together);
    server.kill();
    const Instant killed = loop.now();
    bool is_alone = false;
    int more = 0;
    while (!(is_alone && more > 10) && loop.now() < killed + 20s) {
        is_alone = processes[0]->service.call_limits()->slice()->is_alone();
        more += processes[0]->call(loop.now()) ? 1 : 0;
        loop.turn(loop.now() + 5ms);
    }
    EXPECT_TRUE(is_alone);
    EXPECT_GT(more, 10) << "it goes on with its part";
}

}  // namespace
}  // namespace datapunk::mesh::internal
