#include "balance/hashing.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "balance/maglev.h"
#include "balance/ring_hash.h"
#include "balance/subset.h"
#include "balance/test_fleet.h"

namespace datapunk::mesh::balance {
namespace {

template <class Picker>
std::uint32_t owner(const Picker& picker, std::uint64_t hash, PickQuery query = {}) {
    PickState state(1);
    query.hash = hash;
    return picker.pick(query, state).value();
}

// Who of `fleet` gets how many of `calls` hashes.
template <class Picker>
std::vector<int> owners(const Picker& picker, std::size_t size, std::uint64_t calls) {
    std::vector<int> counts(size);
    for (std::uint64_t hash = 0; hash < calls; ++hash) ++counts[owner(picker, hash)];
    return counts;
}

std::vector<Candidate> without(std::vector<Candidate> candidates, std::size_t gone) {
    candidates.erase(candidates.begin() + static_cast<std::ptrdiff_t>(gone));
    return candidates;
}

TEST(RingHash, TheSameHashGoesToTheSameEndpointInEveryOrderOfTheList) {
    const TestFleet fleet(50);
    std::vector<Candidate> turned = fleet.candidates();
    std::reverse(turned.begin(), turned.end());
    const RingHashPicker ring({}, fleet.candidates());
    const RingHashPicker other({}, turned);
    const MaglevPicker maglev({}, fleet.candidates());
    const MaglevPicker other_maglev({}, turned);
    for (std::uint64_t hash = 0; hash < 2000; ++hash) {
        EXPECT_EQ(fleet.candidates()[owner(ring, hash)].key, turned[owner(other, hash)].key);
        EXPECT_EQ(
            fleet.candidates()[owner(maglev, hash)].key, turned[owner(other_maglev, hash)].key
        );
    }
}

// These numbers are part of the product: another version that chose otherwise would move sessions.
TEST(RingHash, ChoosesWhatEveryVersionChooses) {
    const TestFleet fleet(10);
    const RingHashPicker ring({}, fleet.candidates());
    const MaglevPicker maglev({}, fleet.candidates());
    std::string by_ring;
    std::string by_maglev;
    for (std::uint64_t hash = 0; hash < 24; ++hash) {
        by_ring += std::to_string(owner(ring, hash));
        by_maglev += std::to_string(owner(maglev, hash));
    }
    EXPECT_EQ(by_ring, "862187952012341420348449");
    EXPECT_EQ(by_maglev, "216396665076388067851662");
}

TEST(RingHash, OnlyTheCallsOfTheOneThatLeftMove) {
    const TestFleet fleet(20);
    const RingHashPicker before({.points_min = 1}, fleet.candidates());
    const std::size_t gone = 7;
    const std::vector<Candidate> rest = without(fleet.candidates(), gone);
    const RingHashPicker after({.points_min = 1}, rest);
    int moved = 0;
    for (std::uint64_t hash = 0; hash < 20'000; ++hash) {
        const std::uint32_t was = owner(before, hash);
        const std::uint32_t is = owner(after, hash);
        if (was == gone) {
            ++moved;
        } else {
            EXPECT_EQ(fleet.candidates()[was].load, rest[is].load) << hash;
        }
    }
    EXPECT_GT(moved, 500);  // about a twentieth
    EXPECT_LT(moved, 1500);
}

TEST(Maglev, FewOfTheOthersCallsMove) {
    const TestFleet fleet(20);
    const MaglevPicker before({}, fleet.candidates());
    const std::size_t gone = 7;
    const std::vector<Candidate> rest = without(fleet.candidates(), gone);
    const MaglevPicker after({}, rest);
    int others_moved = 0;
    for (std::uint64_t hash = 0; hash < 20'000; ++hash) {
        const std::uint32_t was = owner(before, hash);
        if (was == gone) continue;
        if (fleet.candidates()[was].load != rest[owner(after, hash)].load) ++others_moved;
    }
    EXPECT_LT(others_moved, 1000);  // 5 %; by plain modulo it would be 95 %
}

TEST(Maglev, SharesAreEqualToTheTablesGrain) {
    const TestFleet fleet(100);
    const MaglevPicker maglev({.table_size = 10'007}, fleet.candidates());
    std::vector<int> counts(fleet.size());
    for (const std::uint32_t i : maglev.table()) ++counts[i];
    for (const int count : counts) {
        EXPECT_GE(count, 100);
        EXPECT_LE(count, 101);
    }
}

TEST(Maglev, SharesFollowTheWeightsAndTheLightestKeepsAPlace) {
    const TestFleet fleet({1, 100, 200, 300});
    const MaglevPicker maglev({.table_size = 6011}, fleet.candidates());
    std::vector<int> counts(fleet.size());
    for (const std::uint32_t i : maglev.table()) ++counts[i];
    EXPECT_GE(counts[0], 1);
    EXPECT_NEAR(counts[1], 1000, 15);
    EXPECT_NEAR(counts[2], 2000, 15);
    EXPECT_NEAR(counts[3], 3000, 15);
}

TEST(RingHash, SharesFollowTheWeights) {
    const TestFleet fleet({10, 10, 20, 40});
    const RingHashPicker ring({.points_min = 10'000}, fleet.candidates());
    const auto counts = owners(ring, 4, 80'000);
    EXPECT_NEAR(counts[0], 10'000, 1000);
    EXPECT_NEAR(counts[2], 20'000, 2000);
    EXPECT_NEAR(counts[3], 40'000, 3000);
}

TEST(RingHash, HasABoundedNumberOfPoints) {
    EXPECT_EQ(RingHashPicker({}, TestFleet(1).candidates()).points(), 1024U);
    EXPECT_LE(
        RingHashPicker({.points_min = 1U << 30U}, TestFleet(3).candidates()).points(),
        kPointsMax + 3
    );
    // More endpoints than points: each has one all the same.
    const TestFleet lopsided({1, 65'535});
    EXPECT_GE(
        owners(RingHashPicker({.points_min = 65'536}, lopsided.candidates()), 2, 1).size(), 2U
    );
}

// An excluded endpoint's calls are shared by all others, not heaped on one.
template <class Picker, class Config>
void spreads_what_is_excluded(const Config& config) {
    TestFleet fleet(10);
    const Picker picker(config, fleet.candidates());
    const auto before = owners(picker, 10, 20'000);
    fleet.exclude(3);
    const auto after = owners(picker, 10, 20'000);
    EXPECT_EQ(after[3], 0);
    for (std::size_t i = 0; i < 10; ++i) {
        if (i == 3) continue;
        EXPECT_GE(after[i], before[i]) << i;
        EXPECT_LT(after[i] - before[i], before[3] / 3) << i;
    }
}

TEST(RingHash, SpreadsTheCallsOfAnExcludedEndpoint) {
    spreads_what_is_excluded<RingHashPicker>(RingHash{});
}

TEST(Maglev, SpreadsTheCallsOfAnExcludedEndpoint) {
    spreads_what_is_excluded<MaglevPicker>(Maglev{});
}

// One session has all the calls; nobody may carry more than the bound all the same.
template <class Picker, class Config>
void bounds_the_load(const Config& config) {
    TestFleet fleet({1, 1, 1, 2});
    const Picker picker(config, fleet.candidates());
    PickQuery query{.hash = 42};
    PickState state(1);
    for (std::uint32_t call = 0; call < 1000; ++call) {
        query.in_flight = call;
        const std::uint32_t picked = picker.pick(query, state).value();
        ++fleet[picked].in_flight;
    }
    for (std::size_t i = 0; i < 4; ++i) {
        const double share = 1000.0 * fleet.candidates()[i].weight / 5;
        EXPECT_LE(fleet[i].in_flight, std::ceil(share * config.bounded_load)) << i;
    }
}

TEST(RingHash, NobodyCarriesMoreThanTheBound) {
    bounds_the_load<RingHashPicker>(RingHash{.bounded_load = 1.25});
}

TEST(Maglev, NobodyCarriesMoreThanTheBound) {
    bounds_the_load<MaglevPicker>(Maglev{.bounded_load = 1.25});
}

TEST(RingHash, CallsWithoutAHashAreSpread) {
    const TestFleet fleet(10);
    for (const int count : count_picks(MaglevPicker({}, fleet.candidates()), 10, 10'000, 5)) {
        EXPECT_NEAR(count, 1000, 200);
    }
}

TEST(Subset, EveryoneTakesTheSizeAndChangesByOneAtMost) {
    std::vector<std::uint64_t> keys;
    for (int i = 0; i < 200; ++i) keys.push_back(core::hash64(std::to_string(i)));
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
        const auto before = subset_of(keys, 20, seed);
        ASSERT_EQ(before.size(), 20U);
        ASSERT_TRUE(std::is_sorted(before.begin(), before.end()));
        auto fewer = keys;
        fewer.pop_back();
        const auto after = subset_of(fewer, 20, seed);
        std::vector<std::uint32_t> gone;
        std::set_difference(
            before.begin(), before.end(), after.begin(), after.end(), std::back_inserter(gone)
        );
        EXPECT_LE(gone.size(), 1U);
    }
}

TEST(Subset, ClientsTogetherReachEveryEndpointAboutEquallyOften) {
    std::vector<std::uint64_t> keys;
    for (int i = 0; i < 100; ++i) keys.push_back(core::hash64(std::to_string(i)));
    std::vector<int> clients(keys.size());
    for (std::uint64_t seed = 0; seed < 1000; ++seed) {
        for (const std::uint32_t i : subset_of(keys, 20, seed)) ++clients[i];
    }
    // Binomial: mean 200, deviation 12.6.
    for (const int count : clients) EXPECT_NEAR(count, 200, 65);
}

TEST(Subset, TakesAllWhenThereAreFewOrNoSizeIsGiven) {
    const std::vector<std::uint64_t> keys{3, 1, 2};
    EXPECT_EQ(subset_of(keys, 0, 1).size(), 3U);
    EXPECT_EQ(subset_of(keys, 5, 1).size(), 3U);
    EXPECT_TRUE(subset_of({}, 5, 1).empty());
}

}  // namespace
}  // namespace datapunk::mesh::balance
