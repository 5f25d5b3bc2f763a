#include "balance/balancer.h"

#include <gtest/gtest.h>

#include <thread>

#include "balance/peak_ewma.h"
#include "balance/test_fleet.h"

namespace datapunk::mesh::balance {
namespace {

const std::vector<BalanceConfig>& all_configs() {
    static const std::vector<BalanceConfig> configs{
        PeakEwma{},
        PeakEwma{.choices = 64},
        LeastRequest{},
        LeastRequest{.choices = 5},
        RoundRobin{},
        WeightedRoundRobin{},
        StaticStride{},
        WeightedResponseTime{},
        ReportedLoad{},
        Adaptive{},
        Random{},
        RingHash{},
        RingHash{.bounded_load = 1.25},
        Maglev{.table_size = 1009},
        Maglev{.table_size = 1009, .bounded_load = 1.25}
    };
    return configs;
}

TEST(Balancer, NeverPicksTheExcludedAndAlwaysFindsTheLastIncluded) {
    const std::uint64_t seed = test_seed(31);
    SCOPED_TRACE(seed);
    core::Rng rng(seed);
    for (int round = 0; round < 300; ++round) {
        std::vector<std::uint32_t> weights(1 + rng.below(40));
        for (auto& weight : weights) weight = static_cast<std::uint32_t>(1 + rng.below(65535));
        TestFleet fleet(weights);
        std::vector<const EndpointLoad*> tried;
        const double excluded_share = rng.unit() * 1.2;
        for (std::size_t i = 0; i < fleet.size(); ++i) {
            fleet[i].in_flight = static_cast<std::uint32_t>(rng.below(5));
            if (rng.chance(0.5)) {
                record_answer(fleet[i], {}, Duration(rng.below(1'000'000)), false, at_ms(0));
            }
            if (rng.chance(excluded_share)) {
                if (rng.chance(0.3) && tried.size() < 10)
                    tried.push_back(&fleet[i]);
                else
                    fleet.exclude(i, at_ms(1000 + static_cast<std::int64_t>(rng.below(1000))));
            }
        }
        const PickQuery query{
            .now = at_ms(static_cast<std::int64_t>(rng.below(2500))), .tried = tried
        };
        std::size_t included = 0;
        for (const Candidate& c : fleet.candidates()) included += query.excludes(c.load) ? 0 : 1;
        for (const BalanceConfig& config : all_configs()) {
            const Balancer balancer(config, fleet.candidates());
            PickState state(rng());
            for (int i = 0; i < 20; ++i) {
                const auto picked = balancer.pick(query, state);
                ASSERT_EQ(picked.has_value(), included > 0) << config.index();
                if (picked) {
                    ASSERT_FALSE(query.excludes(&fleet[*picked])) << config.index();
                }
            }
        }
    }
}

TEST(Balancer, GivesNothingFromNothing) {
    for (const BalanceConfig& config : all_configs()) {
        PickState state(1);
        EXPECT_FALSE(Balancer(config, {}).pick({}, state));
    }
}

TEST(Balancer, ReachesEveryEndpointOfALargeSet) {
    const TestFleet fleet(1000);
    for (const BalanceConfig& config : all_configs()) {
        const auto counts = count_picks(Balancer(config, fleet.candidates()), 1000, 20'000, 2);
        EXPECT_EQ(std::count(counts.begin(), counts.end(), 0), 0) << config.index();
    }
}

TEST(Balancer, ExclusionEndsByItself) {
    TestFleet fleet(1);
    fleet.exclude(0, at_ms(100));
    PickState state(1);
    const Balancer balancer(RoundRobin{}, fleet.candidates());
    EXPECT_FALSE(balancer.pick({.now = at_ms(99)}, state));
    EXPECT_TRUE(balancer.pick({.now = at_ms(100)}, state));
}

TEST(Balancer, TheSameSeedGivesTheSamePicks) {
    const TestFleet a({3, 1, 4, 1, 5});
    const TestFleet b({3, 1, 4, 1, 5});
    for (const BalanceConfig& config : all_configs()) {
        EXPECT_EQ(
            count_picks(Balancer(config, a.candidates()), 5, 997, 6),
            count_picks(Balancer(config, b.candidates()), 5, 997, 6)
        );
    }
}

TEST(Balancer, ManyThreadsPickFromOneBalancer) {
    TestFleet fleet(50);
    const Balancer balancer(LeastRequest{}, fleet.candidates());
    const auto work = [&](std::uint64_t seed) {
        PickState state(seed);
        for (int i = 0; i < 20'000; ++i) {
            EndpointLoad& load = fleet[*balancer.pick({}, state)];
            load.in_flight.fetch_add(1, std::memory_order_relaxed);
            load.in_flight.fetch_sub(1, std::memory_order_relaxed);
        }
    };
    std::thread one(work, 1);
    std::thread two(work, 2);
    one.join();
    two.join();
    for (std::size_t i = 0; i < fleet.size(); ++i) EXPECT_EQ(fleet[i].in_flight, 0U);
}

}  // namespace
}  // namespace datapunk::mesh::balance
