#include "policy/worker.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <mutex>
#include <thread>
#include <vector>

#include "policy/service_policies.h"
#include "policy/test_service.h"

namespace datapunk::mesh::policy {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

TEST(WorkerTable, GivesEveryIndexItsOwnWorkerAndLuck) {
    WorkerTable table(7);
    Worker& first = table.at(0);
    Worker& last = table.at(core::kThreadsMax);
    EXPECT_EQ(&first, &table.at(0));
    EXPECT_NE(&first, &last);
    EXPECT_NE(first.pick.cursor, last.pick.cursor);
    EXPECT_EQ(table.size(), 2U);
}

TEST(WorkerTable, TwoThreadsThatNeedTheSameWorkerGetTheSame) {
    for (int round = 0; round < 100; ++round) {
        WorkerTable table(1);
        std::latch start(2);
        Worker* seen[2] = {};
        const auto work = [&](std::size_t i) {
            start.arrive_and_wait();
            seen[i] = &table.at(core::kThreadsMax);
        };
        std::thread one(work, 0);
        work(1);
        one.join();
        ASSERT_EQ(seen[0], seen[1]);
        ASSERT_EQ(table.size(), 1U);
    }
}

TEST(WorkerTable, CountsInFlightAcrossThreads) {
    WorkerTable table(1);
    table.at(0).begun.add(5);
    table.at(1).begun.add(1);
    table.at(1).finished.add(4);  // of the other's: attempts may end elsewhere
    EXPECT_EQ(table.in_flight(), 2U);
}

TEST(WorkerUse, TheSharedWorkerIsLocked) {
    WorkerTable table(1);
    Worker& shared = table.at(core::kThreadsMax);
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
        threads.emplace_back([&] {
            for (int n = 0; n < 10'000; ++n) {
                const std::lock_guard guard(shared.shared_lock);
                shared.calls.add();  // load + store: would lose counts without the lock
            }
        });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(shared.calls.load(), 30'000U);
}

TEST(ConcurrencyLimit, HoldsAcrossThreadsOnceASumIsOld) {
    ServicePolicy policy;
    policy.limits.requests = 100;
    ServicePolicies policies("api_service", policy, 1);
    policies.update(test_set(2), Instant{});
    const auto begin_until_refused =
        [&](std::vector<HeldEndpoint>& held, std::size_t most, Instant now) {
            while (held.size() < most) {
                CallState call = call_at(now);
                auto begun = policies.begin_attempt(call, now);
                if (!std::holds_alternative<HeldEndpoint>(begun)) return;
                held.push_back(std::move(std::get<HeldEndpoint>(begun)));
            }
        };
    std::vector<HeldEndpoint> mine;
    std::vector<HeldEndpoint> others;
    begin_until_refused(mine, 1, Instant{});  // and 49 more are allowed for a millisecond
    std::thread other([&] { begin_until_refused(others, 1000, Instant{}); });
    other.join();
    EXPECT_EQ(others.size(), 99U);
    begin_until_refused(mine, 1000, at(milliseconds(1)));
    EXPECT_EQ(mine.size(), 1U);
    others.clear();
    begin_until_refused(mine, 1000, at(milliseconds(1)));
    EXPECT_EQ(mine.size(), 100U);
}

TEST(ConcurrencyLimit, NeverRefusesWhenFarAway) {
    ServicePolicy policy;
    policy.limits.requests = 8;
    ServicePolicies policies("api_service", policy, 1);
    policies.update(test_set(2), Instant{});
    std::atomic<int> refused{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&] {
            for (int i = 0; i < 50'000; ++i) {
                // Two milliseconds apart: every call sums all workers.
                if (!ask(policies, at(milliseconds(2 * i)))) ++refused;
            }
        });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(refused, 0);
}

TEST(ConcurrencyLimit, OvershootsByAtMostHalfTheHeadroomWithinAMillisecond) {
    ServicePolicy policy;
    policy.limits.requests = 100;
    ServicePolicies policies("api_service", policy, 1);
    policies.update(test_set(2), Instant{});
    std::vector<std::vector<HeldEndpoint>> held(4);
    std::latch start(4);
    std::vector<std::thread> threads;
    for (auto& mine : held) {
        threads.emplace_back([&] {
            ask(policies, at(milliseconds(-1000)));  // so that all workers are known
            start.arrive_and_wait();
            for (int i = 0; i < 200; ++i) {
                const Instant now = at(milliseconds(0)) + microseconds(i);
                CallState call = call_at(now);
                auto begun = policies.begin_attempt(call, now);
                if (auto* attempt = std::get_if<HeldEndpoint>(&begun))
                    mine.push_back(std::move(*attempt));
            }
        });
    }
    for (auto& thread : threads) thread.join();
    std::size_t total = 0;
    for (const auto& mine : held) total += mine.size();
    EXPECT_GE(total, 100U);
    EXPECT_LE(total, 150U);
}

}  // namespace
}  // namespace datapunk::mesh::policy
