#include "registry/merged/merge.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "core/rng.h"
#include "sim/run.h"

namespace datapunk::mesh::registry::merged {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr Instant kNow{100h};

ServiceEndpoint endpoint(const std::string& id, int port, Health health = Health::passing) {
    return {
        .id = id,
        .service = "api",
        .host = "10.0.0.1",
        .port = static_cast<std::uint16_t>(port),
        .health = health
    };
}

MergePart part(std::vector<ServiceEndpoint> endpoints) {
    return {.has_answered = true, .endpoints = std::move(endpoints)};
}

MergePart failing(std::vector<ServiceEndpoint> endpoints, Duration since) {
    return {.has_answered = true, .endpoints = std::move(endpoints), .failing_since = kNow - since};
}

std::vector<std::string> ids(const std::vector<ServiceEndpoint>& endpoints) {
    std::vector<std::string> out;
    for (const ServiceEndpoint& one : endpoints) {
        out.push_back(fmt::format("{}:{}", one.id, one.port));
    }
    return out;
}

TEST(MergeByPriority, TheFirstThatHasAny) {
    const MergeRules rules;
    const auto a = part({endpoint("a", 1)});
    const auto b = part({endpoint("b", 2)});
    EXPECT_THAT(ids(merge(rules, {a, b}, kNow)), ElementsAre("a:1"));
    EXPECT_THAT(ids(merge(rules, {part({}), b}, kNow)), ElementsAre("b:2"));
    EXPECT_THAT(ids(merge(rules, {MergePart{}, b}, kNow)), ElementsAre("b:2"));
    EXPECT_THAT(merge(rules, {part({}), part({})}, kNow), IsEmpty());
    EXPECT_EQ(merge_due(rules, {a, b}, kNow), kNever);
}

TEST(MergeByPriority, OneThatFailsIsBelievedForAWhile) {
    const MergeRules rules{.failover_after = 30s};
    const auto b = part({endpoint("b", 2)});
    const auto young = failing({endpoint("a", 1)}, 30s - 1ms);
    EXPECT_THAT(ids(merge(rules, {young, b}, kNow)), ElementsAre("a:1"));
    EXPECT_EQ(merge_due(rules, {young, b}, kNow), kNow + 1ms);
    const auto old = failing({endpoint("a", 1)}, 30s);
    EXPECT_THAT(ids(merge(rules, {old, b}, kNow)), ElementsAre("b:2"));
    EXPECT_EQ(merge_due(rules, {old, b}, kNow), kNever);
    EXPECT_THAT(ids(merge(rules, {old, part({})}, kNow)), ElementsAre("a:1")) << "fail static";
    EXPECT_THAT(
        ids(merge(rules, {old, failing({endpoint("b", 2)}, 24h)}, kNow)), ElementsAre("a:1")
    );
}

TEST(MergeAll, EverybodysTogether) {
    const MergeRules rules{.mode = MergeMode::all};
    EXPECT_THAT(
        ids(merge(
            rules,
            {part({endpoint("a", 1), endpoint("c", 3)}),
             failing({endpoint("b", 2)}, 24h),
             MergePart{}},
            kNow
        )),
        ElementsAre("a:1", "b:2", "c:3")
    );
}

TEST(MergeAll, ADuplicateIsOneEndpointWithTheWorseHealth) {
    MergeRules rules{.mode = MergeMode::all};
    const auto first = part({endpoint("a", 1, Health::warning)});
    const auto second = part({endpoint("a", 1, Health::critical)});
    EXPECT_EQ(merge(rules, {first, second}, kNow).at(0).health, Health::critical);
    EXPECT_EQ(merge(rules, {second, first}, kNow).at(0).health, Health::critical);
    rules.health = MergeHealth::first;
    EXPECT_EQ(merge(rules, {first, second}, kNow).at(0).health, Health::warning);
    EXPECT_EQ(merge(rules, {first, second}, kNow).size(), 1U);
}

TEST(MergeAll, TheSameIdElsewhereIsTheEarlierMembersAlone) {
    const MergeRules rules{.mode = MergeMode::all};
    const auto merged =
        merge(rules, {part({endpoint("a", 1)}), part({endpoint("a", 2, Health::critical)})}, kNow);
    EXPECT_THAT(ids(merged), ElementsAre("a:1"));
    EXPECT_EQ(merged[0].health, Health::passing);
}

TEST(MergeAll, AnInstanceUnderTwoIdsGetsItsTrafficOnce) {
    const MergeRules rules{.mode = MergeMode::all};
    EXPECT_THAT(
        ids(merge(rules, {part({endpoint("a", 1)}), part({endpoint("other-a", 1)})}, kNow)),
        ElementsAre("a:1")
    );
    // Within one registry that is its own affair.
    EXPECT_THAT(
        ids(merge(rules, {part({endpoint("a", 1), endpoint("b", 1)}), part({})}, kNow)),
        ElementsAre("a:1", "b:1")
    );
}

TEST(Merge, HoldsWhatItPromisesForAnyParts) {
    const std::uint64_t seed = sim::seed_for_test(1);
    SCOPED_TRACE(sim::seed_hint(seed));
    core::Rng rng(seed);
    for (int round = 0; round < 3'000; ++round) {
        MergeRules rules;
        rules.mode = rng.chance(0.5) ? MergeMode::all : MergeMode::priority;
        rules.health = rng.chance(0.5) ? MergeHealth::worst : MergeHealth::first;
        std::vector<MergePart> parts(2 + rng.below(3));
        std::map<std::string, std::size_t> first_with_id;
        std::set<std::string> all;
        for (std::size_t at = 0; at < parts.size(); ++at) {
            MergePart& one = parts[at];
            one.has_answered = rng.chance(0.8);
            if (rng.chance(0.3)) {
                one.failing_since =
                    kNow - Duration(static_cast<std::int64_t>(rng.below(60'000'000'000)));
            }
            if (!one.has_answered) continue;
            for (int id = 0; id < 6; ++id) {
                if (!rng.chance(0.4)) continue;
                const auto health = static_cast<Health>(rng.below(3));
                one.endpoints.push_back(
                    endpoint(fmt::format("e{}", id), 1 + static_cast<int>(rng.below(5)), health)
                );
                first_with_id.try_emplace(one.endpoints.back().id, at);
                all.insert(one.endpoints.back().id);
            }
        }
        const auto merged = merge(rules, parts, kNow);
        // Sorted, no id twice, nothing invented, nothing lost without a reason, never empty if
        // anybody has any.
        EXPECT_EQ(merged.empty(), all.empty());
        for (std::size_t i = 1; i < merged.size(); ++i) EXPECT_LT(merged[i - 1].id, merged[i].id);
        for (const ServiceEndpoint& one : merged) {
            const bool is_known = std::any_of(parts.begin(), parts.end(), [&](const MergePart& p) {
                return std::any_of(p.endpoints.begin(), p.endpoints.end(), [&](const auto& e) {
                    return e.id == one.id && e.port == one.port;
                });
            });
            EXPECT_TRUE(is_known);
        }
        if (rules.mode == MergeMode::priority) {
            const bool is_a_part =
                merged.empty() || std::any_of(parts.begin(), parts.end(), [&](const MergePart& p) {
                    return p.endpoints == merged;
                });
            EXPECT_TRUE(is_a_part);
            continue;
        }
        std::set<std::uint16_t> ports;
        for (const ServiceEndpoint& one : merged) ports.insert(one.port);
        for (const MergePart& p : parts) {
            for (const ServiceEndpoint& e : p.endpoints) {
                const bool has_id = std::any_of(merged.begin(), merged.end(), [&](const auto& m) {
                    return m.id == e.id;
                });
                EXPECT_TRUE(has_id || ports.contains(e.port)) << e.id;
            }
        }
        // The same again, and independent of what a failing member's time is.
        EXPECT_EQ(merge(rules, parts, kNow + 1h), merged);
    }
}

}  // namespace
}  // namespace datapunk::mesh::registry::merged
