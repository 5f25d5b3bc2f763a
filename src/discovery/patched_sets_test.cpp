#include "discovery/patched_sets.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/rng.h"
#include "discovery/endpoint_diff.h"

namespace datapunk::mesh::discovery {
namespace {

ServiceEndpoint endpoint(std::uint64_t number, std::uint32_t weight = 1) {
    return {
        .id = fmt::format("e{:05}", number),
        .service = "api",
        .host = "10.0.0.1",
        .port = 80,
        .weight = weight
    };
}

std::shared_ptr<EndpointSet> first_set(PatchedSets& sets, std::uint64_t count) {
    auto set = sets.fresh();
    for (std::uint64_t i = 0; i < count; ++i) set->endpoints.push_back(endpoint(i));
    set->generation = 1;
    return set;
}

registry::Patch changed(std::uint64_t number, std::uint32_t weight) {
    registry::Patch patch;
    patch.changed.push_back(endpoint(number, weight));
    return patch;
}

TEST(PatchedSets, MakesTheNextOneOfOneThatIsGivenUp) {
    PatchedSets sets;
    EndpointSetPtr latest = first_set(sets, 1000);
    for (std::uint32_t round = 2; round < 100; ++round) {
        const EndpointChange change = effect_of(changed(round, round), latest->endpoints);
        latest = sets.next(*latest, change);
        EXPECT_EQ(latest->generation, round);
        EXPECT_EQ(latest->endpoints[round].weight, round);
        EXPECT_EQ(latest->endpoints[round - 1].weight, round == 2 ? 1 : round - 1);
    }
    EXPECT_EQ(sets.copies(), 1U);  // the first time there was no other
}

TEST(PatchedSets, WhatSomebodyHoldsStaysAsItIs) {
    PatchedSets sets;
    EndpointSetPtr latest = first_set(sets, 1000);
    std::vector<EndpointSetPtr> held{latest};
    for (std::uint32_t round = 2; round < 20; ++round) {
        latest = sets.next(*latest, effect_of(changed(7, round), latest->endpoints));
        held.push_back(latest);
    }
    for (std::uint32_t at = 1; at < held.size(); ++at) {
        EXPECT_EQ(held[at]->endpoints[7].weight, at + 1);
    }
    EXPECT_EQ(sets.copies(), 18U);
    // One that comes back after long is not of use, and does no harm.
    held.erase(held.begin() + 1, held.end());
    held.clear();
    latest = sets.next(*latest, effect_of(changed(8, 5), latest->endpoints));
    EXPECT_EQ(latest->endpoints[7].weight, 19U);
    EXPECT_EQ(latest->endpoints[8].weight, 5U);
}

TEST(PatchedSets, AreFreedByWhoeverHoldsThemLast) {
    EndpointSetPtr last;
    {
        PatchedSets sets;
        last = first_set(sets, 1000);
        last = sets.next(*last, effect_of(changed(7, 2), last->endpoints));
        sets.rest();
    }
    EXPECT_EQ(last->endpoints.size(), 1000U);
}

// Against the same history kept naively, with sets held by whoever likes for as long as they like.
TEST(PatchedSets, AreWhatANaiveModelHas) {
    const char* given = std::getenv("SEED");
    const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : 20261122;
    SCOPED_TRACE(fmt::format("SEED={}", seed));
    core::Rng rng(seed);
    PatchedSets sets;
    EndpointSetPtr latest = first_set(sets, 400);
    std::vector<ServiceEndpoint> model = latest->endpoints;
    std::vector<std::pair<EndpointSetPtr, std::vector<ServiceEndpoint>>> held;
    const std::uint64_t copies_before = sets.copies();
    constexpr std::uint64_t kRounds = 1500;
    for (std::uint64_t round = 0; round < kRounds; ++round) {
        if (rng.chance(0.02)) {  // a whole answer came between
            auto whole = sets.fresh();
            whole->endpoints = model;
            whole->generation = latest->generation + (rng.chance(0.5) ? 1 : 0);
            latest = whole;
        }
        registry::Patch patch;
        const std::uint64_t count = rng.chance(0.02) ? 300 : rng.below(8);
        for (std::uint64_t i = 0; i < count; ++i) {
            const ServiceEndpoint one =
                endpoint(rng.below(500), static_cast<std::uint32_t>(1 + rng.below(3)));
            const auto same = [&](const auto& other) { return other.id == one.id; };
            std::erase_if(patch.changed, same);
            std::erase(patch.removed, one.id);
            if (rng.chance(0.8)) {
                patch.changed.push_back(one);
            } else {
                patch.removed.push_back(one.id);
            }
        }
        const auto by_id = [](const auto& a, const auto& b) { return a.id < b.id; };
        std::sort(patch.changed.begin(), patch.changed.end(), by_id);
        std::sort(patch.removed.begin(), patch.removed.end());
        for (const std::string& id : patch.removed) {
            std::erase_if(model, [&](const auto& one) { return one.id == id; });
        }
        for (const ServiceEndpoint& one : patch.changed) {
            const auto at = std::lower_bound(model.begin(), model.end(), one, by_id);
            if (at != model.end() && at->id == one.id) {
                *at = one;
            } else {
                model.insert(at, one);
            }
        }
        const EndpointChange change = effect_of(std::move(patch), latest->endpoints);
        const EndpointSetPtr before = latest;
        latest = sets.next(*latest, change);
        ASSERT_TRUE(is_same(latest->endpoints, model)) << "round " << round;
        ASSERT_EQ(
            latest->generation == before->generation, is_same(before->endpoints, latest->endpoints)
        );
        const EndpointChange full = difference(before.get(), latest);
        ASSERT_TRUE(is_same(change.added, full.added));
        ASSERT_TRUE(is_same(change.removed, full.removed));
        ASSERT_TRUE(is_same(change.changed, full.changed));
        if (rng.chance(0.2)) held.emplace_back(latest, model);
        if (rng.chance(0.3) && !held.empty()) {
            const std::size_t at = rng.below(held.size());
            ASSERT_TRUE(is_same(held[at].first->endpoints, held[at].second));
            held.erase(held.begin() + static_cast<std::ptrdiff_t>(at));
        }
    }
    EXPECT_LT(sets.copies() - copies_before, kRounds / 2);
}

// Readers on other threads that let go of their sets whenever they like.
TEST(PatchedSets, ComeBackFromOtherThreads) {
    PatchedSets sets;
    EndpointSetPtr latest = first_set(sets, 300);
    std::mutex mutex;
    EndpointSetPtr shown = latest;
    std::atomic<bool> is_over{false};
    const auto read = [&] {
        while (!is_over) {
            EndpointSetPtr mine;
            {
                const std::lock_guard lock(mutex);
                mine = shown;
            }
            std::uint64_t sum = 0;
            for (const ServiceEndpoint& one : mine->endpoints) sum += one.weight;
            // Each change adds one to one endpoint.
            EXPECT_EQ(sum, 300 + mine->generation - 1);
        }
    };
    std::thread reader(read);
    std::thread other(read);
    for (std::uint32_t round = 1; round < 600; ++round) {
        const std::uint64_t at = round % 300;
        const std::uint32_t weight = latest->endpoints[at].weight + 1;
        latest = sets.next(*latest, effect_of(changed(at, weight), latest->endpoints));
        const std::lock_guard lock(mutex);
        shown = latest;
    }
    is_over = true;
    reader.join();
    other.join();
}

}  // namespace
}  // namespace datapunk::mesh::discovery
