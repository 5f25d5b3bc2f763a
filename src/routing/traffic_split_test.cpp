#include "routing/traffic_split.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <set>
#include <string>

#include "core/hash.h"
#include "core/rng.h"

namespace datapunk::mesh::routing {
namespace {

std::uint64_t test_seed() {
    const char* given = std::getenv("SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : 20260109;
}

TEST(TrafficSplit, FollowsTheWeightsByLuckAndByKey) {
    const std::uint64_t seed = test_seed();
    SCOPED_TRACE(testing::Message() << "SEED=" << seed);
    core::Rng rng(seed);
    const auto split =
        TrafficSplit::create({{"v1", 90}, {"none", 0}, {"v2", 9}, {"v3", 1}}).value();
    std::map<std::string, int> by_luck;
    std::map<std::string, int> by_key;
    for (int i = 0; i < 100'000; ++i) {
        ++by_luck[split.pick(rng)];
        ++by_key[split.pick("user-" + std::to_string(i))];
    }
    for (const auto& counts : {by_luck, by_key}) {
        EXPECT_EQ(counts.size(), 3U);
        EXPECT_NEAR(counts.at("v1"), 90'000, 600);
        EXPECT_NEAR(counts.at("v2"), 9'000, 600);
        EXPECT_NEAR(counts.at("v3"), 1'000, 200);
    }
}

TEST(TrafficSplit, AKeySticksAndMovesOnlyToTheOneThatGrew) {
    const auto before = TrafficSplit::create({{"v1", 90}, {"v2", 10}}).value();
    const auto after = TrafficSplit::create({{"v1", 80}, {"v2", 20}}).value();
    int moved = 0;
    for (int i = 0; i < 10'000; ++i) {
        const std::string key = "user-" + std::to_string(i);
        EXPECT_EQ(before.pick(key), before.pick(key));
        if (before.pick(key) == after.pick(key)) continue;
        EXPECT_EQ(after.pick(key), "v2");
        ++moved;
    }
    EXPECT_NEAR(moved, 1000, 150);
}

TEST(TrafficSplit, RefusesWhatCannotBeSplit) {
    EXPECT_FALSE(TrafficSplit::create({}));
    EXPECT_FALSE(TrafficSplit::create({{"a", 0}}));
    EXPECT_FALSE(TrafficSplit::create({{"a", 1}, {"a", 1}}));
    EXPECT_TRUE(TrafficSplit::create({{"a", 1'000'000}}));
    EXPECT_FALSE(TrafficSplit::create({{"a", 1'000'001}}));
    std::vector<WeightedService> many;
    for (int i = 0; i < 100; ++i) many.push_back({"s" + std::to_string(i), 1});
    EXPECT_TRUE(TrafficSplit::create(many));
    many.push_back({"one-more", 1});
    EXPECT_FALSE(TrafficSplit::create(many));
}

TEST(TrafficSplit, SubsetsOfOneServiceAreTargetsOfTheirOwn) {
    const auto split =
        TrafficSplit::create({{.service = "s", .subset = {{"version", "1"}}},
                              {.service = "s", .subset = {{"zone", "a"}, {"version", "2"}}}}
        ).value();
    core::Rng rng(1);
    std::set<std::string> seen;
    for (int i = 0; i < 100; ++i) seen.insert(split.pick(rng));
    EXPECT_EQ(seen, (std::set<std::string>{"s/version=1", "s/version=2,zone=a"}));
    EXPECT_EQ(service_of("s/version=1"), "s");
    EXPECT_EQ(service_of("s"), "s");
    EXPECT_FALSE(TrafficSplit::create(
        {{.service = "s", .subset = {{"a", "1"}}}, {.service = "s", .subset = {{"a", "1"}}}}
    ));
}

TEST(TrafficSplit, AHashedKeySticksAsTheKeyDoes) {
    const auto split = TrafficSplit::create({{.service = "a"}, {.service = "b"}}).value();
    std::set<std::string> seen;
    for (std::uint64_t i = 0; i < 64; ++i) {
        const std::string key = "user-" + std::to_string(i);
        EXPECT_EQ(split.pick(core::hash64(key)), split.pick(key));
        seen.insert(split.pick(key));
    }
    EXPECT_EQ(seen.size(), 2U);
}

}  // namespace
}  // namespace datapunk::mesh::routing
