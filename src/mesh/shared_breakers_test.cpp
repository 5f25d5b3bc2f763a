#include "mesh/shared_breakers.h"

#include <gtest/gtest.h>

#include <optional>

#include "io/epoll_loop.h"
#include "io/tcp.h"
#include "policy/test_service.h"
#include "redis/fake_redis.h"
#include "redis/test_redis_server.h"
#include "sim/run.h"
#include "sim/sim_world.h"

namespace datapunk::mesh::internal {
namespace {

using namespace std::chrono_literals;
using policy::ask;
using policy::Outcome;
using resilience::BreakerState;

ServicePolicy sharing() {
    ServicePolicy policy{.share_breakers = true, .outlier = {.enabled = false}};
    policy.breaker.half_open_probes = 1;
    return policy;
}

BreakerState state_of(const policy::ServicePolicies& service, std::size_t endpoint, Instant now) {
    return service.view(now).endpoints.at(endpoint).breaker.state;
}

// Two processes as far as Redis can tell, and a third that does not share.
class RealSharedBreakers : public testing::Test {
  public:
    void SetUp() override {
        if (!redis::TestRedisServer::is_wanted()) GTEST_SKIP() << "PEERS=0";
        server.emplace(io::random_seed());
        one = make();
        other = make();
        for (auto* service : {&first, &second, &alone}) {
            service->update(policy::test_set(3), loop.now());
        }
    }

    std::unique_ptr<SharedBreakers> make() {
        const SharedCacheConfig config{.host = "127.0.0.1", .port = server->port(), .prefix = "t:"};
        auto made = SharedBreakers::create(network, config, core::Logger());
        EXPECT_TRUE(made);
        return *std::move(made);
    }

    void tick() {
        const std::vector<policy::ServicePolicies*> mine = {&first};
        const std::vector<policy::ServicePolicies*> others = {&second, &alone};
        one->tick(mine);
        other->tick(others);
    }

    template <class Done>
    bool until(Done done, Duration limit = 20s) {
        const Instant end = loop.now() + limit;
        while (!done() && loop.now() < end) {
            tick();
            loop.turn(std::min(end, loop.now() + 20ms));
        }
        return done();
    }

    // Until the breaker of one of its endpoints opens: which.
    std::size_t open_one(policy::ServicePolicies& service) {
        for (int i = 0; i < 100; ++i) {
            ask(service, loop.now(), Outcome::server_error);
            for (std::size_t e = 0; e < 3; ++e) {
                if (state_of(service, e, loop.now()) == BreakerState::open) return e;
            }
        }
        ADD_FAILURE() << "none opened";
        return 0;
    }

    std::unique_ptr<io::EpollLoop> owner = *io::EpollLoop::create();
    io::EpollLoop& loop = *owner;
    io::KernelNetwork network{loop};
    std::optional<redis::TestRedisServer> server;
    policy::ServicePolicies first{"api_service", sharing(), 1};
    policy::ServicePolicies second{"api_service", sharing(), 2};
    policy::ServicePolicies alone{"api_service", {}, 3};
    std::unique_ptr<SharedBreakers> one;
    std::unique_ptr<SharedBreakers> other;
};

TEST_F(RealSharedBreakers, WhatOpensHereIsProbedThereOnceAndOnlyThere) {
    const std::size_t bad = open_one(first);
    const auto is_told = [&] {
        return state_of(second, bad, loop.now()) == BreakerState::half_open;
    };
    ASSERT_TRUE(until(is_told));
    for (std::size_t e = 0; e < 3; ++e) {
        EXPECT_EQ(state_of(alone, e, loop.now()), BreakerState::closed) << "it does not listen";
        if (e == bad) continue;
        EXPECT_EQ(state_of(second, e, loop.now()), BreakerState::closed);
    }
    EXPECT_EQ(state_of(first, bad, loop.now()), BreakerState::open) << "its own word is no news";
    const auto events = second.drain_events();
    ASSERT_EQ(events.size(), 1U);
    EXPECT_EQ(events[0].why, "opened elsewhere");
    // The second finds it well. The same report does not make it doubt again.
    for (int i = 0; i < 100 && is_told(); ++i) ask(second, loop.now());
    ASSERT_EQ(state_of(second, bad, loop.now()), BreakerState::closed);
    const Instant later = loop.now() + 200ms;
    until([&] { return loop.now() >= later; });
    EXPECT_EQ(state_of(second, bad, loop.now()), BreakerState::closed);
    // Who starts now hears of it.
    policy::ServicePolicies late("api_service", sharing(), 4);
    late.update(policy::test_set(3), loop.now());
    auto third = make();
    const std::vector<policy::ServicePolicies*> its = {&late};
    EXPECT_TRUE(until([&] {
        third->tick(its);
        return state_of(late, bad, loop.now()) == BreakerState::half_open;
    }));
}

TEST_F(RealSharedBreakers, WhatCouldNotBeToldIsToldWhenRedisIsBack) {
    server->kill();
    const Instant soon = loop.now() + 300ms;
    until([&] { return loop.now() >= soon; });
    const std::size_t bad = open_one(first);
    tick();
    server->start();
    EXPECT_TRUE(until([&] { return state_of(second, bad, loop.now()) == BreakerState::half_open; })
    );
}

// In virtual time, with a Redis that can be wrong.
class SharedBreakersTest : public testing::Test {
  public:
    void SetUp() override {
        auto made = SharedBreakers::create(
            world.host("10.0.0.1"), {.host = "10.0.0.2", .prefix = "t:"}, core::Logger()
        );
        ASSERT_TRUE(made);
        shared = *std::move(made);
        service.update(policy::test_set(1), now());
        tick(1s);
    }

    Instant now() { return world.loop().now(); }

    void tick(Duration time) {
        const std::vector<policy::ServicePolicies*> all = {&service};
        shared->tick(all);
        world.loop().run_for(time);
    }

    sim::SimWorld world{sim::seed_for_test(1)};
    redis::FakeRedis redis{world.host("10.0.0.2"), *io::parse_ip("10.0.0.2", 6379)};
    policy::ServicePolicies service{"api_service", sharing(), 1};
    std::unique_ptr<SharedBreakers> shared;
};

TEST_F(SharedBreakersTest, ASilentRedisDelaysNothingAndIsAskedOnceAtATime) {
    redis.is_silent = true;
    for (int i = 0; i < 20; ++i) {
        tick(Duration::zero());
        tick(100ms);
        EXPECT_TRUE(ask(service, now()));
    }
    EXPECT_LE(redis.count("EVAL"), 5U) << "half a second each, one at a time";
    EXPECT_EQ(state_of(service, 0, now()), BreakerState::closed);
}

TEST_F(SharedBreakersTest, GarbageIsNothing) {
    using Fake = redis::FakeRedis;
    std::vector<Fake::Value> items;
    redis.more = [&](const Fake::Words&) -> std::optional<Fake::Value> {
        return Fake::array(items);
    };
    for (const auto& said : std::vector<std::vector<Fake::Value>>{
             {Fake::text("")},
             {Fake::text(""), Fake::text("")},
             {Fake::text("noblank"), Fake::text("1")},
             {Fake::text("x nobody"), Fake::integer(7)},
             {Fake::array({}), Fake::error("ERR")},
         }) {
        items = said;
        tick(1s);
        EXPECT_EQ(state_of(service, 0, now()), BreakerState::closed);
    }
    items = {Fake::text("other e00000"), Fake::text("17")};
    tick(1s);
    EXPECT_EQ(state_of(service, 0, now()), BreakerState::half_open);
}

TEST_F(SharedBreakersTest, AServiceThatDoesNotShareNeedsNoRedis) {
    policy::ServicePolicies alone("alone", {}, 2);
    const std::vector<policy::ServicePolicies*> all = {&alone};
    const std::size_t before = redis.sessions();
    auto quiet = SharedBreakers::create(
        world.host("10.0.0.3"), {.host = "10.0.0.2", .prefix = "t:"}, core::Logger()
    );
    ASSERT_TRUE(quiet);
    (*quiet)->tick(all);
    world.loop().run_for(5s);
    EXPECT_EQ(redis.sessions(), before);
}

}  // namespace
}  // namespace datapunk::mesh::internal
