// Two processes, a registry each may or may not reach, and a Redis between them.

#include "discovery/shared_cache.h"

#include <gmock/gmock.h>

#include "discovery/fake_registry.h"
#include "discovery/fake_shared_redis.h"
#include "discovery/service_discovery.h"
#include "metrics/names.h"
#include "sim/run.h"
#include "sim/sim_world.h"

namespace datapunk::mesh::discovery {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr const char* kRedis = "10.0.0.9";

std::vector<std::string> ids(const EndpointSet& set) {
    std::vector<std::string> out;
    for (const ServiceEndpoint& one : set.endpoints) out.push_back(one.id);
    return out;
}

class CountingSink final : public core::LogSink {
  public:
    void write(const core::LogRecord& record) override { events.emplace_back(record.event); }

    std::vector<std::string> events;
};

// One process: its view of the registry, of Redis, and what it knows.
struct Process {
    Process(sim::SimWorld& world, const char* ip, const ServiceDiscoveryConfig& config)
        : loop(world.loop()), registry(loop), sink(std::make_shared<CountingSink>()) {
        const core::Logger log(sink, core::Level::warn);
        cache = *SharedCache::create(world.host(ip), config.shared_cache, metrics, log);
        discovery.emplace(loop, registry, config, log);
        discovery->use(*cache);
    }

    Result<EndpointSetPtr> discover(bool use_cache = true) {
        auto result =
            sim::run_on(loop, discovery->discover("api", use_cache, loop.now() + 20s), 10min);
        if (!result) return Error{.what = "discover() did not end"};
        return *std::move(result);
    }

    double counted(const std::string& operation, const std::string& result) {
        const auto snapshot = metrics.snapshot();
        const auto* family = snapshot.find(metrics::names::kSharedCacheRequests);
        if (family == nullptr) return 0;
        for (const auto& series : family->series) {
            if (series.labels == std::vector<std::string>{operation, result}) {
                return static_cast<double>(std::get<std::uint64_t>(series.value));
            }
        }
        return 0;
    }

    io::Loop& loop;
    metrics::MetricRegistry metrics;
    FakeRegistry registry;
    std::shared_ptr<CountingSink> sink;
    std::unique_ptr<SharedCache> cache;
    std::optional<ServiceDiscovery> discovery;
};

class SharedCacheTest : public testing::Test {
  public:
    SharedCacheTest() { config.shared_cache.host = kRedis; }

    Process& start(const char* ip) {
        processes.push_back(std::make_unique<Process>(world, ip, config));
        world.loop().run_for(500ms);  // to connect
        return *processes.back();
    }

    static ServiceEndpoint endpoint(const std::string& id) {
        return {
            .id = id,
            .service = "api",
            .host = "10.1.0.1",
            .port = 80,
            .weight = 7,
            .tags = {"v1"},
            .metadata = {{"zone", "a"}},
            .node = "n1",
            .health = Health::warning
        };
    }

    // The first process knows a and b and has told Redis.
    Process& start_knowing() {
        Process& one = start("10.0.0.1");
        one.registry.put(endpoint("a"));
        one.registry.put(endpoint("b"));
        EXPECT_TRUE(one.discover());
        world.loop().run_for(500ms);
        EXPECT_EQ(scripts.stored, 1);
        return one;
    }

    Process& start_without_registry(const char* ip = "10.0.0.2") {
        Process& two = start(ip);
        two.registry.set_down(true);
        return two;
    }

    sim::SimWorld world{sim::seed_for_test(1)};
    redis::FakeRedis redis{world.host(kRedis), *io::parse_ip(kRedis, 6379)};
    SharedScripts scripts{redis, world.loop()};
    ServiceDiscoveryConfig config;
    std::vector<std::unique_ptr<Process>> processes;
};

TEST_F(SharedCacheTest, CertificatesNeedTlsAndTheirKeys) {
    SharedCacheConfig& shared = config.shared_cache;
    const auto problem = [this] {
        const auto verdict = check(config);
        return verdict ? std::string() : verdict.error().what;
    };
    EXPECT_EQ(problem(), "");
    shared.tls_server_name = "redis.test";
    EXPECT_THAT(problem(), testing::HasSubstr("need shared_cache.tls"));
    shared.tls = true;
    EXPECT_EQ(problem(), "");
    shared.tls_certificate = "us.pem";
    EXPECT_THAT(problem(), testing::HasSubstr("tls_private_key need each other"));
    shared.tls_private_key = "us.key";
    EXPECT_EQ(problem(), "");
    shared.tls_certificate.clear();
    EXPECT_THAT(problem(), testing::HasSubstr("tls_private_key need each other"));
}

TEST_F(SharedCacheTest, WhoStartsWhileTheRegistryIsAwayKnowsWhatAnotherLearned) {
    Process& one = start_knowing();
    one.registry.set_down(true);
    world.loop().run_for(1h);
    Process& two = start_without_registry();
    const auto set = two.discover();
    ASSERT_TRUE(set) << set.error().what;
    EXPECT_THAT(ids(**set), ElementsAre("a", "b"));
    EXPECT_EQ((*set)->endpoints[0], endpoint("a"));
    EXPECT_EQ((*set)->origin, Origin::shared_cache);
    EXPECT_TRUE((*set)->stale);
    EXPECT_GE(world.loop().now() - (*set)->learned_at, 1h);
    EXPECT_EQ(two.discovery->stats().shared_hits, 1U);
    EXPECT_EQ(two.counted("fetch", "ok"), 2);  // at first too old to be used without need
}

TEST_F(SharedCacheTest, AColdStartWithAFreshSetDoesNotAskTheRegistry) {
    start_knowing();
    Process& two = start("10.0.0.2");
    const auto set = two.discover();
    ASSERT_TRUE(set);
    EXPECT_THAT(ids(**set), ElementsAre("a", "b"));
    EXPECT_EQ((*set)->origin, Origin::shared_cache);
    EXPECT_FALSE((*set)->stale);
    EXPECT_EQ(two.registry.queries["api"], 0);
    const auto again = two.discover();
    EXPECT_EQ((*again)->origin, Origin::shared_cache);
    EXPECT_EQ(two.registry.queries["api"], 0);
    // The registry's word is to be had all the same, and counts from then on.
    two.registry.put(endpoint("c"));
    const auto strict = two.discover(false);
    EXPECT_THAT(ids(**strict), ElementsAre("a", "b", "c"));  // removals are confirmed first
    EXPECT_EQ((*strict)->origin, Origin::registry);
    EXPECT_EQ((*strict)->generation, (*set)->generation + 1);
}

TEST_F(SharedCacheTest, WhoWantsTheRegistrysWordAloneGetsItAtTheFirstQuestion) {
    start_knowing();
    Process& two = start("10.0.0.2");
    two.registry.put(endpoint("z"));
    const auto set = two.discover(false);
    ASSERT_TRUE(set);
    EXPECT_EQ((*set)->origin, Origin::registry);
    EXPECT_EQ(two.registry.queries["api"], 1);
}

TEST_F(SharedCacheTest, AWatchBeginsWithTheSharedSetAndThenFollowsTheRegistry) {
    start_knowing();
    Process& two = start("10.0.0.2");
    for (const char* id : {"a", "b"}) two.registry.put(endpoint(id));
    std::vector<EndpointSetPtr> heard;
    const Watch watch = *two.discovery->watch("api", [&](const EndpointChange& change) {
        heard.push_back(change.all);
    });
    world.loop().run_for(20ms);
    ASSERT_EQ(heard.size(), 1U);
    EXPECT_EQ(heard[0]->origin, Origin::shared_cache);
    EXPECT_EQ(two.registry.queries["api"], 0);
    world.loop().run_for(1100ms);
    EXPECT_GE(two.registry.queries["api"], 1);
    EXPECT_EQ(heard.size(), 1U) << "the same set is no change";
    two.registry.put(endpoint("c"));
    world.loop().run_for(10ms);
    ASSERT_EQ(heard.size(), 2U);
    EXPECT_EQ(heard[1]->origin, Origin::registry);
    EXPECT_THAT(ids(*heard[1]), ElementsAre("a", "b", "c"));
}

TEST_F(SharedCacheTest, AThousandColdStartsDoNotAskAtOnce) {
    start_knowing();
    constexpr int kProcesses = 300;
    std::vector<Watch> watches;
    for (int i = 0; i < kProcesses; ++i) {
        const std::string ip =
            "10.2." + std::to_string(i / 250) + "." + std::to_string(i % 250 + 1);
        processes.push_back(std::make_unique<Process>(world, ip.c_str(), config));
        processes.back()->registry.put(endpoint("a"));
    }
    world.loop().run_for(1s);
    for (int i = 1; i <= kProcesses; ++i) {
        watches.push_back(*processes[static_cast<std::size_t>(i)]->discovery->watch(
            "api", [](const EndpointChange&) {}
        ));
    }
    const auto asked = [&] {
        int sum = 0;
        for (int i = 1; i <= kProcesses; ++i) {
            sum += processes[static_cast<std::size_t>(i)]->registry.queries["api"] > 0 ? 1 : 0;
        }
        return sum;
    };
    world.loop().run_for(20ms);
    EXPECT_LT(asked(), 15);
    int most = 0;
    for (int before = asked(), slice = 0; slice < 10; ++slice) {
        world.loop().run_for(100ms);
        most = std::max(most, asked() - before);
        before = asked();
    }
    EXPECT_LT(most, 60) << "of 300, in a tenth of the time";
    world.loop().run_for(200ms);
    EXPECT_EQ(asked(), kProcesses);
}

TEST_F(SharedCacheTest, OfManyWhoSeeAChangeOneWritesIt) {
    std::vector<Watch> watches;
    for (int i = 1; i <= 50; ++i) {
        const std::string ip = "10.0.1." + std::to_string(i);
        processes.push_back(std::make_unique<Process>(world, ip.c_str(), config));
        watches.push_back(*processes.back()->discovery->watch("api", [](const EndpointChange&) {}));
    }
    world.loop().run_for(2s);
    for (const auto& process : processes) process->registry.put(endpoint("a"));
    world.loop().run_for(1s);
    EXPECT_LE(scripts.stored, 5);
    EXPECT_GE(scripts.stored, 1);
    const int stored = scripts.stored;
    world.loop().run_for(5min);
    EXPECT_EQ(scripts.stored, stored) << "what is there is confirmed, not written again";
}

TEST_F(SharedCacheTest, AnotherProcesssChangeInvalidatesWhatIsCached) {
    Process& one = start_knowing();
    Process& two = start("10.0.0.2");
    ASSERT_TRUE(two.discover(false));
    EXPECT_EQ(two.registry.queries["api"], 1);
    ASSERT_TRUE(two.discover());
    EXPECT_EQ(two.registry.queries["api"], 1);
    one.registry.put(endpoint("c"));
    ASSERT_TRUE(one.discover(false));
    world.loop().run_for(500ms);
    EXPECT_EQ(two.discovery->stats().invalidations, 1U);
    for (const char* id : {"a", "b", "c"}) two.registry.put(endpoint(id));
    EXPECT_THAT(ids(**two.discover()), ElementsAre("a", "b", "c"));
    EXPECT_EQ(two.registry.queries["api"], 2);
    EXPECT_EQ(one.discovery->stats().invalidations, 0U) << "by its own notice";
}

TEST_F(SharedCacheTest, WhoCannotAskTheRegistryLearnsFromThoseWhoCan) {
    Process& one = start_knowing();
    Process& two = start("10.0.0.2");
    for (const char* id : {"a", "b"}) two.registry.put(endpoint(id));
    std::vector<EndpointSetPtr> heard;
    const Watch watch = *two.discovery->watch("api", [&](const EndpointChange& change) {
        heard.push_back(change.all);
    });
    world.loop().run_for(2s);
    two.registry.set_down(true);
    world.loop().run_for(1min);
    one.registry.put(endpoint("c"));
    ASSERT_TRUE(one.discover(false));
    world.loop().run_for(500ms);
    EXPECT_THAT(ids(*heard.back()), ElementsAre("a", "b", "c"));
    EXPECT_EQ(heard.back()->origin, Origin::shared_cache);
    EXPECT_TRUE(heard.back()->stale);
    world.loop().run_for(config.shared_cache.keep + 1h);
    EXPECT_THAT(ids(*heard.back()), ElementsAre("a", "b", "c")) << "it outlasts its copy in Redis";
}

TEST_F(SharedCacheTest, WithoutRedisEverythingGoesOn) {
    world.kill(kRedis);
    Process& one = start("10.0.0.1");
    one.registry.put(endpoint("a"));
    const Instant begun = world.loop().now();
    const auto set = one.discover();
    ASSERT_TRUE(set);
    EXPECT_EQ((*set)->origin, Origin::registry);
    EXPECT_LT(world.loop().now() - begun, 10ms) << "nobody waits for a connection";
    EXPECT_EQ(one.discovery->stats().shared_misses, 1U);
    EXPECT_EQ(one.counted("fetch", "refused"), 1);
}

TEST_F(SharedCacheTest, ASlowRedisCostsTheFirstQuestionItsTimeoutAndNoMore) {
    Process& one = start("10.0.0.1");
    redis.is_silent = true;
    one.registry.put(endpoint("a"));
    const Instant begun = world.loop().now();
    ASSERT_TRUE(one.discover());
    EXPECT_LT(world.loop().now() - begun, config.shared_cache.timeout + 10ms);
    EXPECT_EQ(one.counted("fetch", "timeout"), 1);
    const Instant later = world.loop().now();
    ASSERT_TRUE(one.discover());
    ASSERT_TRUE(one.discover(false));
    EXPECT_LT(world.loop().now() - later, 10ms);
}

TEST_F(SharedCacheTest, GarbageIsAMissAMetricAndOneLine) {
    start_knowing();
    for (const std::string& garbage :
         {std::string("1\n2\nnonsense"),
          std::string("1\n2\n{\"v\":2}"),
          std::string("1\n2\n"),
          std::string(
              R"(1
2
{"v":1,"service":"other","index":1,"age_ms":0,"endpoints":[{"id":"x","host":"h","port":1,"weight":1,"health":"passing"}]})"
          )}) {
        redis.keys["dpmesh:set:api"].text = garbage;
        Process& two = start_without_registry();
        EXPECT_FALSE(two.discover());
        EXPECT_FALSE(two.discover(false));
        EXPECT_GE(two.counted("fetch", "garbage"), 2) << garbage;
        EXPECT_EQ(
            std::count(
                two.sink->events.begin(),
                two.sink->events.end(),
                "the shared cache does not work, going on without"
            ),
            1
        );
        processes.pop_back();
    }
}

TEST_F(SharedCacheTest, AWrongTypeIsAnErrorForThatServiceOnly) {
    redis.keys["dpmesh:set:api"] = {.is_hash = true};
    Process& one = start("10.0.0.1");
    one.registry.put(endpoint("a"));
    ASSERT_TRUE(one.discover());
    world.loop().run_for(1s);
    EXPECT_EQ(one.counted("fetch", "error"), 1);
    EXPECT_EQ(one.counted("confirm", "error"), 1);
    EXPECT_EQ(scripts.stored, 0);
    EXPECT_TRUE(one.cache->is_up());
}

TEST_F(SharedCacheTest, AFullRedisHurtsNobody) {
    redis.is_full = true;
    Process& one = start("10.0.0.1");
    one.registry.put(endpoint("a"));
    ASSERT_TRUE(one.discover());
    world.loop().run_for(1s);
    EXPECT_EQ(one.counted("store", "error"), 1);
    redis.is_full = false;
    world.loop().run_for(40s);
    ASSERT_TRUE(one.discover());
    world.loop().run_for(1s);
    EXPECT_EQ(scripts.stored, 1);
}

TEST_F(SharedCacheTest, AFlushedRedisIsFilledAgain) {
    Process& one = start_knowing();
    const Watch watch = *one.discovery->watch("api", [](const EndpointChange&) {});
    redis.keys.clear();
    world.loop().run_for(1min);
    EXPECT_EQ(redis.keys.count("dpmesh:set:api"), 1U);
}

TEST_F(SharedCacheTest, ARedisThatRestartsEmptyIsFilledAtTheNextAnswer) {
    Process& one = start_knowing();
    redis.keys.clear();
    redis.drop_all();
    world.loop().run_for(1s);
    ASSERT_TRUE(one.discover(false));
    world.loop().run_for(500ms);
    EXPECT_EQ(scripts.stored, 2);
}

TEST_F(SharedCacheTest, EmptySetsAreNotShared) {
    Process& one = start_knowing();
    one.registry.clear("api");
    world.loop().run_for(5s);
    ASSERT_TRUE(one.discover(false));
    world.loop().run_for(5s);
    EXPECT_THAT((*one.discover(false))->endpoints, IsEmpty());
    one.registry.set_down(true);
    Process& two = start_without_registry();
    EXPECT_THAT(ids(**two.discover()), ElementsAre("a", "b")) << "better than nothing";
}

TEST_F(SharedCacheTest, WhatNobodyConfirmsIsForgottenInTime) {
    config.snapshot_max_age = 1h;
    start_knowing();
    Process& two = start_without_registry();
    std::vector<EndpointSetPtr> heard;
    const Watch watch = *two.discovery->watch("api", [&](const EndpointChange& change) {
        heard.push_back(change.all);
    });
    world.loop().run_for(50min);
    ASSERT_EQ(heard.size(), 1U);
    world.loop().run_for(11min);
    ASSERT_EQ(heard.size(), 2U);
    EXPECT_THAT(heard.back()->endpoints, IsEmpty());
    EXPECT_EQ(two.discovery->stats().expired, 1U);
    EXPECT_FALSE(two.discover(false));
    two.registry.put(endpoint("z"));
    two.registry.set_down(false);
    world.loop().run_for(1min);
    EXPECT_THAT(ids(*heard.back()), ElementsAre("z"));
}

TEST_F(SharedCacheTest, ARegistryThatHangsIsNotWaitedForIfAnotherKnows) {
    start_knowing();
    world.loop().run_for(1h);
    Process& two = start("10.0.0.2");
    two.registry.is_silent = true;
    const Instant begun = world.loop().now();
    const auto set = two.discover();
    ASSERT_TRUE(set);
    EXPECT_THAT(ids(**set), ElementsAre("a", "b"));
    EXPECT_TRUE((*set)->stale);
    EXPECT_LT(world.loop().now() - begun, config.fallback_after + config.shared_cache.timeout);
}

TEST_F(SharedCacheTest, TheSameFaultsAtRandomNeverLoseASet) {
    Process& one = start_knowing();
    std::size_t fewest = 99;
    const Watch watch = *one.discovery->watch("api", [&](const EndpointChange& change) {
        fewest = std::min(fewest, change.all->endpoints.size());
    });
    core::Rng rng(sim::seed_for_test(7));
    for (int step = 0; step < 300; ++step) {
        switch (rng.below(7)) {
            case 0:
                redis.is_silent = rng.chance(0.5);
                break;
            case 1:
                redis.is_full = rng.chance(0.5);
                break;
            case 2:
                redis.drop_all();
                break;
            case 3:
                redis.keys.clear();
                break;
            case 4:
                redis.garbage = rng.chance(0.5) ? "$3\r\nnonsense" : "";
                break;
            case 5:
                redis.takes = Duration(static_cast<std::int64_t>(rng.below(1'000'000'000)));
                break;
            default:
                one.registry.set_down(rng.chance(0.3));
                break;
        }
        world.loop().run_for(Duration(static_cast<std::int64_t>(rng.below(5'000'000'000))));
        const Instant begun = world.loop().now();
        ASSERT_TRUE(one.discover());
        ASSERT_LT(world.loop().now() - begun, 300ms);
    }
    EXPECT_EQ(fewest, 2U);
}

}  // namespace
}  // namespace datapunk::mesh::discovery
