#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/rng.h"
#include "policy/service_policies.h"
#include "policy/test_service.h"

namespace datapunk::mesh::policy {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;

constexpr Instant kStart{};

std::vector<std::string> ids(const ServiceView& view) {
    std::vector<std::string> ids;
    for (const auto& endpoint : view.endpoints) ids.push_back(endpoint.id);
    return ids;
}

TEST(EndpointTable, StayingEndpointsKeepWhatWasLearned) {
    ServicePolicies policies("api_service", {.balance = RoundRobin{}}, 1);
    policies.update(test_set(3), kStart);
    for (int i = 0; i < 9; ++i) ask(policies, kStart);
    EndpointSet changed = test_set(5);
    changed.endpoints.erase(changed.endpoints.begin());
    changed.endpoints[0].health = Health::warning;  // e00001: the same endpoint
    changed.endpoints[1].tags = {"v2"};             // e00002: another instance
    policies.update(changed, kStart);
    const auto view = policies.view(kStart);
    EXPECT_THAT(ids(view), ElementsAre("e00001", "e00002", "e00003", "e00004"));
    EXPECT_EQ(view.endpoints[0].successes, 3U);
    EXPECT_EQ(view.endpoints[0].health, Health::warning);
    EXPECT_EQ(view.endpoints[1].successes, 0U);
}

TEST(EndpointTable, ARemovedEndpointFinishesItsCallsAndIsThenForgotten) {
    ServicePolicies policies("api_service", {}, 1);
    policies.update(test_set(1), kStart);
    CallState call = call_at(kStart);
    auto begun = policies.begin_attempt(call, kStart);
    policies.update(test_set(0), kStart);
    EXPECT_FALSE(ask(policies, kStart));
    ASSERT_EQ(policies.view(kStart).endpoints.size(), 1U);
    EXPECT_TRUE(policies.view(kStart).endpoints[0].is_leaving);
    EXPECT_EQ(std::get<HeldEndpoint>(begun).endpoint().id, "e00000");
    policies.finish_attempt(std::move(std::get<HeldEndpoint>(begun)), Outcome::success, kStart);
    policies.tick(kStart);
    EXPECT_TRUE(policies.view(kStart).endpoints.empty());
}

TEST(EndpointTable, AReturningEndpointFindsItsStateWhileOldCallsAreInFlight) {
    ServicePolicies policies("api_service", {}, 1);
    policies.update(test_set(2), kStart);
    for (int i = 0; i < 10; ++i) ask(policies, kStart);
    CallState call = call_at(kStart);
    auto begun = policies.begin_attempt(call, kStart);
    const std::string id = std::get<HeldEndpoint>(begun).endpoint().id;
    const auto of = [&](const ServiceView& view) {
        for (const auto& endpoint : view.endpoints) {
            if (endpoint.id == id) return endpoint;
        }
        return EndpointView{};
    };
    const EndpointView before = of(policies.view(kStart));
    policies.update(test_set(0), kStart);
    policies.update(test_set(2), kStart);
    const EndpointView after = of(policies.view(kStart));
    EXPECT_EQ(after.in_flight, 1U);
    EXPECT_EQ(after.successes, before.successes);
    EXPECT_FALSE(after.is_leaving);
    policies.finish_attempt(std::move(std::get<HeldEndpoint>(begun)), Outcome::success, kStart);
    EXPECT_EQ(of(policies.view(kStart)).in_flight, 0U);
    policies.tick(kStart);
    EXPECT_EQ(policies.view(kStart).endpoints.size(), 2U);
}

// Successes that are noted only, by the threads or (of many endpoints) at the endpoint, are counted
// as well.
class EndpointTableOf : public testing::TestWithParam<std::size_t> {};

TEST_P(EndpointTableOf, EveryOutcomeOfEveryThreadIsCountedOnce) {
    ServicePolicies policies("api_service", {.breaker = {.enabled = false}}, 78);
    policies.update(test_set(GetParam()), kStart);
    constexpr int kThreads = 4;
    constexpr int kCalls = 5000;
    const auto work = [&](std::uint64_t seed) {
        core::Rng rng(seed);
        for (int i = 0; i < kCalls; ++i) {
            const Instant now = at(milliseconds(i));
            CallState call = call_at(now);
            auto begun = policies.begin_attempt(call, now);
            const Outcome outcome = rng.chance(0.01) ? Outcome::server_error : Outcome::success;
            policies.finish_attempt(std::move(std::get<HeldEndpoint>(begun)), outcome, now);
        }
    };
    std::vector<std::thread> threads;
    for (std::uint64_t i = 0; i < kThreads; ++i) threads.emplace_back(work, i);
    for (auto& thread : threads) thread.join();
    std::uint64_t counted = 0;
    for (const EndpointView& endpoint : policies.view(kStart).endpoints) {
        counted += endpoint.successes + endpoint.failures;
        EXPECT_EQ(endpoint.in_flight, 0U);
    }
    EXPECT_EQ(counted, kThreads * kCalls);
}

INSTANTIATE_TEST_SUITE_P(FewAndMany, EndpointTableOf, testing::Values(5, 2 * kNotedSlots));

// Membership churns while threads call: nothing is lost, nothing is left in flight.
TEST(EndpointTable, ThreadsCallWhileMembershipChurns) {
    ServicePolicy policy;
    policy.outlier.interval = milliseconds(1);
    ServicePolicies policies("api_service", policy, 77);
    policies.update(test_set(20), kStart);
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> begun_count{0};
    const auto work = [&](std::uint64_t seed) {
        core::Rng rng(seed);
        std::vector<HeldEndpoint> held;
        std::int64_t ms = 0;
        while (!stop) {
            const Instant now = at(milliseconds(++ms / 100));
            CallState call = call_at(now);
            auto begun = policies.begin_attempt(call, now);
            if (auto* attempt = std::get_if<HeldEndpoint>(&begun)) {
                ++begun_count;
                held.push_back(std::move(*attempt));
            }
            if (held.size() > 16 || (held.size() > 0 && rng.chance(0.5))) {
                const auto any = static_cast<Outcome>(rng.below(kOutcomes));
                const Outcome outcome = rng.chance(0.8) ? Outcome::success : any;
                std::swap(held[rng.below(held.size())], held.back());
                policies.finish_attempt(std::move(held.back()), outcome, now);
                held.pop_back();
            }
        }
    };
    std::vector<std::thread> threads;
    for (std::uint64_t i = 0; i < 3; ++i) threads.emplace_back(work, i);
    core::Rng rng(5);
    for (int round = 0; round < 2000; ++round) {
        EndpointSet set = test_set(20);
        std::erase_if(set.endpoints, [&](const auto&) { return rng.chance(0.3); });
        policies.update(set, at(milliseconds(round)));
        if (round % 10 == 0) policies.tick(at(milliseconds(round)));
        if (round % 50 == 0) policies.view(at(milliseconds(round)));
    }
    stop = true;
    for (auto& thread : threads) thread.join();
    policies.update(test_set(20), at(seconds(9)));
    policies.tick(at(seconds(9)));
    const auto view = policies.view(at(seconds(9)));
    EXPECT_EQ(view.endpoints.size(), 20U);
    for (const auto& endpoint : view.endpoints) EXPECT_EQ(endpoint.in_flight, 0U) << endpoint.id;
    EXPECT_EQ(policies.totals().in_flight, 0U);
    EXPECT_EQ(policies.totals().attempts, begun_count);
}

TEST(EndpointTable, HalfOpenProbesAreBoundedAcrossThreads) {
    ServicePolicy policy;
    policy.outlier.enabled = false;
    ServicePolicies policies("api_service", policy, 3);
    policies.update(test_set(1), kStart);
    for (int i = 0; i < 5; ++i) ask(policies, kStart, Outcome::server_error);
    std::atomic<int> admitted{0};
    std::vector<std::thread> threads;
    std::vector<std::vector<HeldEndpoint>> held(4);
    for (std::size_t t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < 100; ++i) {
                CallState call = call_at(at(seconds(31)));
                auto begun = policies.begin_attempt(call, at(seconds(31)));
                if (auto* attempt = std::get_if<HeldEndpoint>(&begun)) {
                    ++admitted;
                    held[t].push_back(std::move(*attempt));
                }
            }
        });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(admitted, 5);
}

EndpointSetPtr as_shared(EndpointSet set, std::uint64_t generation) {
    set.generation = generation;
    return std::make_shared<const EndpointSet>(std::move(set));
}

// From one to the other, as discovery tells it.
EndpointChange change_of(const EndpointSet& before, const EndpointSetPtr& after) {
    EndpointChange change{.all = after};
    const auto find = [](const EndpointSet& set, const std::string& id) {
        return std::find_if(set.endpoints.begin(), set.endpoints.end(), [&](const auto& one) {
            return one.id == id;
        });
    };
    for (const ServiceEndpoint& one : after->endpoints) {
        const auto old = find(before, one.id);
        if (old == before.endpoints.end()) {
            change.added.push_back(one);
        } else if (!(*old == one)) {
            change.changed.push_back(one);
        }
    }
    for (const ServiceEndpoint& one : before.endpoints) {
        if (find(*after, one.id) == after->endpoints.end()) change.removed.push_back(one);
    }
    return change;
}

// What one learned by steps and one that was told everything say of themselves.
std::string said(const ServicePolicies& policies, Instant now) {
    std::string out;
    for (const EndpointView& one : policies.view(now).endpoints) {
        out += one.id + " " + std::to_string(static_cast<int>(one.health)) + " " +
               std::to_string(one.successes) + " " + std::to_string(one.failures) + " " +
               std::to_string(one.is_leaving) + "; ";
    }
    return out;
}

TEST(EndpointTable, StepsLeadWhereWholeSetsDo) {
    core::Rng rng(20261122);
    const ServicePolicy policy{.balance = RoundRobin{}};
    ServicePolicies stepped("api_service", policy, 1);
    ServicePolicies whole("api_service", policy, 1);
    EndpointSetPtr set = as_shared(test_set(20), 1);
    stepped.update(set, kStart);
    whole.update(set, kStart);
    for (std::uint64_t round = 2; round < 1500; ++round) {
        const Instant now = at(milliseconds(100 * round));
        EndpointSet fresh = *set;
        for (std::uint64_t left = rng.below(4); left > 0; --left) {
            ServiceEndpoint& one = fresh.endpoints[rng.below(fresh.endpoints.size())];
            switch (rng.below(4)) {
                case 0:
                    one.health = static_cast<Health>(rng.below(3));
                    break;
                case 1:
                    one.tags = {"v" + std::to_string(rng.below(3))};
                    break;
                case 2:
                    if (fresh.endpoints.size() > 5)
                        fresh.endpoints.erase(
                            fresh.endpoints.begin() + (&one - fresh.endpoints.data())
                        );
                    break;
                default:
                    fresh = *set;
                    for (const ServiceEndpoint& other : test_set(20).endpoints) {
                        const auto place = std::lower_bound(
                            fresh.endpoints.begin(),
                            fresh.endpoints.end(),
                            other,
                            [](const auto& a, const auto& b) { return a.id < b.id; }
                        );
                        const bool is_there =
                            place != fresh.endpoints.end() && place->id == other.id;
                        if (!is_there && rng.chance(0.5)) fresh.endpoints.insert(place, other);
                    }
            }
        }
        const EndpointSetPtr next = as_shared(std::move(fresh), round);
        const EndpointChange change = change_of(*set, next);
        // Sometimes a step is lost, or another one than this.
        const std::uint64_t from = rng.chance(0.1) ? round - 2 : round - 1;
        stepped.update(next, now, {.change = &change, .from = from});
        whole.update(next, now);
        set = next;
        for (int i = 0; i < 3; ++i) {
            const Outcome outcome = rng.chance(0.9) ? Outcome::success : Outcome::server_error;
            EXPECT_EQ(ask(stepped, now, outcome), ask(whole, now, outcome)) << "round " << round;
        }
        if (round % 7 == 0) {
            stepped.tick(now);
            whole.tick(now);
        }
        ASSERT_EQ(said(stepped, now), said(whole, now)) << "round " << round;
    }
}

TEST(EndpointTable, AStepThatDoesNotFitIsNotTaken) {
    ServicePolicies policies("api_service", {}, 1);
    const EndpointSetPtr first = as_shared(test_set(5), 1);
    policies.update(first, kStart);
    const EndpointSetPtr second = as_shared(test_set(4), 2);
    EndpointChange nothing{.all = second};
    policies.update(second, kStart, {.change = &nothing, .from = 1});  // one has gone, it says
    policies.tick(kStart);
    EXPECT_EQ(policies.view(kStart).endpoints.size(), 4U);
    EndpointChange stranger{.all = first};
    stranger.added = {first->endpoints[4]};
    stranger.changed = {first->endpoints[4]};
    const EndpointSetPtr third = as_shared(test_set(5), 3);
    policies.update(third, kStart, {.change = &stranger, .from = 2});
    EXPECT_EQ(policies.view(kStart).endpoints.size(), 5U);
}

}  // namespace
}  // namespace datapunk::mesh::policy
