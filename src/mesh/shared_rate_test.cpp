// A rate that processes share through Redis: how well they keep to it together, in virtual time
// against the bucket's rule, and with a real server.

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "io/epoll_loop.h"
#include "io/tcp.h"
#include "mesh/shared_tokens.h"
#include "policy/test_service.h"
#include "redis/fake_redis.h"
#include "redis/test_redis_server.h"
#include "resilience/test_keeper.h"
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

// What the scripts of redis::SliceExchange do, by the clock of the simulator.
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
        const auto granted = keeper_.lease(
            words.at(9),
            resilience::SliceConfig{
                .rate = std::stod(words.at(5)), .burst = std::stod(words.at(6))
            },
            {.wanted = std::stoll(words.at(7)), .returned = std::stoll(words.at(8))},
            world_.loop().now()
        );
        return redis::FakeRedis::array(
            {redis::FakeRedis::integer(granted.tokens), redis::FakeRedis::integer(granted.processes)
            }
        );
    }

    sim::SimWorld& world_;
    resilience::TestKeeper keeper_;
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

// Everywhere at once, as an operator does it.
TEST_F(SharedRate, AChangedPolicyBringsNobodyABurst) {
    start(10, sharing(100, 100));
    const std::vector<double> greedy(10, 100);
    run(10s, greedy);
    for (auto& process : processes) {
        EXPECT_TRUE(process->service.set_policy(sharing(120, 100), world.loop().now()));
    }
    EXPECT_LE(run(1s, greedy), 120 + 20) << "not ten bursts of a hundred";
    for (auto& process : processes) process->tick();
    EXPECT_NEAR(run(10s, greedy), 1200, 60);
    ServicePolicy callers = sharing(120, 100);
    callers.limits.callers.requests = 5;
    for (auto& process : processes) {
        EXPECT_TRUE(process->service.set_policy(callers, world.loop().now()));
    }
    EXPECT_LE(run(1s, greedy), 120 + 20) << "what is the same in both is not even changed";
}

// What is no longer shared is given back, and not asked for any more.
TEST_F(SharedRate, WhoSharesNoMoreReturnsWhatItHas) {
    start(2, sharing(10, 100));
    run(5s, {0, 0});
    ServicePolicy own = sharing(10, 100);
    own.limits.share_rate = false;
    EXPECT_TRUE(processes[0]->service.set_policy(own, world.loop().now()));
    for (int i = 0; i < 3; ++i) {
        processes[0]->service.tick(world.loop().now());
        processes[0]->tick();
        run(1s, {0, 0});
    }
    const std::size_t before = fake.count("EVAL");
    run(20s, {0, 0});
    EXPECT_EQ(fake.count("EVAL"), before) << "nobody wants anything";
    // All of the burst is the other's: it was given back.
    EXPECT_GE(run(2s, {0, 200}), 100);
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

// Three greedy processes and a real server: never more than the bucket or the window has, and what
// each began with or filled in before it was connected.
class RealSharedRate : public testing::TestWithParam<RateAlgorithm> {};

TEST_P(RealSharedRate, AllTogetherKeepToIt) {
    if (!redis::TestRedisServer::is_wanted()) GTEST_SKIP() << "PEERS=0";
    const auto owner = *io::EpollLoop::create();
    io::EpollLoop& loop = *owner;
    io::KernelNetwork network(loop);
    redis::TestRedisServer server(io::random_seed());
    const bool is_window = GetParam() == RateAlgorithm::sliding_window;
    ServicePolicy policy = sharing(is_window ? 300 : 200, 40);
    policy.limits.rate.algorithm = GetParam();
    if (is_window) policy.limits.rate.per = std::chrono::hours(1);
    std::vector<std::unique_ptr<Process>> processes;
    for (int i = 0; i < 3; ++i) {
        processes.push_back(std::make_unique<Process>(
            network,
            SharedCacheConfig{.host = "127.0.0.1", .port = server.port(), .prefix = "t:"},
            policy
        ));
        processes.back()->tick();
    }
    const auto leased = [&](std::size_t i) {
        return *processes[i]->service.call_limits()->leased();
    };
    const Instant begun = loop.now();
    int admitted = 0;
    // In turns of the loop, until so many have begun: a slow machine takes longer.
    const int enough = is_window ? 290 : 250;
    bool are_together = false;
    while ((admitted < enough || !are_together) && loop.now() < begun + 20s) {
        are_together = true;
        for (std::size_t i = 0; i < 3; ++i) {
            are_together = are_together && !resilience::is_alone(leased(i));
            for (int n = 0; n < 5; ++n) admitted += processes[i]->call(loop.now()) ? 1 : 0;
        }
        loop.turn(loop.now() + 5ms);
    }
    EXPECT_TRUE(are_together);
    EXPECT_GE(admitted, enough);
    if (is_window) {
        for (int i = 0; i < 100; ++i) {
            for (const auto& process : processes) admitted += process->call(loop.now()) ? 1 : 0;
            loop.turn(loop.now() + 5ms);
        }
        // Alone, if an answer took long, each may have begun its part.
        EXPECT_LE(admitted, 300 + 2 * 100);
        EXPECT_GE(admitted, 290);
    } else {
        const double elapsed = std::chrono::duration<double>(loop.now() - begun).count();
        const double begun_with = 3 * 20;
        EXPECT_LE(admitted, 40 + 200 * elapsed + begun_with + 15) << elapsed;
    }
    server.kill();
    const Instant killed = loop.now();
    bool is_alone = false;
    int more = 0;
    // Of its part of a window it has begun all: an hour is not over.
    const int wanted = is_window ? 0 : 11;
    while (!(is_alone && more >= wanted) && loop.now() < killed + 20s) {
        is_alone = resilience::is_alone(leased(0));
        more += processes[0]->call(loop.now()) ? 1 : 0;
        loop.turn(loop.now() + 5ms);
    }
    EXPECT_TRUE(is_alone);
    EXPECT_GE(more, wanted) << "it goes on with its part";
}

INSTANTIATE_TEST_SUITE_P(
    OfEachKind,
    RealSharedRate,
    testing::Values(
        RateAlgorithm::token_bucket, RateAlgorithm::leaky_bucket, RateAlgorithm::sliding_window
    )
);

}  // namespace
}  // namespace datapunk::mesh::internal
