#include "policy/admission.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <iterator>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "policy/service_policies.h"
#include "policy/test_service.h"

namespace datapunk::mesh::policy {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Reason = NoEndpoint::Reason;

ServicePolicy queueing(std::uint32_t requests, std::uint32_t pending) {
    ServicePolicy policy{.balance = RoundRobin{}};
    policy.limits.requests = requests;
    policy.limits.pending = pending;
    return policy;
}

// A service, calls that hold places, and calls that wait.
struct Service {
    explicit Service(const ServicePolicy& policy) : policies("api_service", policy, 1) {
        policies.update(test_set(3), at(milliseconds(0)));
    }

    // What begin_attempt() says to a call that can wait.
    std::variant<HeldEndpoint, NoEndpoint> begin(
        Instant now, CallPriority priority = CallPriority::normal
    ) {
        CallState call = call_at(now);
        call.can_wait = true;
        call.priority = priority;
        return policies.begin_attempt(call, now);
    }

    bool hold(Instant now, CallPriority priority = CallPriority::normal) {
        auto begun = begin(now, priority);
        auto* attempt = std::get_if<HeldEndpoint>(&begun);
        if (attempt == nullptr) return false;
        held.push_back(std::move(*attempt));
        return true;
    }

    void release(Instant now) {
        policies.finish_attempt(std::move(held.back()), Outcome::success, now);
        held.pop_back();
    }

    std::uint64_t refused(Reason reason) const {
        return policies.totals().refused[static_cast<std::size_t>(reason)];
    }

    ServicePolicies policies;
    std::vector<HeldEndpoint> held;
};

struct Waiter {
    explicit Waiter(Service& service, CallPriority priority = CallPriority::normal)
        : call(resilience::Deadline(kNever)),
          wait(service.policies.admission(), [this] { woken = true; }) {
        call.can_wait = true;
        call.priority = priority;
    }

    CallState call;
    bool woken = false;
    PlaceWait wait;
};

TEST(PlaceWait, PlacesGoToThoseThatWaitInTheirOrderAndNobodyOvertakes) {
    Service service(queueing(2, 10));
    const Instant now = at(milliseconds(0));
    ASSERT_TRUE(service.hold(now));
    ASSERT_TRUE(service.hold(now));
    const auto full = service.begin(now);
    ASSERT_TRUE(std::get<NoEndpoint>(full).may_wait);
    Waiter first(service);
    Waiter second(service);
    ASSERT_FALSE(first.wait.join(first.call, now));
    ASSERT_FALSE(second.wait.join(second.call, now));
    EXPECT_FALSE(first.woken);
    service.release(now);
    EXPECT_TRUE(first.woken);
    EXPECT_FALSE(second.woken);
    EXPECT_FALSE(service.hold(now)) << "the place is the first one's, begun or not";
    EXPECT_EQ(first.wait.end(first.call, now), std::nullopt);
    auto begun = service.policies.begin_attempt(first.call, now);
    ASSERT_TRUE(std::holds_alternative<HeldEndpoint>(begun));
    EXPECT_EQ(service.policies.totals().in_flight, 2U);
    service.release(now);
    EXPECT_TRUE(second.woken);
    EXPECT_EQ(service.policies.totals().attempts, 4U) << "three begun, one place given";
}

TEST(PlaceWait, AFullQueueRefusesAtOnceAndSaysWhy) {
    Service service(queueing(1, 1));
    const Instant now = at(milliseconds(0));
    ASSERT_TRUE(service.hold(now));
    Waiter waiting(service);
    Waiter refused(service);
    ASSERT_FALSE(waiting.wait.join(waiting.call, now));
    const auto why = refused.wait.join(refused.call, now);
    ASSERT_TRUE(why);
    EXPECT_EQ(why->reason, Reason::limited);
    EXPECT_EQ(why->limit, 1U);
    EXPECT_EQ(service.refused(Reason::limited), 1U);
    EXPECT_EQ(service.policies.view(now).waiting, 1U);
}

TEST(PlaceWait, EndsAfterItsTimeoutOrTheCallsDeadlineWhicheverIsFirst) {
    Service service(queueing(1, 10));  // pending_timeout is a second
    ASSERT_TRUE(service.hold(at(milliseconds(0))));
    Waiter patient(service);
    Waiter hurried(service);
    hurried.call.deadline = resilience::Deadline(at(milliseconds(300)));
    ASSERT_FALSE(patient.wait.join(patient.call, at(milliseconds(0))));
    ASSERT_FALSE(hurried.wait.join(hurried.call, at(milliseconds(0))));
    EXPECT_EQ(patient.wait.latest(), at(milliseconds(1000)));
    EXPECT_EQ(hurried.wait.latest(), at(milliseconds(300)));
    EXPECT_EQ(hurried.wait.end(hurried.call, at(milliseconds(300)))->reason, Reason::deadline);
    EXPECT_EQ(
        patient.wait.end(patient.call, at(milliseconds(1000)))->reason, Reason::pending_timeout
    );
    EXPECT_EQ(service.policies.admission().waiting(), 0U);
    EXPECT_EQ(service.refused(Reason::pending_timeout), 1U);
}

TEST(PlaceWait, AnExpiredCallDoesNotTakeThePlaceOfOneThatStillWaits) {
    Service service(queueing(1, 10));
    ASSERT_TRUE(service.hold(at(milliseconds(0))));
    Waiter expired(service);
    Waiter waiting(service);
    expired.call.deadline = resilience::Deadline(at(milliseconds(100)));
    ASSERT_FALSE(expired.wait.join(expired.call, at(milliseconds(0))));
    ASSERT_FALSE(waiting.wait.join(waiting.call, at(milliseconds(1))));
    service.release(at(milliseconds(100)));
    EXPECT_TRUE(waiting.woken);
    EXPECT_EQ(waiting.wait.end(waiting.call, at(milliseconds(100))), std::nullopt);
    EXPECT_EQ(expired.wait.end(expired.call, at(milliseconds(100)))->reason, Reason::deadline);
    EXPECT_TRUE(std::holds_alternative<HeldEndpoint>(
        service.policies.begin_attempt(waiting.call, at(milliseconds(100)))
    ));
}

TEST(PlaceWait, AWaiterThatGoesTakesNothingAlongWhetherItHadAPlaceOrNot) {
    Service service(queueing(1, 10));
    const Instant now = at(milliseconds(0));
    ASSERT_TRUE(service.hold(now));
    auto leaves_early = std::make_unique<Waiter>(service);
    auto leaves_with_place = std::make_unique<Waiter>(service);
    Waiter last(service);
    ASSERT_FALSE(leaves_early->wait.join(leaves_early->call, now));
    ASSERT_FALSE(leaves_with_place->wait.join(leaves_with_place->call, now));
    ASSERT_FALSE(last.wait.join(last.call, now));
    leaves_early.reset();
    service.release(now);
    ASSERT_TRUE(leaves_with_place->woken);
    EXPECT_FALSE(last.woken);
    leaves_with_place.reset();
    EXPECT_TRUE(last.woken);
    EXPECT_EQ(service.policies.totals().in_flight, 1U) << "the last one's place";
    EXPECT_EQ(service.policies.totals().attempts, 2U);
}

TEST(PlaceWait, APlaceIsGivenBackIfThereIsNobodyToAsk) {
    Service service(queueing(1, 10));
    const Instant now = at(milliseconds(0));
    ASSERT_TRUE(service.hold(now));
    Waiter waiting(service);
    ASSERT_FALSE(waiting.wait.join(waiting.call, now));
    service.release(now);
    ASSERT_FALSE(waiting.wait.end(waiting.call, now));
    service.policies.update(test_set(0), now);
    const auto begun = service.policies.begin_attempt(waiting.call, now);
    EXPECT_EQ(std::get<NoEndpoint>(begun).reason, Reason::unknown_service);
    EXPECT_FALSE(waiting.call.has_place);
    EXPECT_EQ(service.policies.totals().in_flight, 0U);
}

TEST(PlaceWait, ClosingWakesEverybodyAndNobodyMayWaitAnyMore) {
    Service service(queueing(1, 10));
    const Instant now = at(milliseconds(0));
    ASSERT_TRUE(service.hold(now));
    Waiter waiting(service);
    Waiter late(service);
    ASSERT_FALSE(waiting.wait.join(waiting.call, now));
    service.policies.admission().close();
    EXPECT_TRUE(waiting.woken);
    EXPECT_EQ(waiting.wait.end(waiting.call, now)->reason, Reason::limited);
    EXPECT_TRUE(late.wait.join(late.call, now));
}

TEST(Priorities, TheLowestClassesAreShedFirst) {
    ServicePolicy policy = queueing(100, 0);
    policy.limits.priority.enabled = true;
    Service service(policy);
    const Instant now = at(milliseconds(0));
    const auto fill = [&](CallPriority priority, std::size_t to) {
        while (service.held.size() < to) {
            if (!service.hold(now, priority)) break;
        }
        return service.held.size();
    };
    EXPECT_EQ(fill(CallPriority::bulk, 200), 50U);
    EXPECT_EQ(fill(CallPriority::low, 200), 75U);
    EXPECT_EQ(fill(CallPriority::normal, 200), 90U);
    EXPECT_EQ(fill(CallPriority::high, 200), 95U);
    const auto why = std::get<NoEndpoint>(service.begin(now, CallPriority::high));
    EXPECT_EQ(why.reason, Reason::shed);
    EXPECT_FALSE(why.may_wait);
    EXPECT_EQ(fill(CallPriority::critical, 200), 100U);
    EXPECT_EQ(
        std::get<NoEndpoint>(service.begin(now, CallPriority::critical)).reason, Reason::limited
    );
}

TEST(Priorities, WithoutThemTheWholeLimitIsForEverybody) {
    Service service(queueing(10, 0));
    while (service.hold(at(milliseconds(0)), CallPriority::bulk)) {
    }
    EXPECT_EQ(service.held.size(), 10U);
}

TEST(Priorities, TheLowestClassIsNotStarvedWhileAPlaceIsFree) {
    ServicePolicy policy = queueing(100, 0);
    policy.limits.priority.enabled = true;
    Service service(policy);
    const Instant now = at(milliseconds(0));
    while (service.held.size() < 60) ASSERT_TRUE(service.hold(now, CallPriority::critical));
    int passed = 0;
    for (int i = 0; i < 160; ++i) {
        auto begun = service.begin(now, CallPriority::bulk);
        if (std::holds_alternative<HeldEndpoint>(begun)) ++passed;
    }
    EXPECT_EQ(passed, 10);
    EXPECT_EQ(service.refused(Reason::shed), 150U);
}

TEST(Priorities, InTheQueueTheHigherClassGoesFirstAndTheLowerOnceItIsOld) {
    ServicePolicy policy = queueing(2, 10);
    policy.limits.priority.enabled = true;
    Service service(policy);
    const Instant now = at(milliseconds(0));
    ASSERT_TRUE(service.hold(now, CallPriority::critical));
    ASSERT_TRUE(service.hold(now, CallPriority::critical));
    Waiter bulk(service, CallPriority::bulk);
    Waiter critical(service, CallPriority::critical);
    ASSERT_FALSE(bulk.wait.join(bulk.call, now));
    ASSERT_FALSE(critical.wait.join(critical.call, at(milliseconds(10))));
    service.release(at(milliseconds(20)));
    EXPECT_TRUE(critical.woken);
    EXPECT_FALSE(bulk.woken);
    // One place of two is taken: bulk may not have the other yet.
    service.release(at(milliseconds(30)));
    EXPECT_FALSE(bulk.woken);
    service.policies.tick(at(milliseconds(499)));
    EXPECT_FALSE(bulk.woken);
    service.policies.tick(at(milliseconds(501)));
    EXPECT_TRUE(bulk.woken);
}

TEST(Priorities, ALowerClassThatWaitsForItsPartDoesNotKeepAHigherOneOut) {
    ServicePolicy policy = queueing(10, 10);
    policy.limits.priority.enabled = true;
    Service service(policy);
    const Instant now = at(milliseconds(0));
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(service.hold(now, CallPriority::bulk));
    Waiter bulk(service, CallPriority::bulk);
    ASSERT_FALSE(bulk.wait.join(bulk.call, now));
    EXPECT_FALSE(bulk.woken);
    EXPECT_FALSE(service.hold(now, CallPriority::bulk)) << "nobody of its class overtakes it";
    EXPECT_TRUE(service.hold(now, CallPriority::low));
    EXPECT_TRUE(service.hold(now, CallPriority::critical));
    EXPECT_FALSE(bulk.woken);
}

// Answers take 10 ms with up to eight calls at once, and wait for each other beyond.
TEST(AdaptiveAdmission, TheLimitFollowsWhatTheServiceCanTake) {
    for (const AdaptiveLimit kind : {AdaptiveLimit::gradient, AdaptiveLimit::vegas}) {
        ServicePolicy policy = queueing(1000, 0);
        policy.limits.adaptive = kind;
        Service service(policy);
        EXPECT_EQ(service.policies.view(at(milliseconds(0))).limit, 20U);
        struct Call {
            HeldEndpoint held;
            Instant ends;
        };
        std::deque<Call> calls;  // in the order of their ends
        Instant free_at[8] = {};
        for (int ms = 0; ms < 120'000; ++ms) {
            const Instant now = at(milliseconds(ms));
            while (!calls.empty() && calls.front().ends <= now) {
                service.policies.finish_attempt(
                    std::move(calls.front().held), Outcome::success, now
                );
                calls.pop_front();
            }
            for (int i = 0; i < 4; ++i) {  // five times what the service can do
                auto begun = service.begin(now);
                auto* held = std::get_if<HeldEndpoint>(&begun);
                if (held == nullptr) break;
                Instant& worker = *std::min_element(std::begin(free_at), std::end(free_at));
                worker = std::max(worker, now) + milliseconds(10);
                calls.push_back({std::move(*held), worker});
            }
        }
        const std::uint32_t limit = service.policies.view(at(seconds(120))).limit;
        EXPECT_GE(limit, 4U);  // a probe may be on
        EXPECT_LE(limit, 40U);
        EXPECT_GE(service.policies.totals().outcomes[0], 120'000U * 8 / 10 * 93 / 100);
        EXPECT_GT(service.refused(Reason::limited), 0U);
    }
}

TEST(AdaptiveAdmission, ALimitThatGrowsGivesItsNewPlacesToThoseThatWait) {
    ServicePolicy policy = queueing(1000, 100);
    policy.limits.adaptive = AdaptiveLimit::vegas;
    policy.limits.pending_timeout = seconds(60);
    Service service(policy);
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(service.hold(at(milliseconds(0))));
    std::deque<Waiter> waiters;
    for (int i = 0; i < 60; ++i) {
        auto& waiter = waiters.emplace_back(service);
        ASSERT_FALSE(waiter.wait.join(waiter.call, at(milliseconds(0))));
    }
    // Equal latencies: nothing queues over there, so the limit grows.
    int ended = 0;
    for (int ms = 10; ms < 1000 && service.policies.admission().waiting() > 0; ms += 10) {
        const Instant now = at(milliseconds(ms));
        for (Waiter& waiter : waiters) {
            if (!waiter.woken) continue;
            waiter.woken = false;
            if (waiter.wait.end(waiter.call, now)) continue;
            auto begun = service.policies.begin_attempt(waiter.call, now);
            service.held.push_back(std::move(std::get<HeldEndpoint>(begun)));
        }
        for (int i = 0; i < 2 && !service.held.empty(); ++i, ++ended) service.release(now);
    }
    EXPECT_EQ(service.policies.admission().waiting(), 0U);
    EXPECT_LT(ended, 60) << "more places came than were given back";
}

// Threads that hold places for no time at all and wait for them as the library's callers do. Lost
// wake-ups would end in timeouts, places given twice in more than the limit.
TEST(PlaceWait, ThreadsGetEveryPlaceAndNeverMoreThanThereAre) {
    constexpr int kThreads = 8;
    constexpr int kCalls = 2'000;
    constexpr std::uint32_t kLimit = 3;
    ServicePolicy policy = queueing(kLimit, 100);
    policy.limits.pending_timeout = std::chrono::minutes(1);
    policy.deadline = std::chrono::minutes(2);
    Service service(policy);
    std::atomic<std::uint32_t> inside{0};
    std::atomic<std::uint32_t> most{0};
    std::atomic<int> waits{0};
    std::atomic<int> refused{0};
    const Instant now = at(milliseconds(0));
    const auto work = [&] {
        for (int i = 0; i < kCalls; ++i) {
            CallState call(resilience::Deadline(at(seconds(120))));
            call.can_wait = true;
            for (;;) {
                auto begun = service.policies.begin_attempt(call, now);
                if (auto* attempt = std::get_if<HeldEndpoint>(&begun)) {
                    const std::uint32_t in = inside.fetch_add(1) + 1;
                    std::uint32_t seen = most.load();
                    while (in > seen && !most.compare_exchange_weak(seen, in)) {
                    }
                    std::this_thread::yield();
                    inside.fetch_sub(1);
                    service.policies.finish_attempt(std::move(*attempt), Outcome::success, now);
                    break;
                }
                std::mutex mutex;
                std::condition_variable changed;
                PlaceWait wait(service.policies.admission(), [&] {
                    const std::lock_guard lock(mutex);
                    changed.notify_one();
                });
                ++waits;
                if (wait.join(call, now)) {
                    ++refused;
                    break;
                }
                {
                    std::unique_lock lock(mutex);
                    changed.wait(lock, [&] { return wait.is_over(); });
                }
                if (wait.end(call, now)) {
                    ++refused;
                    break;
                }
            }
        }
    };
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) threads.emplace_back(work);
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(refused, 0);
    EXPECT_GT(waits, 0);
    EXPECT_EQ(service.policies.totals().in_flight, 0U);
    EXPECT_EQ(service.policies.totals().attempts, 1U * kThreads * kCalls);
    // Without waiting calls the limit is exact to half of the headroom of a moment ago.
    EXPECT_LE(most, kLimit + kThreads);
}

}  // namespace
}  // namespace datapunk::mesh::policy
