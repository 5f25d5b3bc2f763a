// What docs/policies.md promises of balancing, on short runs of the scenarios. Virtual time: the
// same seed gives the same numbers on any machine.

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "balance/simulation.h"

namespace datapunk::mesh::bench {
namespace {

Scenario load(const std::string& name) {
    std::ifstream file(std::string(MESH_SOURCE_DIR) + "/bench/balance/scenarios/" + name + ".txt");
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    auto scenario = parse_scenario(name, text);
    EXPECT_TRUE(file && scenario) << name;
    return *std::move(scenario);
}

ServicePolicy balance_only(BalanceConfig balance) {
    ServicePolicy policy{.balance = balance};
    policy.breaker.enabled = false;
    policy.outlier.enabled = false;
    policy.limits.requests = 1'000'000;
    return policy;
}

TEST(SimBalance, TheSameSeedGivesTheSameRun) {
    const Scenario scenario = load("churn");
    const auto first = simulate(scenario, balance_only(PeakEwma{}), 3);
    const auto second = simulate(scenario, balance_only(PeakEwma{}), 3);
    EXPECT_EQ(first.calls, second.calls);
    EXPECT_EQ(first.p999_ms, second.p999_ms);
}

TEST(SimBalance, NobodyBeatsTheOracle) {
    for (const char* name : {"all_equal", "one_slow_of_ten", "half_slow_of_four"}) {
        const Scenario scenario = load(name);
        const auto oracle = simulate(scenario, std::nullopt, 1);
        for (const BalanceConfig& balance :
             {BalanceConfig{PeakEwma{}}, BalanceConfig{LeastRequest{}}, BalanceConfig{RoundRobin{}}
             }) {
            const auto measured = simulate(scenario, balance_only(balance), 1);
            EXPECT_GE(measured.p99_ms, oracle.p99_ms * 0.98) << name;
        }
    }
}

TEST(SimBalance, EqualEndpointsGetEqualShares) {
    const auto measured = simulate(load("all_equal"), ServicePolicy{}, 1);
    EXPECT_LE(measured.imbalance, 1.05);
}

TEST(SimBalance, RoundRobinSuffersFromOneSlowEndpointAndTheDefaultDoesNot) {
    const Scenario scenario = load("one_slow_of_ten");
    const auto plain = simulate(scenario, balance_only(RoundRobin{}), 1);
    const auto standard = simulate(scenario, ServicePolicy{}, 1);
    EXPECT_GT(plain.p99_ms, 10 * standard.p99_ms);
}

TEST(SimBalance, AnEndpointThatFailsFastGetsNextToNothing) {
    const auto measured = simulate(load("fast_failures"), ServicePolicy{}, 1);
    EXPECT_LE(measured.bad_share, 0.01);
}

// Two choices of four see two slow ones in a sixth of the picks; round robin's p99 is 19 s here.
TEST(SimBalance, HalfSlowOfFourIsSurvived) {
    const Scenario scenario = load("half_slow_of_four");
    const auto oracle = simulate(scenario, std::nullopt, 1);
    EXPECT_LE(simulate(scenario, ServicePolicy{}, 1).p99_ms, 1.2 * oracle.p99_ms);
}

TEST(SimBalance, HalfSlowOfTenIsSurvived) {
    const Scenario scenario = load("half_slow_of_ten");
    const auto oracle = simulate(scenario, std::nullopt, 1);
    EXPECT_LE(simulate(scenario, ServicePolicy{}, 1).p99_ms, 1.3 * oracle.p99_ms);
}

TEST(SimBalance, OneSlowOfTenCostsTheTailATenthAtMost) {
    const Scenario scenario = load("one_slow_of_ten");
    const auto oracle = simulate(scenario, std::nullopt, 1);
    EXPECT_LE(simulate(scenario, ServicePolicy{}, 1).p99_ms, 1.1 * oracle.p99_ms);
}

// Plain while all are well; and careful within a second or two of one becoming slow.
TEST(SimBalance, AdaptiveIsEvenWhileAllAreWellAndCarefulWhenOneIsSlow) {
    const auto well = parse_scenario("x", "endpoints 10\nload 0.6\nwarm_up 40s\nduration 20s\n");
    ASSERT_TRUE(well);
    EXPECT_LE(simulate(*well, balance_only(Adaptive{}), 1).imbalance, 1.001);
    const auto slow = parse_scenario(
        "x", "endpoints 10\nload 0.6\nwarm_up 40s\nduration 40s\nat 45s 0 slow 10\n"
    );
    ASSERT_TRUE(slow);
    const auto plain = simulate(*slow, balance_only(RoundRobin{}), 1);
    const auto adaptive = simulate(*slow, balance_only(Adaptive{}), 1);
    EXPECT_LT(adaptive.p99_ms, plain.p99_ms / 20);
    EXPECT_LT(adaptive.bad_share, 0.03);
}

TEST(SimBalance, SlowStartSparesAColdEndpoint) {
    const Scenario scenario = load("cold_start");
    ServicePolicy slowly = balance_only(RoundRobin{});
    slowly.slow_start.window = std::chrono::seconds(10);
    const auto plain = simulate(scenario, balance_only(RoundRobin{}), 1);
    EXPECT_LT(simulate(scenario, slowly, 1).p99_ms, plain.p99_ms / 2);
}

TEST(SimBalance, ScenariosSayWhichLineIsWrong) {
    EXPECT_EQ(
        parse_scenario("x", "endpoints 3\nlaod 0.5\n").error().what,
        "x:2: cannot be understood: laod 0.5"
    );
    EXPECT_FALSE(parse_scenario("x", "endpoints 3\nat 1s 3 well\n"));
    EXPECT_FALSE(parse_scenario("x", "at 1s 0 slow\n"));
    EXPECT_FALSE(parse_scenario("x", "weights 1 0\n"));
}

}  // namespace
}  // namespace datapunk::mesh::bench
