#include "balance/spread.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <numeric>
#include <set>

#include "balance/aperture.h"
#include "balance/test_fleet.h"

namespace datapunk::mesh::balance {
namespace {

struct World {
    std::deque<ServiceEndpoint> endpoints;
    std::vector<SpreadMember> members;
    SpreadRules rules;

    SpreadMember& add(const std::string& zone, const std::string& priority = "") {
        ServiceEndpoint& endpoint = endpoints.emplace_back();
        endpoint.id = "e" + std::to_string(1000 + endpoints.size());
        if (!zone.empty()) endpoint.metadata["zone"] = zone;
        if (!priority.empty()) endpoint.metadata["tier"] = priority;
        return members.emplace_back(
            SpreadMember{.endpoint = &endpoint, .key = core::hash64(endpoint.id)}
        );
    }

    void add(const std::string& zone, int count, const std::string& priority = "") {
        for (int i = 0; i < count; ++i) add(zone, priority);
    }

    std::vector<SpreadGroup> groups() const { return spread(members, rules); }

    // The share of all calls that this zone, or this priority, gets.
    double share_of(const std::string& zone) const {
        double sum = 0;
        for (const SpreadGroup& group : groups()) {
            if (members[group.members[0]].endpoint->zone() == zone) sum += group.share;
        }
        return sum;
    }

    double share_of(std::uint32_t priority) const {
        double sum = 0;
        for (const SpreadGroup& group : groups()) {
            if (group.priority == priority) sum += group.share;
        }
        return sum;
    }
};

World zoned(int a, int b, int c) {
    World world;
    world.add("a", a);
    world.add("b", b);
    world.add("c", c);
    world.rules.zones = {.prefer_own = true, .own = "a"};
    return world;
}

TEST(Zones, EverythingStaysAtHomeWhereThatHasItsShare) {
    const World world = zoned(4, 4, 4);
    EXPECT_DOUBLE_EQ(world.share_of("a"), 1);
    // The others are there for when the own zone has nobody to offer.
    EXPECT_EQ(world.groups().size(), 2U);
    EXPECT_EQ(world.groups()[1].share, 0);
    EXPECT_EQ(world.groups()[1].members.size(), 8U);
    EXPECT_FALSE(world.groups()[1].is_own_zone);
}

TEST(Zones, WhatTheOwnZoneCannotTakeGoesWhereThereIsMoreThanAShare) {
    // A third of the callers here, a sixth of the capacity: half of the calls leave. b has 7/12, a
    // quarter more than its callers need; c has exactly what its own need, so nothing goes there.
    const World world = zoned(2, 7, 3);
    EXPECT_DOUBLE_EQ(world.share_of("a"), 0.5);
    EXPECT_DOUBLE_EQ(world.share_of("b"), 0.5);
    EXPECT_DOUBLE_EQ(world.share_of("c"), 0);
}

TEST(Zones, AUsableShareCountsNotAKnownOne) {
    World world = zoned(4, 4, 4);
    world.members[0].is_available = false;
    world.members[1].is_critical = true;
    EXPECT_NEAR(world.share_of("a"), 2.0 / 10 * 3, 1e-9);
    EXPECT_NEAR(world.share_of("b"), 0.2, 1e-9);
}

// The trap of small clusters: one endpoint more or less would move a third of all calls.
TEST(Zones, SmallClustersHaveNoZones) {
    World world = zoned(1, 2, 2);
    EXPECT_EQ(world.groups().size(), 1U);
    world.add("b", 1);
    EXPECT_GT(world.groups().size(), 1U);
    world.members[0].is_available = false;
    EXPECT_EQ(world.groups().size(), 1U);
    world.rules.zones.endpoints_min = 1;
    EXPECT_EQ(world.share_of("a"), 0);
}

// The trap of uneven callers: half of them in a zone with a tenth of the capacity drown it.
TEST(Zones, UnevenCallersMustBeToldAndThenNobodyDrowns) {
    World world = zoned(2, 9, 9);
    world.rules.zones.callers_share = 0.5;
    EXPECT_NEAR(world.share_of("a"), 0.2, 1e-9);
    // Its part of all calls, callers x share, is its part of the capacity.
    EXPECT_NEAR(world.share_of("a") * 0.5, 2.0 / 20, 1e-9);
    EXPECT_NEAR(world.share_of("b"), 0.4, 1e-9);
}

TEST(Zones, AZoneWhoseEndpointsAllDiedStillHasCallers) {
    World world = zoned(4, 4, 4);
    for (int i = 8; i < 12; ++i) world.members[static_cast<std::size_t>(i)].is_critical = true;
    // Half of the capacity is here, a third of the callers: everything stays.
    EXPECT_DOUBLE_EQ(world.share_of("a"), 1);
    EXPECT_DOUBLE_EQ(world.share_of("b"), 0);
}

TEST(Zones, OfNoConcernAreZonesNobodyKnows) {
    World world = zoned(0, 6, 6);
    EXPECT_EQ(world.groups().size(), 1U);
    World all_here;
    all_here.add("a", 10);
    all_here.rules.zones = {.prefer_own = true, .own = "a"};
    EXPECT_EQ(all_here.groups().size(), 1U);
}

// What all callers of all zones send together is what each zone's capacity is: the point of it.
TEST(Zones, AllCallersTogetherLoadEveryEndpointAlike) {
    const std::uint64_t seed = test_seed(44);
    SCOPED_TRACE(seed);
    core::Rng rng(seed);
    for (int round = 0; round < 200; ++round) {
        const std::vector<std::string> names{"a", "b", "c", "d"};
        const std::size_t zones = 2 + rng.below(3);
        std::vector<int> sizes(zones);
        for (int& size : sizes) size = 2 + static_cast<int>(rng.below(20));
        std::vector<double> load(zones);
        for (std::size_t own = 0; own < zones; ++own) {
            World world;
            for (std::size_t z = 0; z < zones; ++z) world.add(names[z], sizes[z]);
            world.rules.zones = {.prefer_own = true, .own = names[own], .endpoints_min = 1};
            for (std::size_t z = 0; z < zones; ++z) {
                load[z] += world.share_of(names[z]) / static_cast<double>(zones);
            }
        }
        const double all = std::accumulate(sizes.begin(), sizes.end(), 0);
        for (std::size_t z = 0; z < zones; ++z) EXPECT_NEAR(load[z], sizes[z] / all, 1e-9);
    }
}

World with_levels(int first, int second) {
    World world;
    world.add("", first, "0");
    world.add("", second, "1");
    world.rules.failover.metadata = "tier";
    return world;
}

TEST(Failover, TheFirstLevelTakesAllUntilLessThanItsOverprovisioningIsUsable) {
    World world = with_levels(10, 10);
    EXPECT_DOUBLE_EQ(world.share_of(0U), 1);
    for (std::size_t i = 0; i < 2; ++i) world.members[i].is_critical = true;
    EXPECT_DOUBLE_EQ(world.share_of(0U), 1);  // 1.4 x 0.8
    world.members[2].is_available = false;
    EXPECT_NEAR(world.share_of(0U), 0.98, 1e-9);
    for (std::size_t i = 3; i < 5; ++i) world.members[i].is_critical = true;
    EXPECT_NEAR(world.share_of(0U), 0.7, 1e-9);
    EXPECT_NEAR(world.share_of(1U), 0.3, 1e-9);
    for (std::size_t i = 5; i < 10; ++i) world.members[i].is_critical = true;
    EXPECT_NEAR(world.share_of(1U), 1, 1e-9);
}

TEST(Failover, BothIllShareByHealth) {
    World world = with_levels(10, 10);
    for (std::size_t i = 0; i < 8; ++i) world.members[i].is_critical = true;
    for (std::size_t i = 14; i < 20; ++i) world.members[i].is_critical = true;
    // 1.4 x 0.2 and 1.4 x 0.4 are not enough together, and are scaled up.
    EXPECT_NEAR(world.share_of(0U), 1.0 / 3, 1e-9);
    EXPECT_NEAR(world.share_of(1U), 2.0 / 3, 1e-9);
}

TEST(Failover, EverybodyEjectedIsNoReasonToCallNobody) {
    World world = with_levels(3, 3);
    for (auto& member : world.members) member.is_available = false;
    EXPECT_DOUBLE_EQ(world.share_of(0U), 1);
    EXPECT_FALSE(world.groups()[0].is_panic);
}

TEST(Failover, APriorityIsAWholeNumberUpTo127) {
    ServiceEndpoint endpoint;
    const auto priority = [&](const char* text) {
        endpoint.metadata["tier"] = text;
        return priority_of(endpoint, "tier");
    };
    EXPECT_EQ(priority("1"), 1U);
    EXPECT_EQ(priority("127"), 127U);
    for (const char* text : {"128", "-1", "1.5", "first", "", "1 ", "99999999999999999999"}) {
        EXPECT_EQ(priority(text), 0U) << text;
    }
    EXPECT_EQ(priority_of(endpoint, "other"), 0U);
}

TEST(Panic, IsWhenAllAreCriticalUnlessSwitchedOff) {
    World world;
    world.add("", 3);
    for (auto& member : world.members) member.is_critical = true;
    ASSERT_EQ(world.groups().size(), 1U);
    EXPECT_TRUE(world.groups()[0].is_panic);
    EXPECT_EQ(world.groups()[0].members.size(), 3U);
    world.rules.panic.enabled = false;
    EXPECT_TRUE(world.groups().empty());
}

TEST(Panic, ThresholdHasTwoSides) {
    World world;
    world.add("", 10);
    world.rules.panic.healthy_percent = 50;
    for (std::size_t i = 0; i < 5; ++i) world.members[i].is_critical = true;
    EXPECT_FALSE(world.groups()[0].is_panic);
    EXPECT_EQ(world.groups()[0].members.size(), 5U);
    world.members[5].is_critical = true;
    EXPECT_TRUE(world.groups()[0].is_panic);
    EXPECT_EQ(world.groups()[0].members.size(), 10U);
    world.rules.panic.healthy_percent = 100;
    for (auto& member : world.members) member.is_critical = false;
    EXPECT_FALSE(world.groups()[0].is_panic);
}

TEST(Panic, NotWhileTheNextLevelCanTakeEverything) {
    World world = with_levels(10, 10);
    world.rules.panic.healthy_percent = 50;
    for (std::size_t i = 0; i < 8; ++i) world.members[i].is_critical = true;
    for (const auto& group : world.groups()) EXPECT_FALSE(group.is_panic);
    for (std::size_t i = 10; i < 17; ++i) world.members[i].is_critical = true;
    for (const auto& group : world.groups()) EXPECT_TRUE(group.is_panic);
}

// The whole, whatever the circumstances.
TEST(Spread, HoldsItsInvariants) {
    const std::uint64_t seed = test_seed(45);
    SCOPED_TRACE(seed);
    core::Rng rng(seed);
    for (int round = 0; round < 3000; ++round) {
        World world;
        const int size = static_cast<int>(rng.below(30));
        const double ill = rng.unit() * 1.2;
        for (int i = 0; i < size; ++i) {
            SpreadMember& member = world.add(
                std::string(1, static_cast<char>('a' + rng.below(4))), std::to_string(rng.below(3))
            );
            member.weight = 1 + static_cast<std::uint32_t>(rng.below(100));
            member.is_critical = rng.chance(ill);
            member.is_available = !rng.chance(ill);
        }
        world.rules.zones = {
            .prefer_own = rng.chance(0.5),
            .own = "a",
            .endpoints_min = 1 + static_cast<std::uint32_t>(rng.below(8)),
            .callers_share = rng.chance(0.3) ? rng.unit() : 0
        };
        if (rng.chance(0.5)) world.rules.failover.metadata = "tier";
        world.rules.panic = {.enabled = rng.chance(0.7), .healthy_percent = rng.unit() * 100};
        world.rules.subsetting = {
            .by = static_cast<SubsettingConfig::Kind>(rng.below(3)),
            .size = 1 + static_cast<std::uint32_t>(rng.below(12)),
            .callers = 5,
            .caller_index = static_cast<std::uint32_t>(rng.below(5))
        };
        world.rules.caller_seed = rng();
        const auto groups = world.groups();
        std::set<std::uint32_t> seen;
        double shares = 0;
        bool any_panic = false;
        for (const SpreadGroup& group : groups) {
            ASSERT_GE(group.share, 0);
            ASSERT_FALSE(group.members.empty());
            shares += group.share;
            any_panic |= group.is_panic;
            for (std::size_t k = 0; k < group.members.size(); ++k) {
                ASSERT_TRUE(seen.insert(group.members[k]).second);
                ASSERT_TRUE(group.is_panic || !world.members[group.members[k]].is_critical);
                if (!group.parts.empty()) {
                    ASSERT_GT(group.parts[k], 0);
                    ASSERT_LE(group.parts[k], 1);
                }
            }
        }
        std::size_t healthy = 0;
        for (const auto& member : world.members) healthy += member.is_critical ? 0 : 1;
        ASSERT_GE(seen.size(), healthy);
        if (!groups.empty()) {
            ASSERT_NEAR(shares, 1, 1e-9);
        }
        if (healthy == 0 && size > 0) {
            ASSERT_EQ(groups.empty(), !world.rules.panic.enabled);
            ASSERT_EQ(any_panic, world.rules.panic.enabled);
        }
    }
}

// The quality that an aperture is for: every endpoint gets the same, over all callers.
TEST(Aperture, EveryEndpointGetsTheSameFromAllCallersTogether) {
    for (const std::uint32_t callers : {1U, 2U, 3U, 7U, 10U, 64U, 1000U}) {
        for (const std::size_t servers : {1U, 5U, 12U, 100U, 333U}) {
            const std::vector<std::uint32_t> weights(servers, 1);
            std::vector<double> load(servers);
            for (std::uint32_t caller = 0; caller < callers; ++caller) {
                const auto parts = aperture_parts(weights, 12, caller, callers);
                const double sum = std::accumulate(parts.begin(), parts.end(), 0.0);
                ASSERT_GE(sum, std::min<double>(12, static_cast<double>(servers)) - 1e-6);
                for (std::size_t i = 0; i < servers; ++i) load[i] += parts[i] / sum;
            }
            const double mean = callers / static_cast<double>(servers);
            for (const double one : load) ASSERT_NEAR(one, mean, mean * 1e-6);
        }
    }
}

TEST(Aperture, HonoursWeights) {
    const std::vector<std::uint32_t> weights{1, 5, 2, 2, 10, 1, 3, 8};
    std::vector<double> load(weights.size());
    for (std::uint32_t caller = 0; caller < 9; ++caller) {
        const auto parts = aperture_parts(weights, 3, caller, 9);
        double sum = 0;
        for (std::size_t i = 0; i < parts.size(); ++i) sum += parts[i] * weights[i];
        for (std::size_t i = 0; i < parts.size(); ++i) load[i] += parts[i] * weights[i] / sum;
    }
    for (std::size_t i = 0; i < load.size(); ++i) EXPECT_NEAR(load[i], 9 * weights[i] / 32.0, 1e-6);
}

TEST(Aperture, IsNoWiderThanItMustBe) {
    const auto parts = aperture_parts(std::vector<std::uint32_t>(100, 1), 10, 3, 100);
    EXPECT_EQ(std::count_if(parts.begin(), parts.end(), [](double part) { return part > 0; }), 10);
}

// A ring of the healthy ones only would turn under everybody's feet with every failed check.
TEST(Aperture, AFailedCheckMovesNobodyElse) {
    World world;
    world.add("", 50);
    world.rules.subsetting = {
        .by = SubsettingConfig::Kind::aperture, .size = 5, .callers = 10, .caller_index = 4
    };
    const auto before = world.groups()[0];
    world.members[before.members[2]].is_critical = true;
    const auto after = world.groups()[0];
    ASSERT_EQ(after.members.size(), before.members.size() - 1);
    for (const std::uint32_t i : after.members) {
        EXPECT_NE(std::find(before.members.begin(), before.members.end(), i), before.members.end());
    }
    // With none left of it, the others are asked.
    for (const std::uint32_t i : before.members) world.members[i].is_critical = true;
    EXPECT_EQ(world.groups()[0].members.size(), 50 - before.members.size());
    EXPECT_EQ(world.groups()[0].share, 1);
}

TEST(Rendezvous, EndpointsGetTheSameButForChance) {
    World world;
    world.add("", 100);
    world.rules.subsetting = {.by = SubsettingConfig::Kind::rendezvous, .size = 20};
    std::vector<int> callers(100);
    for (std::uint64_t caller = 0; caller < 1000; ++caller) {
        world.rules.caller_seed = core::hash64("caller-" + std::to_string(caller));
        const auto group = world.groups()[0];
        ASSERT_EQ(group.members.size(), 20U);
        for (const std::uint32_t i : group.members) ++callers[i];
    }
    // Binomial: 200 each, sigma 12.6; five of them.
    for (const int count : callers) EXPECT_NEAR(count, 200, 63);
}

TEST(Rendezvous, OneThatGoesMovesOneAtMost) {
    World world;
    world.add("", 100);
    world.rules.subsetting = {.by = SubsettingConfig::Kind::rendezvous, .size = 20};
    world.rules.caller_seed = 7;
    const auto before = world.groups()[0].members;
    for (std::uint32_t gone = 0; gone < 100; ++gone) {
        World changed = world;
        for (std::size_t i = 0; i < 100; ++i) changed.members[i].endpoint = &changed.endpoints[i];
        changed.members[gone].is_critical = true;
        const auto after = changed.groups()[0].members;
        std::vector<std::uint32_t> stayed;
        std::set_intersection(
            before.begin(), before.end(), after.begin(), after.end(), std::back_inserter(stayed)
        );
        EXPECT_GE(stayed.size(), 19U);
    }
}

}  // namespace
}  // namespace datapunk::mesh::balance
