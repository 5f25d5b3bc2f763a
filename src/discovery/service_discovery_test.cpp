#include "discovery/service_discovery.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <stdexcept>

#include "discovery/fake_registry.h"
#include "sim/run.h"
#include "sim/sim_loop.h"

namespace datapunk::mesh::discovery {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

ServiceEndpoint endpoint(std::string id, std::string service = "api") {
    return {.id = std::move(id), .service = std::move(service), .host = "10.0.0.1", .port = 80};
}

std::vector<std::string> ids(const std::vector<ServiceEndpoint>& endpoints) {
    std::vector<std::string> out;
    for (const ServiceEndpoint& one : endpoints) out.push_back(one.id);
    return out;
}

// What a watcher was told.
struct Diary {
    std::vector<EndpointChange> changes;

    ChangeCallback writer() {
        return [this](const EndpointChange& change) { changes.push_back(change); };
    }

    std::vector<std::string> last() const {
        return changes.empty() ? std::vector<std::string>{"nothing yet"}
                               : ids(changes.back().all->endpoints);
    }
};

class ServiceDiscoveryTest : public testing::Test {
  public:
    ServiceDiscoveryTest() { start({}); }

    void start(const ServiceDiscoveryConfig& config) {
        ASSERT_TRUE(check(config));
        discovery.reset();
        discovery.emplace(loop, registry, config, core::Logger());
    }

    void put(const std::vector<std::string>& names) {
        for (const std::string& id : names) registry.put(endpoint(id));
    }

    Result<EndpointSetPtr> discover(bool use_cache = true, std::string name = "api") {
        auto result = sim::run_on(
            loop, discovery->discover(std::move(name), use_cache, loop.now() + 20s), 10min
        );
        if (!result) return Error{.what = "discover() did not end"};
        return *std::move(result);
    }

    Watch watch(Diary& diary) { return *discovery->watch("api", diary.writer()); }

    int queries() { return registry.queries["api"]; }

    sim::SimLoop loop{sim::seed_for_test(1)};
    FakeRegistry registry{loop};
    std::optional<ServiceDiscovery> discovery;
};

TEST_F(ServiceDiscoveryTest, AnswersFromTheRegistryThenFromTheCache) {
    put({"b", "a"});
    const auto first = discover();
    ASSERT_TRUE(first) << first.error().what;
    EXPECT_THAT(ids((*first)->endpoints), ElementsAre("a", "b"));
    EXPECT_EQ((*first)->origin, Origin::registry);
    EXPECT_EQ((*first)->generation, 1U);
    EXPECT_EQ((*first)->index, 102U);
    loop.run_for(1s);
    const auto second = discover();
    EXPECT_EQ((*second)->origin, Origin::cache);
    EXPECT_FALSE((*second)->stale);
    EXPECT_EQ((*second)->learned_at, (*first)->learned_at);
    EXPECT_EQ(queries(), 1);
    EXPECT_EQ(discovery->stats().hits, 1U);
    EXPECT_EQ(discovery->stats().misses, 1U);
}

TEST_F(ServiceDiscoveryTest, AsksAgainWhenTheAnswerIsOld) {
    put({"a"});
    ASSERT_TRUE(discover());
    loop.run_for(24s - 10ms);  // 30 s less a fifth
    ASSERT_TRUE(discover());
    EXPECT_EQ(queries(), 1);
    loop.run_for(12s + 20ms);
    ASSERT_TRUE(discover());
    EXPECT_EQ(queries(), 2);
}

TEST_F(ServiceDiscoveryTest, WithoutTheCacheTheRegistryIsAskedEachTime) {
    put({"a"});
    ASSERT_TRUE(discover(false));
    ASSERT_TRUE(discover(false));
    EXPECT_EQ(queries(), 2);
    start({.enable_caching = false});
    ASSERT_TRUE(discover(true));
    ASSERT_TRUE(discover(true));
    EXPECT_EQ(queries(), 4);
}

TEST_F(ServiceDiscoveryTest, AStampedeIsOneQuestion) {
    put({"a"});
    registry.latency = 500ms;
    int answered = 0;
    const auto ask = [](ServiceDiscovery* from, Instant deadline, int* count) -> io::Task<void> {
        const std::string name = "api";
        auto set = co_await from->discover(name, true, deadline);
        if (set && (*set)->endpoints.size() == 1) ++*count;
    };
    io::TaskGroup group;
    for (int i = 0; i < 1'000; ++i) {
        group.spawn(ask(&*discovery, loop.now() + 10s, &answered));
    }
    loop.run_for(1s);
    EXPECT_EQ(answered, 1'000);
    EXPECT_EQ(queries(), 1);
}

TEST_F(ServiceDiscoveryTest, NothingIsRememberedForAShortTimeOnly) {
    const auto nothing = discover();
    ASSERT_TRUE(nothing);
    EXPECT_THAT((*nothing)->endpoints, IsEmpty());
    ASSERT_TRUE(discover());
    EXPECT_EQ(queries(), 1);
    EXPECT_EQ(discovery->stats().negative_hits, 1U);
    put({"a"});
    loop.run_for(1s);
    EXPECT_THAT(ids((*discover())->endpoints), ElementsAre("a"));
}

TEST_F(ServiceDiscoveryTest, AFailureWithNothingKnownIsAnErrorAndIsNotAskedAgainAtOnce) {
    registry.set_down(true);
    for (int i = 0; i < 10; ++i) {
        const auto result = discover();
        ASSERT_FALSE(result);
        EXPECT_EQ(result.error().source, Source::registry);
    }
    EXPECT_EQ(queries(), 1);
    EXPECT_FALSE(discovery->stats().registry_up);
    loop.run_for(1s);
    registry.set_down(false);
    EXPECT_TRUE(discover());
    EXPECT_TRUE(discovery->stats().registry_up);
}

TEST_F(ServiceDiscoveryTest, ARegistryThatSaysNothingRunsIntoTheCallersDeadline) {
    registry.is_silent = true;
    const Instant begin = loop.now();
    const auto result = sim::run_on(loop, discovery->discover("api", true, begin + 700ms));
    ASSERT_TRUE(result);
    EXPECT_EQ(result->error().code, Code::timeout);
    EXPECT_LE(loop.now() - begin, 702ms);
}

TEST_F(ServiceDiscoveryTest, NamesThatCannotBeAreRefused) {
    for (const std::string& name : {std::string(), std::string("a b"), std::string(254, 'x')}) {
        EXPECT_EQ(discover(true, name).error().code, Code::invalid);
    }
    EXPECT_TRUE(discover(true, std::string(253, 'x')));
    EXPECT_TRUE(discover(true, "Web.Api"));
}

TEST_F(ServiceDiscoveryTest, KnowsABoundedNumberOfServices) {
    start({.services_max = 2});
    registry.put(endpoint("a", "one"));
    const Watch first = *discovery->watch("one", [](const EndpointChange&) {});
    ASSERT_TRUE(discover(true, "two"));
    ASSERT_TRUE(discover(true, "three"));  // in the place of two, which nobody uses
    const Watch second = *discovery->watch("three", [](const EndpointChange&) {});
    EXPECT_EQ(discover(true, "four").error().code, Code::exhausted);
    EXPECT_EQ(discovery->stats().services, 2U);
    EXPECT_EQ(discovery->stats().watched, 2U);
    EXPECT_EQ(discovery->stats().refused, 1U);
}

TEST_F(ServiceDiscoveryTest, WhatNobodyUsesIsForgotten) {
    put({"a"});
    ASSERT_TRUE(discover());
    loop.run_for(9min);
    EXPECT_EQ(discovery->stats().services, 1U);
    loop.run_for(2min);
    EXPECT_EQ(discovery->stats().services, 0U);
    EXPECT_EQ(discovery->known("api"), nullptr);
}

TEST_F(ServiceDiscoveryTest, AWatcherHearsAllThereIsThenEveryRealChange) {
    put({"a"});
    Diary diary;
    const Watch handle = watch(diary);
    EXPECT_THAT(diary.changes, IsEmpty());  // not from inside watch()
    loop.run_for(1s);
    ASSERT_EQ(diary.changes.size(), 1U);
    EXPECT_THAT(ids(diary.changes[0].added), ElementsAre("a"));
    put({"b"});
    loop.run_for(100ms);
    ServiceEndpoint changed = endpoint("a");
    changed.weight = 5;
    registry.put(changed);
    loop.run_for(100ms);
    registry.remove("api", "b");
    loop.run_for(200ms);
    ASSERT_EQ(diary.changes.size(), 4U);
    EXPECT_THAT(ids(diary.changes[1].added), ElementsAre("b"));
    EXPECT_THAT(ids(diary.changes[2].changed), ElementsAre("a"));
    EXPECT_EQ(diary.changes[2].changed[0].weight, 5U);
    EXPECT_THAT(diary.changes[2].added, IsEmpty());
    EXPECT_THAT(ids(diary.changes[3].removed), ElementsAre("b"));
    EXPECT_EQ(diary.changes[3].all->generation, 4U);
}

TEST_F(ServiceDiscoveryTest, AnIndexThatMovesWithoutAChangeIsNoChange) {
    put({"a"});
    Diary diary;
    const Watch handle = watch(diary);
    loop.run_for(1s);
    for (int i = 0; i < 20; ++i) {
        ServiceEndpoint same = endpoint("a");
        same.last_check = loop.wall_now();
        registry.put(same);
        loop.run_for(1s);
    }
    EXPECT_EQ(diary.changes.size(), 1U);
    EXPECT_EQ(discovery->known("api")->generation, 1U);
    EXPECT_GT(discovery->known("api")->index, 110U);
}

TEST_F(ServiceDiscoveryTest, WatchersAreToldOfAServiceWithoutEndpointsOnce) {
    Diary diary;
    const Watch handle = watch(diary);
    loop.run_for(5min);
    ASSERT_EQ(diary.changes.size(), 1U);
    EXPECT_THAT(diary.changes[0].all->endpoints, IsEmpty());
}

TEST_F(ServiceDiscoveryTest, ManyWatchersShareOneQuestion) {
    put({"a"});
    std::vector<Diary> diaries(50);
    std::vector<Watch> watches;
    for (Diary& diary : diaries) watches.push_back(watch(diary));
    loop.run_for(10s);
    EXPECT_EQ(queries(), 2);  // the first, and the blocking one
    EXPECT_EQ(registry.outstanding(), 1U);
    put({"b"});
    loop.run_for(1s);
    for (const Diary& diary : diaries) EXPECT_THAT(diary.last(), ElementsAre("a", "b"));
    EXPECT_EQ(registry.most_at_once, 1U);
}

TEST_F(ServiceDiscoveryTest, AWatchedServiceIsServedFromTheCacheAlways) {
    put({"a"});
    Diary diary;
    const Watch handle = watch(diary);
    loop.run_for(1s);
    const int before = queries();
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(discover());
    EXPECT_EQ(queries(), before);
}

TEST_F(ServiceDiscoveryTest, IsReadAgainEvenIfNoChangeIsAnnounced) {
    put({"a"});
    Diary diary;
    const Watch handle = watch(diary);
    loop.run_for(1s);
    registry.catalog["api"].endpoints["b"] = endpoint("b");  // the index says nothing
    loop.run_for(36s + 100ms);
    EXPECT_THAT(diary.last(), ElementsAre("a", "b"));
}

TEST_F(ServiceDiscoveryTest, TheQuestionEndsSomeTimeAfterTheLastWatcherLeft) {
    put({"a"});
    Diary diary;
    Watch handle = watch(diary);
    loop.run_for(1s);
    handle.stop();
    EXPECT_FALSE(handle.is_active());
    loop.run_for(59s);
    EXPECT_EQ(registry.outstanding(), 1U);
    loop.run_for(2s);
    EXPECT_EQ(registry.outstanding(), 0U);
    handle = watch(diary);
    loop.run_for(1s);
    EXPECT_EQ(registry.outstanding(), 1U);
}

TEST_F(ServiceDiscoveryTest, AStoppedWatcherIsNotCalledNotEvenInTheSameTurn) {
    put({"a"});
    Diary diary;
    Watch handle = watch(diary);
    loop.run_for(1s);
    Diary second;
    Watch another = watch(second);  // would be told in this turn
    another.stop();
    handle.stop();
    put({"b"});
    loop.run_for(1s);
    EXPECT_EQ(diary.changes.size(), 1U);
    EXPECT_THAT(second.changes, IsEmpty());
}

TEST_F(ServiceDiscoveryTest, AWatcherMayStopItselfAndOthersWhileItIsCalled) {
    put({"a"});
    Watch first;
    Watch second;
    int calls = 0;
    const auto stop_both = [&](const EndpointChange&) {
        ++calls;
        first.stop();
        second.stop();
    };
    first = *discovery->watch("api", stop_both);
    second = *discovery->watch("api", stop_both);
    loop.run_for(1s);
    EXPECT_EQ(calls, 1);
    EXPECT_EQ(discovery->stats().watched, 0U);
}

TEST_F(ServiceDiscoveryTest, AWatcherMayAskAndInvalidateWhileItIsCalled) {
    put({"a"});
    Diary inner;
    Watch second;
    const Watch first = *discovery->watch("api", [&](const EndpointChange&) {
        discovery->invalidate("api");
        if (!second.is_active()) second = watch(inner);
    });
    loop.run_for(1s);
    EXPECT_THAT(inner.last(), ElementsAre("a"));
    EXPECT_EQ(registry.most_at_once, 1U);
}

TEST_F(ServiceDiscoveryTest, AWatcherThatThrowsHurtsNobody) {
    put({"a"});
    Diary diary;
    const Watch bad =
        *discovery->watch("api", [](const EndpointChange&) { throw std::runtime_error("boom"); });
    const Watch worse = *discovery->watch("api", [](const EndpointChange&) { throw 1; });
    const Watch good = watch(diary);
    loop.run_for(1s);
    put({"b"});
    loop.run_for(1s);
    EXPECT_THAT(diary.last(), ElementsAre("a", "b"));
    EXPECT_EQ(discovery->stats().callback_errors, 4U);
    EXPECT_EQ(discovery->stats().callbacks, 6U);
}

TEST_F(ServiceDiscoveryTest, AWatchMayOutliveTheDiscovery) {
    put({"a"});
    Diary diary;
    Watch handle = watch(diary);
    loop.run_for(1s);
    discovery.reset();
    handle.stop();
    EXPECT_EQ(registry.outstanding(), 0U);
}

TEST_F(ServiceDiscoveryTest, AnEmptyAnswerIsNotBelievedAtOnce) {
    put({"a", "b", "c"});
    Diary diary;
    const Watch handle = watch(diary);
    loop.run_for(1s);
    registry.is_lying = true;
    registry.put(endpoint("a"));  // wakes the question
    loop.run_for(2900ms);
    EXPECT_THAT(ids((*discover())->endpoints), ElementsAre("a", "b", "c"));
    EXPECT_EQ(discovery->stats().held_back, 3U);
    registry.is_lying = false;  // it was a hiccup
    loop.run_for(1min);
    EXPECT_EQ(diary.changes.size(), 1U);
}

TEST_F(ServiceDiscoveryTest, AnEmptyAnswerThatIsConfirmedIsBelieved) {
    put({"a", "b", "c"});
    Diary diary;
    const Watch handle = watch(diary);
    loop.run_for(1s);
    registry.clear("api");
    loop.run_for(2900ms);
    EXPECT_EQ(diary.changes.size(), 1U);
    loop.run_for(300ms);
    EXPECT_THAT(diary.last(), IsEmpty());
}

TEST_F(ServiceDiscoveryTest, ASuspiciousAnswerIsConfirmedEvenIfNobodyWatches) {
    put({"a"});
    ASSERT_TRUE(discover());
    registry.clear("api");
    EXPECT_THAT(ids((*discover(false))->endpoints), ElementsAre("a"));
    loop.run_for(3100ms);
    EXPECT_EQ(queries(), 3);
    EXPECT_THAT(discovery->known("api")->endpoints, IsEmpty());
    EXPECT_EQ(registry.outstanding(), 0U);
}

TEST_F(ServiceDiscoveryTest, OurOwnDeregistrationIsBelievedAtOnce) {
    put({"a"});
    Diary diary;
    const Watch handle = watch(diary);
    loop.run_for(1s);
    registry.clear("api");
    discovery->note_deregistered("api", "a");
    loop.run_for(300ms);
    EXPECT_THAT(diary.last(), IsEmpty());
}

TEST_F(ServiceDiscoveryTest, InvalidateReadsAWatchedServiceAgainNow) {
    put({"a"});
    Diary diary;
    const Watch handle = watch(diary);
    loop.run_for(1s);
    registry.catalog["api"].endpoints["b"] = endpoint("b");
    discovery->invalidate("api");
    loop.run_for(300ms);
    EXPECT_THAT(diary.last(), ElementsAre("a", "b"));
    EXPECT_EQ(registry.most_at_once, 1U);
    discovery->invalidate("unheard-of");
}

TEST_F(ServiceDiscoveryTest, ADayWithoutTheRegistryKeepsServing) {
    put({"a", "b"});
    Diary diary;
    const Watch handle = watch(diary);
    ASSERT_TRUE(discover(true, "other"));
    loop.run_for(1s);
    const int before = queries();
    registry.set_down(true);
    for (int hour = 0; hour < 24; ++hour) {
        loop.run_for(1h);
        const auto set = discover();
        ASSERT_TRUE(set);
        EXPECT_TRUE((*set)->stale);
        EXPECT_THAT(ids((*set)->endpoints), ElementsAre("a", "b"));
    }
    ASSERT_TRUE(discover(true, "other"));  // not watched, but known
    const auto strict = discover(false);
    EXPECT_EQ(strict.error().code, Code::unavailable);
    // Full jitter up to 30 s: some 5,800 tries a day, not more.
    EXPECT_LT(queries() - before, 8'000);
    EXPECT_GT(queries() - before, 2'880);
    EXPECT_FALSE(discovery->stats().registry_up);
    put({"c"});
    registry.set_down(false);
    loop.run_for(31s);
    EXPECT_THAT(diary.last(), ElementsAre("a", "b", "c"));
    EXPECT_EQ(diary.changes.size(), 2U);
    EXPECT_FALSE(discovery->known("api")->stale);
    EXPECT_EQ(discovery->stats().reconnects, 1U);
}

TEST_F(ServiceDiscoveryTest, OneAnswerAfterAnOutageBringsBackAllOthersSoon) {
    registry.set_down(true);
    std::vector<Watch> watches;
    Diary diary;
    constexpr int kServices = 20;
    for (int i = 0; i < kServices; ++i) {
        watches.push_back(*discovery->watch(fmt::format("s{}", i), diary.writer()));
    }
    loop.run_for(1h);  // by now each waits up to half a minute before it tries again
    EXPECT_TRUE(diary.changes.empty());
    registry.set_down(false);
    while (diary.changes.empty()) loop.run_for(10ms);
    const ServiceDiscoveryConfig defaults;
    loop.run_for(defaults.reconnect.base + 100ms);
    EXPECT_EQ(diary.changes.size(), kServices);
}

TEST_F(ServiceDiscoveryTest, ARegistryThatLostItsDataIsGivenTimeToLearn) {
    registry.index = 490;
    put({"a", "b"});  // 491, 492
    Diary diary;
    const Watch handle = watch(diary);
    loop.run_for(1s);
    EXPECT_EQ(discovery->known("api")->index, 492U);
    registry.set_down(true);
    loop.run_for(5s);
    registry.wipe();  // 492 -> 14
    registry.set_down(false);
    loop.run_for(20s);
    EXPECT_EQ(discovery->known("api")->index, 14U);
    EXPECT_EQ(discovery->stats().index_resets, 1U);
    put({"a"});  // its services come back one by one
    loop.run_for(5s);
    put({"b", "c"});
    loop.run_for(1min);
    ASSERT_EQ(diary.changes.size(), 2U);  // nobody ever missed a or b
    EXPECT_THAT(ids(diary.changes[1].added), ElementsAre("c"));
    EXPECT_THAT(diary.changes[1].removed, IsEmpty());
}

TEST_F(ServiceDiscoveryTest, TwoEmptyAnswersWithAnOutageBetweenThemConfirmNothing) {
    put({"a", "b"});
    Diary diary;
    const Watch handle = watch(diary);
    loop.run_for(1s);
    registry.clear("api");
    loop.run_for(1s);
    registry.set_down(true);
    loop.run_for(10min);
    registry.set_down(false);
    loop.run_for(31s);  // backoff
    const Instant back = discovery->known("api")->learned_at;
    ASSERT_FALSE(discovery->known("api")->stale);
    if (loop.now() - back < 1s) loop.run_for(1s);
    EXPECT_EQ(diary.changes.size(), 1U);
    loop.run_for(31s);
    EXPECT_THAT(diary.last(), IsEmpty());
}

TEST_F(ServiceDiscoveryTest, AnIndexThatGoesBackwardsUnderAWaitStartsOverFromZero) {
    put({"a"});
    Diary diary;
    const Watch handle = watch(diary);
    loop.run_for(1s);
    registry.wipe();
    put({"a", "b"});
    registry.catalog["api"].index = 14;
    loop.run_for(40s);  // the wait ends at its longest
    EXPECT_THAT(diary.last(), ElementsAre("a", "b"));
    EXPECT_EQ(discovery->stats().index_resets, 1U);
    put({"c"});
    loop.run_for(1s);
    EXPECT_THAT(diary.last(), ElementsAre("a", "b", "c"));  // and waits for changes again
}

TEST_F(ServiceDiscoveryTest, ARegistryThatNeverBlocksIsNotAskedInATightLoop) {
    registry.never_blocks = true;
    put({"a"});
    Diary diary;
    const Watch handle = watch(diary);
    loop.run_for(10s);
    EXPECT_LE(queries(), 10 * 10 + 3);  // queries_per_second, and the burst
    EXPECT_GE(queries(), 90);
}

TEST_F(ServiceDiscoveryTest, WhatIsOutOfRangeIsRefusedAllAtOnce) {
    const auto verdict = check(ServiceDiscoveryConfig{
        .cache_ttl = 999ms, .removal_share_max = 1.1, .queries_per_second = 0, .services_max = 0
    });
    ASSERT_FALSE(verdict);
    EXPECT_THAT(verdict.error().what, HasSubstr("cache_ttl must be 1s .. 10m, is 999ms"));
    EXPECT_THAT(verdict.error().what, HasSubstr("removal_share_max"));
    EXPECT_THAT(verdict.error().what, HasSubstr("queries_per_second"));
    EXPECT_THAT(verdict.error().what, HasSubstr("services_max"));
    EXPECT_TRUE(check(ServiceDiscoveryConfig{.cache_ttl = 1s, .removal_share_max = 1}));
}

}  // namespace
}  // namespace datapunk::mesh::discovery
