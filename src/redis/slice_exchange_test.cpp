#include "redis/slice_exchange.h"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "io/epoll_loop.h"
#include "io/tcp.h"
#include "redis/fake_redis.h"
#include "redis/test_redis_server.h"
#include "sim/run.h"
#include "sim/sim_world.h"

namespace datapunk::mesh::redis {
namespace {

using namespace std::chrono_literals;
using resilience::LeasedSlice;

// --- with a real one: two processes as far as it can tell

class RealSliceExchange : public testing::Test {
  public:
    void SetUp() override {
        if (!TestRedisServer::is_wanted()) GTEST_SKIP() << "PEERS=0";
        server.emplace(io::random_seed());
        one = make();
        other = make();
        one->add("retry:api", first);
        other->add("retry:api", second);
    }

    std::unique_ptr<SliceExchange> make() {
        auto made = SliceExchange::create(
            network, {.host = "127.0.0.1", .port = server->port(), .prefix = "t:"}, core::Logger()
        );
        EXPECT_TRUE(made);
        return *std::move(made);
    }

    template <class Done>
    bool until(Done done, Duration limit = 20s) {
        const Instant end = loop.now() + limit;
        while (!done() && loop.now() < end) loop.turn(std::min(end, loop.now() + 10ms));
        return done();
    }

    std::int64_t take_all() {
        std::int64_t taken = 0;
        for (const auto& slice : {first, second}) {
            while (slice->try_take()) ++taken;
        }
        return taken;
    }

    // Until both have asked three times in vain.
    std::int64_t take_until_empty() {
        std::int64_t taken = 0;
        std::uint64_t granted = 0;
        std::array<std::uint64_t, 2> before{};
        EXPECT_TRUE(until([&] {
            taken += take_all();
            const std::uint64_t now = one->stats().granted + other->stats().granted;
            if (now != granted || !are_together()) {
                granted = now;
                before = {one->stats().answered, other->stats().answered};
            }
            return granted > 0 && one->stats().answered >= before[0] + 3 &&
                   other->stats().answered >= before[1] + 3;
        }));
        return taken;
    }

    // An answer that came too late for this machine has lost tokens, never made any.
    void expect_all(std::int64_t taken, std::int64_t all) const {
        EXPECT_LE(taken, all);
        const bool has_lost = one->stats().late + other->stats().late > 0;
        if (!has_lost) {
            EXPECT_EQ(taken, all);
        }
    }

    bool are_together() const { return !first->is_alone() && !second->is_alone(); }

    std::unique_ptr<io::EpollLoop> owner = *io::EpollLoop::create();
    io::EpollLoop& loop = *owner;
    io::KernelNetwork network{loop};
    std::optional<TestRedisServer> server;
    // Nothing comes to the bucket while the test runs: what there is can be counted.
    std::shared_ptr<LeasedSlice> first =
        std::make_shared<LeasedSlice>(resilience::SliceConfig{.rate = 0.0001, .burst = 100});
    std::shared_ptr<LeasedSlice> second =
        std::make_shared<LeasedSlice>(resilience::SliceConfig{.rate = 0.0001, .burst = 100});
    std::unique_ptr<SliceExchange> one;
    std::unique_ptr<SliceExchange> other;
};

TEST_F(RealSliceExchange, TheBucketIsHandedOutOnceAndToBoth) {
    ASSERT_TRUE(until([&] { return are_together(); }));
    EXPECT_GE(first->held(), 20);
    EXPECT_GE(second->held(), 20);
    expect_all(take_until_empty(), 102);  // and one that each began with
}

TEST_F(RealSliceExchange, GoesOnAloneWithoutRedisAndTogetherAgainWithIt) {
    ASSERT_TRUE(until([&] { return are_together(); }));
    server->kill();
    ASSERT_TRUE(until([&] { return first->is_alone() && second->is_alone(); }));
    EXPECT_TRUE(one->has_problem());
    EXPECT_TRUE(first->try_take()) << "what it has is its own";
    server->start();
    (void)take_all();
    ASSERT_TRUE(until([&] { return are_together(); }));
    EXPECT_FALSE(one->has_problem());
}

TEST_F(RealSliceExchange, OneThatHangsIsNotWaitedFor) {
    ASSERT_TRUE(until([&] { return are_together(); }));
    (void)take_all();
    server->freeze();
    ASSERT_TRUE(until([&] {
        (void)take_all();
        return first->is_alone() && second->is_alone();
    }));
    server->thaw();
    EXPECT_TRUE(until([&] {
        (void)take_all();
        return are_together();
    }));
}

TEST_F(RealSliceExchange, AFlushBringsOneBurstAndNoMore) {
    expect_all(take_until_empty(), 102);
    RedisConfig config;
    config.port = server->port();
    RedisClient client(network, config, core::Logger());
    ASSERT_TRUE(until([&] { return client.is_up(); }));
    ASSERT_TRUE(*sim::run_on(loop, client.call({"FLUSHALL"}, loop.now() + 5s)));
    expect_all(take_until_empty(), 100);
}

TEST_F(RealSliceExchange, ABucketThatIsSomethingElseIsAProblemAndNotAnEnd) {
    RedisConfig config;
    config.port = server->port();
    RedisClient client(network, config, core::Logger());
    ASSERT_TRUE(until([&] { return client.is_up(); }));
    ASSERT_TRUE(*sim::run_on(loop, client.call({"FLUSHALL"}, loop.now() + 5s)));
    ASSERT_TRUE(*sim::run_on(loop, client.call({"SET", "t:slice:retry:api", "x"}, loop.now() + 5s))
    );
    (void)take_all();
    ASSERT_TRUE(until([&] {
        (void)take_all();
        return one->has_problem();
    }));
    EXPECT_TRUE(first->is_alone());
}

// --- in virtual time, with one that can be wrong

class SliceExchangeTest : public testing::Test {
  public:
    void SetUp() override {
        auto made = SliceExchange::create(
            world.host("10.0.0.1"), {.host = "10.0.0.2", .prefix = "t:"}, core::Logger()
        );
        ASSERT_TRUE(made);
        exchange = *std::move(made);
        fake.more = [this](const FakeRedis::Words& words) -> std::optional<FakeRedis::Value> {
            if (words.at(0) != "EVAL") return std::nullopt;
            return FakeRedis::array(answer);
        };
    }

    // Ten tries a second, for so long: what it got.
    std::int64_t run(Duration time) {
        std::int64_t taken = 0;
        for (Duration t{}; t < time; t += 100ms) {
            taken += slice->try_take() ? 1 : 0;
            world.loop().run_for(100ms);
        }
        return taken;
    }

    sim::SimWorld world{sim::seed_for_test(1)};
    FakeRedis fake{world.host("10.0.0.2"), *io::parse_ip("10.0.0.2", 6379)};
    std::vector<FakeRedis::Value> answer = {FakeRedis::integer(1), FakeRedis::integer(1)};
    std::shared_ptr<LeasedSlice> slice =
        std::make_shared<LeasedSlice>(resilience::SliceConfig{.rate = 5, .burst = 5});
    std::unique_ptr<SliceExchange> exchange;
};

TEST_F(SliceExchangeTest, ASilentRedisIsAskedOnceAtATimeAndReplacedMeanwhile) {
    exchange->add("a", slice);
    fake.is_silent = true;
    const std::int64_t taken = run(20s);
    EXPECT_GE(taken, 95);
    EXPECT_LE(taken, 110);
    EXPECT_LE(fake.count("EVAL"), 42U) << "half a second each";
    EXPECT_TRUE(exchange->has_problem());
}

TEST_F(SliceExchangeTest, ASlowRedisStillSharesAndNothingWaits) {
    exchange->add("a", slice);
    fake.takes = 250ms;
    const std::int64_t taken = run(20s);
    EXPECT_GE(taken, 60);
    EXPECT_LE(taken, 110);
    EXPECT_GT(exchange->stats().answered, 10U);
}

TEST_F(SliceExchangeTest, GarbageIsAFailure) {
    exchange->add("a", slice);
    run(2s);
    for (const auto& said : std::vector<std::vector<FakeRedis::Value>>{
             {},
             {FakeRedis::integer(1)},
             {FakeRedis::integer(-1), FakeRedis::integer(1)},
             {FakeRedis::integer(1'000'000), FakeRedis::integer(1)},
             {FakeRedis::integer(1), FakeRedis::integer(0)},
         }) {
        answer = said;
        const std::uint64_t granted = exchange->stats().granted;
        run(1s);
        EXPECT_TRUE(slice->is_alone());
        EXPECT_EQ(exchange->stats().granted, granted);
        answer = {FakeRedis::integer(1), FakeRedis::integer(1)};
        run(1s);
        EXPECT_FALSE(slice->is_alone());
    }
}

TEST_F(SliceExchangeTest, ASliceThatIsGoneIsForgottenAndItsNameMayComeAgain) {
    exchange->add("a", slice);
    run(1s);
    slice.reset();
    world.loop().run_for(1s);
    const std::size_t before = fake.count("EVAL");
    world.loop().run_for(5s);
    EXPECT_EQ(fake.count("EVAL"), before);
    slice = std::make_shared<LeasedSlice>(resilience::SliceConfig{.rate = 5, .burst = 5});
    exchange->add("a", slice);
    run(1s);
    EXPECT_GT(fake.count("EVAL"), before);
}

}  // namespace
}  // namespace datapunk::mesh::redis
