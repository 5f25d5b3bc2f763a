#include "resilience/circuit_breaker.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>
#include <vector>

#include "core/rng.h"

namespace datapunk::mesh::resilience {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

using Permit = CircuitBreaker::Permit;

std::uint64_t test_seed() {
    const char* given = std::getenv("SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : 20260101;
}

CircuitBreakerConfig only_rate() {
    return {.window_calls = 10, .min_calls = 4, .failure_rate = 0.5, .consecutive = 0};
}

BreakerTransition call(CircuitBreaker& breaker, bool ok, Instant now) {
    BreakerTransition changed;
    const Permit permit = breaker.try_acquire(now, &changed);
    EXPECT_TRUE(permit);
    if (ok) {
        breaker.on_success(permit, now, &changed);
    } else {
        breaker.on_failure(permit, now, &changed);
    }
    return changed;
}

// Opens a breaker of default config at `now`.
void trip(CircuitBreaker& breaker, Instant now) {
    for (int i = 0; i < 5; ++i) call(breaker, false, now);
    ASSERT_EQ(breaker.state(now), BreakerState::open);
}

TEST(CircuitBreaker, OpensAtFiveInARowAndNotAtFour) {
    CircuitBreaker breaker({});
    const Instant now{};
    for (int i = 0; i < 4; ++i) EXPECT_FALSE(call(breaker, false, now));
    EXPECT_FALSE(call(breaker, true, now));
    for (int i = 0; i < 4; ++i) EXPECT_FALSE(call(breaker, false, now));
    const BreakerTransition changed = call(breaker, false, now);
    EXPECT_EQ(changed.to, BreakerState::open);
    EXPECT_EQ(changed.reason, BreakerReason::consecutive);
    EXPECT_EQ(changed.failures, 5U);
    EXPECT_EQ(changed.next_probe_at, now + seconds(30));
    EXPECT_FALSE(breaker.try_acquire(now));
    EXPECT_FALSE(breaker.admits(now));
}

TEST(CircuitBreaker, OpensByRateOnlyWithEnoughCalls) {
    CircuitBreaker breaker(only_rate());
    const Instant now{};
    for (int i = 0; i < 3; ++i) EXPECT_FALSE(call(breaker, false, now)) << i;
    const BreakerTransition changed = call(breaker, false, now);
    EXPECT_EQ(changed.reason, BreakerReason::failure_rate);
    EXPECT_EQ(changed.failures, 4U);
    EXPECT_EQ(changed.calls, 4U);
}

TEST(CircuitBreaker, RateCountsOnlyTheLastWindow) {
    CircuitBreaker breaker(only_rate());
    const Instant now{};
    for (int i = 0; i < 10; ++i) call(breaker, true, now);
    for (int i = 0; i < 4; ++i) EXPECT_FALSE(call(breaker, false, now));
    EXPECT_EQ(breaker.window_failures(), 4U);
    for (int i = 0; i < 10; ++i) call(breaker, true, now);
    EXPECT_EQ(breaker.window_failures(), 0U);
    for (int i = 0; i < 4; ++i) EXPECT_FALSE(call(breaker, false, now));
    EXPECT_EQ(call(breaker, false, now).reason, BreakerReason::failure_rate);
}

TEST(CircuitBreaker, AdmitsProbesExactlyWhenOpenForIsOverAndClosesAfterFiveSuccesses) {
    CircuitBreaker breaker({});
    const Instant start{};
    trip(breaker, start);
    EXPECT_EQ(breaker.next_probe_at(), start + seconds(30));
    EXPECT_FALSE(breaker.try_acquire(start + seconds(30) - Duration(1)));
    const Instant now = start + seconds(30);
    EXPECT_EQ(breaker.state(now), BreakerState::half_open);
    BreakerTransition changed;
    std::vector<Permit> probes;
    for (int i = 0; i < 5; ++i) {
        probes.push_back(breaker.try_acquire(now, &changed));
        EXPECT_TRUE(probes.back());
    }
    EXPECT_EQ(changed.reason, BreakerReason::waited);
    EXPECT_FALSE(breaker.try_acquire(now));
    changed = {};
    for (int i = 0; i < 4; ++i) {
        breaker.on_success(probes[static_cast<std::size_t>(i)], now, &changed);
        EXPECT_FALSE(changed);
    }
    breaker.on_success(probes[4], now, &changed);
    EXPECT_EQ(changed.to, BreakerState::closed);
    EXPECT_EQ(breaker.state(now), BreakerState::closed);
    EXPECT_EQ(breaker.next_probe_at(), Instant::min());
}

TEST(CircuitBreaker, AFailedProbeReopensForTwiceAsLongUpToTheMax) {
    CircuitBreaker breaker({.open_for = seconds(30), .open_max = seconds(100)});
    Instant now{};
    trip(breaker, now);
    for (const int wait : {60, 100, 100}) {
        now = breaker.next_probe_at();
        const BreakerTransition changed = call(breaker, false, now);
        EXPECT_EQ(changed.reason, BreakerReason::probe_failed);
        EXPECT_EQ(breaker.next_probe_at(), now + seconds(wait));
    }
}

TEST(CircuitBreaker, ForgetsEarlierTripsAfterOpenMaxOfHealth) {
    for (const bool long_enough : {false, true}) {
        CircuitBreaker breaker({});
        Instant now{};
        trip(breaker, now);
        now = breaker.next_probe_at();
        for (int i = 0; i < 5; ++i) call(breaker, true, now);
        ASSERT_EQ(breaker.state(now), BreakerState::closed);
        now += minutes(5) - (long_enough ? Duration(0) : Duration(1));
        trip(breaker, now);
        EXPECT_EQ(breaker.next_probe_at(), now + seconds(long_enough ? 30 : 60));
    }
}

TEST(CircuitBreaker, LateResultsOfCallsBegunBeforeTheTripDoNotCount) {
    CircuitBreaker breaker({});
    Instant now{};
    const Permit old = breaker.try_acquire(now);
    trip(breaker, now);
    now = breaker.next_probe_at();
    const Permit probe = breaker.try_acquire(now);
    breaker.on_failure(old, now);
    EXPECT_EQ(breaker.state(now), BreakerState::half_open);
    for (int i = 0; i < 5; ++i) breaker.on_success(old, now);
    EXPECT_EQ(breaker.state(now), BreakerState::half_open);
    breaker.on_cancelled(old);
    breaker.on_failure(probe, now);
    EXPECT_EQ(breaker.state(now), BreakerState::open);
}

TEST(CircuitBreaker, ACancelledProbeGivesItsSlotBackAndCountsAsNothing) {
    CircuitBreaker breaker({.half_open_probes = 1});
    Instant now{};
    trip(breaker, now);
    now = breaker.next_probe_at();
    const Permit probe = breaker.try_acquire(now);
    ASSERT_TRUE(probe);
    EXPECT_FALSE(breaker.try_acquire(now));
    breaker.on_cancelled(probe);
    EXPECT_EQ(breaker.state(now), BreakerState::half_open);
    EXPECT_TRUE(breaker.try_acquire(now));
}

TEST(CircuitBreaker, LostProbesDoNotWedgeItForEver) {
    CircuitBreaker breaker({.half_open_probes = 2});
    Instant now{};
    trip(breaker, now);
    now = breaker.next_probe_at();
    const Permit lost = breaker.try_acquire(now);
    ASSERT_TRUE(breaker.try_acquire(now + seconds(1)));
    const Instant expiry = now + seconds(31);
    EXPECT_FALSE(breaker.try_acquire(expiry - Duration(1)));
    const Permit fresh = breaker.try_acquire(expiry);
    ASSERT_TRUE(fresh);
    breaker.on_failure(lost, expiry);
    EXPECT_EQ(breaker.state(expiry), BreakerState::half_open);
    breaker.on_success(fresh, expiry);
    call(breaker, true, expiry);
    EXPECT_EQ(breaker.state(expiry), BreakerState::closed);
}

TEST(CircuitBreaker, ForcedStatesIgnoreResultsUntilReleased) {
    CircuitBreaker breaker({});
    Instant now{};
    BreakerTransition changed;
    breaker.force_open(now, &changed);
    EXPECT_EQ(changed.reason, BreakerReason::forced);
    EXPECT_EQ(breaker.next_probe_at(), kNever);
    EXPECT_FALSE(breaker.try_acquire(now + minutes(600)));
    breaker.force_closed(now, &changed);
    for (int i = 0; i < 100; ++i) call(breaker, false, now);
    EXPECT_EQ(breaker.state(now), BreakerState::closed);
    breaker.release(now);
    EXPECT_FALSE(breaker.is_forced());
    trip(breaker, now);
    EXPECT_EQ(breaker.next_probe_at(), now + seconds(30));
}

TEST(CircuitBreaker, DisabledAlwaysAdmits) {
    CircuitBreaker breaker({.enabled = false});
    for (int i = 0; i < 1000; ++i) EXPECT_FALSE(call(breaker, false, Instant{}));
    EXPECT_EQ(breaker.state(Instant{}), BreakerState::closed);
}

// The same rules written the slow, obvious way.
class NaiveBreaker {
  public:
    explicit NaiveBreaker(const CircuitBreakerConfig& config) : c_(config) {}

    bool admits(Instant now) const {
        if (open) return now >= until;
        return !half || out < c_.half_open_probes;
    }

    int acquire(Instant now) {
        if (open && now >= until) change(false, true);
        if (half) ++out;
        return era;
    }

    void report(int permit, bool ok, Instant now) {
        if (permit != era) return;
        if (half) {
            --out;
            if (!ok) return trip(now);
            if (++good == c_.half_open_probes) {
                change(false, false);
                closed_at = now;
            }
            return;
        }
        calls.push_back(ok);
        if (calls.size() > c_.window_calls) calls.pop_front();
        std::size_t bad = 0;
        std::size_t row = 0;
        for (const bool one : calls) bad += one ? 0 : 1;
        for (auto it = calls.rbegin(); it != calls.rend() && !*it; ++it) ++row;
        const double rate = static_cast<double>(bad) / static_cast<double>(calls.size());
        if (ok) return;
        if (row >= c_.consecutive || (calls.size() >= c_.min_calls && rate >= c_.failure_rate)) {
            trip(now);
        }
    }

    bool open = false;
    bool half = false;
    Instant until;

  private:
    void change(bool to_open, bool to_half) {
        open = to_open;
        half = to_half;
        ++era;
        out = good = 0;
        calls.clear();
    }

    void trip(Instant now) {
        if (!half && now - closed_at >= c_.open_max) trips = 0;
        Duration wait = c_.open_for;
        for (int i = 0; i < trips; ++i) wait = std::min(wait * 2, c_.open_max);
        ++trips;
        until = now + wait;
        change(true, false);
    }

    CircuitBreakerConfig c_;
    std::deque<bool> calls;
    int era = 0;
    int trips = 0;
    std::uint32_t out = 0;
    std::uint32_t good = 0;
    Instant closed_at = Instant{} - std::chrono::hours(1);
};

TEST(CircuitBreaker, AgreesWithTheNaiveModelOnRandomSchedules) {
    const std::uint64_t seed = test_seed();
    SCOPED_TRACE(testing::Message() << "SEED=" << seed);
    core::Rng rng(seed);
    int trips = 0;
    int closings = 0;
    for (int round = 0; round < 200; ++round) {
        CircuitBreakerConfig config;
        config.window_calls = 1 + static_cast<std::uint32_t>(rng.below(90));
        config.min_calls = 1 + static_cast<std::uint32_t>(rng.below(config.window_calls));
        config.consecutive = 2 + static_cast<std::uint32_t>(rng.below(8));
        config.failure_rate = 0.2 + 0.8 * rng.unit();
        config.half_open_probes = 1 + static_cast<std::uint32_t>(rng.below(5));
        CircuitBreaker real(config);
        NaiveBreaker naive(config);
        std::vector<std::pair<Permit, int>> calls;
        Instant now{};
        for (int step = 0; step < 1000; ++step) {
            // Every probe is answered well within open_for, so that none is lost.
            now += milliseconds(rng.below(20));
            if (rng.chance(0.01)) now = std::max(now, naive.until);
            if (rng.chance(0.5)) {
                BreakerTransition changed;
                const bool expected = naive.admits(now);
                const Permit permit = real.try_acquire(now, &changed);
                ASSERT_EQ(permit.admitted, expected) << "round " << round << " step " << step;
                if (permit) calls.emplace_back(permit, naive.acquire(now));
            } else if (!calls.empty()) {
                const auto at = static_cast<std::ptrdiff_t>(rng.below(calls.size()));
                const auto [permit, ticket] = calls[static_cast<std::size_t>(at)];
                calls.erase(calls.begin() + at);
                const bool ok = rng.chance((round % 10) * 0.1);
                BreakerTransition changed;
                ok ? real.on_success(permit, now, &changed)
                   : real.on_failure(permit, now, &changed);
                naive.report(ticket, ok, now);
                if (changed.to == BreakerState::open) ++trips;
                if (changed && changed.to == BreakerState::closed) ++closings;
            }
            ASSERT_EQ(real.next_probe_at() != Instant::min(), naive.open);
            if (naive.open) {
                ASSERT_EQ(real.next_probe_at(), naive.until);
            }
        }
    }
    EXPECT_GT(trips, 100);
    EXPECT_GT(closings, 20);
}

}  // namespace
}  // namespace datapunk::mesh::resilience
