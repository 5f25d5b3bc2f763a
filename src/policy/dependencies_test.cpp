#include "policy/dependencies.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <set>

#include "core/rng.h"
#include "policy/test_service.h"

namespace datapunk::mesh::policy {
namespace {

constexpr Instant kStart{};

std::uint64_t test_seed() {
    const char* given = std::getenv("SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : 20260101;
}

ServiceStanding standing(
    std::string name, std::vector<std::string> dependencies, std::string failing = {}
) {
    return {
        .name = std::move(name),
        .failing = std::move(failing),
        .dependencies = std::move(dependencies),
        .optional = {}
    };
}

TEST(Dependencies, TellTheShortestWayToWhatFails) {
    const std::vector<ServiceStanding> services = {
        standing("orders", {"payments"}),
        standing("payments", {}, "down"),
        standing("search", {}),
        standing("web", {"orders", "search"}),
    };
    const auto found = degradations(services);
    EXPECT_EQ(found[0], (Degradation{.because = "payments: down", .is_blocked = true}));
    EXPECT_EQ(found[1], Degradation{}) << "it fails by itself";
    EXPECT_EQ(found[2], Degradation{});
    EXPECT_EQ(
        found[3], (Degradation{.because = "orders, because of payments: down", .is_blocked = false})
    ) << "orders still answers";
}

TEST(Dependencies, CyclesEndAndBlameNobodyForHimself) {
    const std::vector<ServiceStanding> services = {
        standing("a", {"a", "b"}, "down"), standing("b", {"c"}), standing("c", {"a"})
    };
    const auto found = degradations(services);
    EXPECT_EQ(found[0], Degradation{});
    EXPECT_EQ(found[1].because, "c, because of a: down");
    EXPECT_EQ(found[2], (Degradation{.because = "a: down", .is_blocked = true}));
}

TEST(Dependencies, WhatIsOptionalOrUnknownBlocksNothing) {
    std::vector<ServiceStanding> services = {
        standing("orders", {"audit", "nobody_calls_this"}), standing("audit", {}, "down")
    };
    EXPECT_TRUE(degradations(services)[0].is_blocked);
    services[0].optional = {"audit"};
    const auto found = degradations(services);
    EXPECT_EQ(found[0], (Degradation{.because = "audit: down", .is_blocked = false}));
}

// Against reachability by repeated relaxation, on random graphs with cycles.
TEST(Dependencies, AgreeWithReachabilityOnRandomGraphs) {
    const std::uint64_t seed = test_seed();
    SCOPED_TRACE(testing::Message() << "SEED=" << seed);
    core::Rng rng(seed);
    int degraded = 0;
    for (int round = 0; round < 300; ++round) {
        const std::size_t size = 1 + rng.below(12);
        std::vector<ServiceStanding> services;
        for (std::size_t i = 0; i < size; ++i) {
            std::set<std::string> names;
            for (std::uint64_t n = rng.below(4); n > 0; --n) {
                names.insert("s" + std::to_string(rng.below(size + 2)));
            }
            services.push_back(standing(
                "s" + std::to_string(i), {names.begin(), names.end()}, rng.chance(0.2) ? "down" : ""
            ));
        }
        const auto found = degradations(services);
        for (std::size_t from = 0; from < size; ++from) {
            std::set<std::string> reached = {services[from].name};
            for (std::size_t i = 0; i < size; ++i) {
                for (const auto& service : services) {
                    if (!reached.contains(service.name)) continue;
                    reached.insert(service.dependencies.begin(), service.dependencies.end());
                }
            }
            bool expected = false;
            bool blocked = false;
            for (const auto& other : services) {
                if (other.name == services[from].name || other.failing.empty()) continue;
                expected = expected || reached.contains(other.name);
                const auto& direct = services[from].dependencies;
                blocked =
                    blocked || std::find(direct.begin(), direct.end(), other.name) != direct.end();
            }
            ASSERT_EQ(!found[from].because.empty(), expected) << round << " " << from;
            ASSERT_EQ(found[from].is_blocked, blocked) << round << " " << from;
            degraded += expected ? 1 : 0;
        }
    }
    EXPECT_GT(degraded, 100);
}

EndpointSet depending_on(const std::string& service, const std::string& dependencies) {
    EndpointSet set = test_set(2);
    for (ServiceEndpoint& endpoint : set.endpoints) {
        endpoint.service = service;
        endpoint.metadata.emplace(meta_key::dependencies, dependencies);
    }
    return set;
}

TEST(Dependencies, AreToldRefusedIfAskedForAndForgottenWhenAllIsWell) {
    ServicePolicy hasty;
    hasty.dependencies.fail_fast = true;
    ServicePolicies orders("orders", hasty, 1);
    ServicePolicies payments("payments", {}, 2);
    ServicePolicies web("web", hasty, 3);
    orders.update(depending_on("orders", "payments"), kStart);
    payments.update(test_set(2), kStart);
    web.update(depending_on("web", "orders,search"), kStart);
    const std::vector<ServicePolicies*> all = {&orders, &payments, &web};
    update_dependencies(all, kStart);
    EXPECT_EQ(orders.degraded_because(), "");
    EXPECT_TRUE(orders.drain_events().empty());

    ASSERT_TRUE(payments.force_breaker(BreakerForce::open, {}, kStart));
    update_dependencies(all, kStart);
    EXPECT_EQ(orders.degraded_because(), "payments: its circuit breaker is held open");
    EXPECT_EQ(
        web.degraded_because(), "orders, because of payments: its circuit breaker is held open"
    );
    EXPECT_TRUE(ask(web, kStart)) << "orders still answers";
    CallState call = call_at(kStart);
    auto begun = orders.begin_attempt(call, kStart);
    const auto* none = std::get_if<NoEndpoint>(&begun);
    ASSERT_NE(none, nullptr);
    EXPECT_EQ(none->reason, NoEndpoint::Reason::dependency);
    EXPECT_EQ(
        orders.to_error(*none, kStart).what,
        "orders: depends on payments: its circuit breaker is held open"
    );
    const auto events = orders.drain_events();
    ASSERT_EQ(events.size(), 1U);
    EXPECT_EQ(events[0].what, "degraded");
    EXPECT_EQ(events[0].why, "payments: its circuit breaker is held open");
    EXPECT_EQ(orders.view(kStart).degraded_because, orders.degraded_because());

    ASSERT_TRUE(payments.force_breaker(BreakerForce::none, {}, kStart));
    update_dependencies(all, kStart);
    EXPECT_EQ(orders.degraded_because(), "");
    EXPECT_TRUE(ask(orders, kStart));
    EXPECT_EQ(orders.drain_events().at(0).what, "no longer degraded");
}

// Nobody who waits for the breaker of a dependency to close may keep it open by waiting.
TEST(Dependencies, EndWhenTheDependencyMayBeProbedAlthoughNobodyCallsIt) {
    ServicePolicies orders("orders", {}, 1);
    ServicePolicies payments("payments", {.outlier = {.enabled = false}}, 2);
    orders.update(depending_on("orders", "payments"), kStart);
    payments.update(test_set(1), kStart);
    const std::vector<ServicePolicies*> all = {&orders, &payments};
    for (int i = 0; i < 5; ++i) ask(payments, kStart, Outcome::server_error);
    update_dependencies(all, kStart);
    EXPECT_EQ(orders.degraded_because(), "payments: none of its 1 endpoints is available");
    update_dependencies(all, kStart + std::chrono::seconds(30));
    EXPECT_EQ(orders.degraded_because(), "");
}

}  // namespace
}  // namespace datapunk::mesh::policy
