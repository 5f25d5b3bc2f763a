#include <gmock/gmock.h>

#include "config/effective.h"
#include "config/load_fixture.h"

namespace datapunk::mesh::config {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

ServicePolicy policy_in(const std::string& text, const std::string& rest = "") {
    const Loaded loaded = load_text("defaults: {policy: " + text + "}\n" + rest);
    EXPECT_TRUE(loaded.config) << problems_of(loaded);
    return loaded.config ? loaded.config->policy_of("any") : ServicePolicy{};
}

TEST(BalanceTables, EveryAlgorithmIsReadAndWrittenAsItIs) {
    const std::pair<const char*, BalanceConfig> cases[] = {
        {"{algorithm: peak_ewma, decay: 2s}", PeakEwma{.decay = 2s}},
        {"{algorithm: round_robin}", RoundRobin{}},
        {"{algorithm: weighted_round_robin}", WeightedRoundRobin{}},
        {"{algorithm: static_stride}", StaticStride{}},
        {"{algorithm: random}", Random{}},
        {"{algorithm: least_request, choices: 3}", LeastRequest{3}},
        {"{algorithm: weighted_response_time}", WeightedResponseTime{}},
        {"{algorithm: reported_load, blackout: 1s, expiration: 2s, error_penalty: 3}",
         ReportedLoad{.blackout = 1s, .expiration = 2s, .error_penalty = 3}},
        {"{algorithm: adaptive, interval: 3s}", Adaptive{.interval = 3s}},
        {"{algorithm: ring_hash, points_min: 7}", RingHash{.points_min = 7}},
        {"{algorithm: maglev, table_size: 7}", Maglev{.table_size = 7}},
    };
    for (const auto& [text, wanted] : cases) {
        EXPECT_EQ(policy_in(std::string("{balance: ") + text + "}").balance, wanted) << text;
        const Loaded once = load_text(std::string("defaults: {policy: {balance: ") + text + "}}\n");
        ASSERT_TRUE(once.config);
        const Loaded again = load_text(to_yaml(effective(once)));
        ASSERT_TRUE(again.config) << problems_of(again);
        EXPECT_EQ(again.config->defaults.policy.balance, wanted) << text;
    }
}

TEST(BalanceTables, TheOwnZoneIsTheNodes) {
    const std::string zones = "{zones: {prefer_own: true}}";
    EXPECT_EQ(policy_in(zones, "node: {zone: eu-1}\n").zones.own, "eu-1");
    EXPECT_EQ(policy_in("{zones: {prefer_own: true, own: b}}", "node: {zone: a}\n").zones.own, "b");
    EXPECT_EQ(policy_in("{}", "node: {zone: a}\n").zones.own, "");
    EXPECT_THAT(
        problems_of("defaults: {policy: " + zones + "}\n"),
        HasSubstr("zones.prefer_own needs to know the own zone: zones.own, or node.zone")
    );
}

TEST(BalanceTables, WhatExcludesEachOtherIsRefused) {
    const auto problems = [](const std::string& policy) {
        return problems_of("node: {zone: a}\ndefaults: {policy: {" + policy + "}}\n");
    };
    EXPECT_EQ(problems("subsetting: {by: aperture, callers: 3, caller_index: 2}"), "");
    EXPECT_THAT(problems("subsetting: {by: aperture}"), HasSubstr("aperture needs callers"));
    EXPECT_THAT(
        problems("subsetting: {by: aperture, callers: 3, caller_index: 3}"),
        HasSubstr("aperture needs callers")
    );
    EXPECT_THAT(
        problems("zones: {prefer_own: true}, subsetting: {by: aperture, callers: 3}"),
        HasSubstr("exclude each other")
    );
    EXPECT_THAT(problems("slow_start: {window: 2h}"), HasSubstr("slow_start.window"));
    EXPECT_THAT(problems("slow_start: {min_share: 0}"), HasSubstr("slow_start.min_share"));
    EXPECT_THAT(problems("panic: {healthy_percent: 101}"), HasSubstr("panic.healthy_percent"));
    EXPECT_THAT(problems("failover: {overprovisioning: 0.5}"), HasSubstr("overprovisioning"));
    EXPECT_THAT(
        problems("balance: {algorithm: adaptive, interval: 10ms}"), HasSubstr("balance.interval")
    );
}

}  // namespace
}  // namespace datapunk::mesh::config
