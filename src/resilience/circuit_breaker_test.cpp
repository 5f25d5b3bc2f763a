#include "resilience/circuit_breaker.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>
#include <optional>
#include <set>
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

BreakerTransition call(CircuitBreaker& breaker, bool ok, Instant now, bool slow = false) {
    BreakerTransition changed;
    const Permit permit = breaker.try_acquire(now, &changed);
    EXPECT_TRUE(permit);
    if (ok) {
        breaker.on_success(permit, now, &changed, slow);
    } else {
        breaker.on_failure(permit, now, &changed, slow);
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
    EXPECT_EQ(breaker.window().failures(), 4U);
    for (int i = 0; i < 10; ++i) call(breaker, true, now);
    EXPECT_EQ(breaker.window().failures(), 0U);
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
    breaker.force(BreakerForce::open, now, &changed);
    EXPECT_EQ(changed.reason, BreakerReason::forced);
    EXPECT_EQ(breaker.next_probe_at(), kNever);
    EXPECT_FALSE(breaker.try_acquire(now + minutes(600)));
    breaker.force(BreakerForce::closed, now, &changed);
    for (int i = 0; i < 100; ++i) call(breaker, false, now);
    EXPECT_EQ(breaker.state(now), BreakerState::closed);
    breaker.force(BreakerForce::none, now);
    EXPECT_EQ(breaker.forced(), BreakerForce::none);
    trip(breaker, now);
    EXPECT_EQ(breaker.next_probe_at(), now + seconds(30));
}

TEST(CircuitBreaker, IsForcedFromTheStartByItsConfigAlsoIfDisabled) {
    for (const bool enabled : {true, false}) {
        CircuitBreaker breaker({.enabled = enabled, .force = BreakerForce::open});
        EXPECT_EQ(breaker.state(Instant{}), BreakerState::open);
        EXPECT_FALSE(breaker.try_acquire(Instant{}));
        BreakerTransition changed;
        breaker.force(BreakerForce::none, Instant{}, &changed);
        EXPECT_EQ(changed.to, BreakerState::closed);
        EXPECT_TRUE(breaker.try_acquire(Instant{}));
        breaker.force(BreakerForce::none, Instant{}, &(changed = {}));
        EXPECT_FALSE(changed) << "nothing to release";
    }
}

TEST(CircuitBreaker, OpensAtACountOfFailuresWhateverTheirShare) {
    CircuitBreaker breaker({.failure_rate = 0, .failure_count = 3, .consecutive = 0});
    const Instant now{};
    for (int i = 0; i < 2; ++i) {
        EXPECT_FALSE(call(breaker, false, now));
        for (int j = 0; j < 30; ++j) EXPECT_FALSE(call(breaker, true, now));
    }
    const BreakerTransition changed = call(breaker, false, now);
    EXPECT_EQ(changed.reason, BreakerReason::failure_count);
    EXPECT_EQ(changed.failures, 3U);
    EXPECT_EQ(changed.calls, 63U);
}

TEST(CircuitBreaker, ByTimeFailuresThatAreOverNoLongerCount) {
    const CircuitBreakerConfig config{
        .window_time = seconds(10), .failure_rate = 0, .failure_count = 3, .consecutive = 0
    };
    for (const bool in_time : {true, false}) {
        CircuitBreaker breaker(config);
        Instant now{seconds(100)};
        for (int i = 0; i < 2; ++i) EXPECT_FALSE(call(breaker, false, now));
        now += in_time ? seconds(10) - Duration(1) : seconds(10);
        EXPECT_EQ(static_cast<bool>(call(breaker, false, now)), in_time);
    }
}

TEST(CircuitBreaker, OpensByTheShareOfSlowCallsAlsoIfTheySucceed) {
    CircuitBreaker breaker({.min_calls = 10, .slow_call = seconds(1), .slow_rate = 0.5});
    const Instant now{};
    for (int i = 0; i < 5; ++i) EXPECT_FALSE(call(breaker, true, now));
    for (int i = 0; i < 4; ++i) EXPECT_FALSE(call(breaker, true, now, true));
    const BreakerTransition changed = call(breaker, true, now, true);
    EXPECT_EQ(changed.reason, BreakerReason::slow_rate);
    EXPECT_EQ(changed.failures, 5U);
    EXPECT_EQ(changed.calls, 10U);
}

TEST(CircuitBreaker, ASlowProbeIsAFailedOne) {
    CircuitBreaker breaker({.slow_call = seconds(1)});
    Instant now{};
    trip(breaker, now);
    now = breaker.next_probe_at();
    const BreakerTransition changed = call(breaker, true, now, true);
    EXPECT_EQ(changed.reason, BreakerReason::probe_failed);
    EXPECT_EQ(breaker.next_probe_at(), now + seconds(60));
}

TEST(CircuitBreaker, RampsFromATenthToAllAndAdmitsThatShareOfTheCalls) {
    CircuitBreaker breaker({.ramp = seconds(100), .ramp_from = 0.1});
    Instant now{};
    trip(breaker, now);
    now = breaker.next_probe_at();
    for (int i = 0; i < 5; ++i) EXPECT_NE(call(breaker, true, now).to, BreakerState::open);
    ASSERT_TRUE(breaker.is_ramping(now));
    EXPECT_EQ(breaker.state(now), BreakerState::half_open);
    const Instant start = now;
    for (int tenth = 0; tenth < 10; ++tenth) {
        // A thousand calls within ten seconds: the share is that of the middle, on average.
        const double share = 0.1 + 0.9 * (tenth + 0.5) / 10;
        int admitted = 0;
        for (int i = 0; i < 1000; ++i) {
            now = start + seconds(10) * tenth + milliseconds(10) * i;
            const bool expected = breaker.admits(now);
            const Permit permit = breaker.try_acquire(now);
            ASSERT_EQ(permit.admitted, expected);
            if (!permit) continue;
            ++admitted;
            breaker.on_success(permit, now);
        }
        EXPECT_NEAR(admitted, 1000 * share, 2) << tenth;
    }
    EXPECT_TRUE(breaker.is_ramping(start + seconds(100) - Duration(1)));
    now = start + seconds(100);
    EXPECT_FALSE(breaker.is_ramping(now));
    EXPECT_EQ(breaker.state(now), BreakerState::closed);
    EXPECT_EQ(call(breaker, true, now).reason, BreakerReason::ramped);
}

TEST(CircuitBreaker, TheRulesOfTheClosedStateHoldWhileRamping) {
    CircuitBreaker breaker({.ramp = seconds(100), .ramp_from = 1});
    Instant now{};
    trip(breaker, now);
    now = breaker.next_probe_at();
    for (int i = 0; i < 5; ++i) call(breaker, true, now);
    ASSERT_TRUE(breaker.is_ramping(now));
    for (int i = 0; i < 4; ++i) EXPECT_FALSE(call(breaker, false, now)) << "one is no relapse";
    const BreakerTransition changed = call(breaker, false, now);
    EXPECT_EQ(changed.from, BreakerState::half_open);
    EXPECT_EQ(changed.reason, BreakerReason::consecutive);
    EXPECT_EQ(breaker.next_probe_at(), now + seconds(60)) << "it still is the same illness";
}

TEST(CircuitBreaker, WhatTheRampHasSeenStaysInTheWindow) {
    CircuitBreaker breaker({.consecutive = 5, .ramp = seconds(10), .ramp_from = 1});
    Instant now{};
    trip(breaker, now);
    now = breaker.next_probe_at();
    for (int i = 0; i < 5; ++i) call(breaker, true, now);
    const Permit begun_before = breaker.try_acquire(now);
    for (int i = 0; i < 3; ++i) call(breaker, false, now);
    now += seconds(10);
    EXPECT_EQ(call(breaker, false, now).reason, BreakerReason::ramped);
    BreakerTransition changed;
    breaker.on_failure(begun_before, now, &changed);
    EXPECT_EQ(changed.reason, BreakerReason::consecutive);
    EXPECT_EQ(changed.from, BreakerState::closed);
}

TEST(CircuitBreaker, WhatOthersFoundFailingIsProbedBeforeItIsTrusted) {
    CircuitBreaker breaker({.half_open_probes = 2});
    const Instant now{};
    BreakerTransition changed;
    breaker.distrust(now, &changed);
    EXPECT_EQ(changed.to, BreakerState::half_open);
    EXPECT_EQ(changed.reason, BreakerReason::told);
    const Permit first = breaker.try_acquire(now);
    const Permit second = breaker.try_acquire(now);
    ASSERT_TRUE(first && second);
    EXPECT_FALSE(breaker.try_acquire(now));
    breaker.distrust(now, &(changed = {}));
    EXPECT_FALSE(changed) << "the probes go on";
    breaker.on_success(first, now);
    breaker.on_success(second, now);
    EXPECT_EQ(breaker.state(now), BreakerState::closed);
    breaker.force(BreakerForce::closed, now);
    breaker.distrust(now);
    EXPECT_EQ(breaker.state(now), BreakerState::closed) << "an operator's word stands above";
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
        if (ramp_at) return now >= *ramp_at + c_.ramp || credit + share(now) >= 1;
        return !half || out < c_.half_open_probes;
    }

    // Also if it says no: asking counts while ramping.
    int acquire(Instant now) {
        if (ramp_at && now >= *ramp_at + c_.ramp) {
            closed_at = *ramp_at + c_.ramp;
            ramp_at.reset();
            half = false;
        }
        if (ramp_at) {
            credit += share(now);
            if (credit >= 1) credit -= 1;
            return era;
        }
        if (open && now >= until) change(false, true);
        if (half) ++out;
        return era;
    }

    void report(int permit, bool ok, bool slow, Instant now) {
        if (permit != era) return;
        if (half && !ramp_at) {
            --out;
            if (!ok || slow) return trip(now);
            if (++good == c_.half_open_probes) {
                const bool ramps = c_.ramp > Duration::zero();
                change(false, ramps);
                if (ramps) {
                    ramp_at = now;
                } else {
                    closed_at = now;
                }
            }
            return;
        }
        const std::int64_t width = c_.window_time.count() / OutcomeWindow::kSlices;
        const bool timed = width > 0;
        const std::int64_t slice = timed ? now.time_since_epoch().count() / width : 0;
        calls.push_back({ok, slow, slice});
        while (timed ? calls.front().slice <= slice - OutcomeWindow::kSlices
                     : calls.size() > c_.window_calls) {
            calls.pop_front();
        }
        row = ok ? 0 : row + 1;
        double bad = 0;
        double slows = 0;
        for (const Call& one : calls) {
            bad += one.ok ? 0 : 1;
            slows += one.slow ? 1 : 0;
        }
        const auto all = static_cast<double>(calls.size());
        const bool enough = calls.size() >= c_.min_calls;
        if (!ok && ((c_.consecutive > 0 && row >= c_.consecutive) ||
                    (c_.failure_count > 0 && bad >= c_.failure_count) ||
                    (c_.failure_rate > 0 && enough && bad / all >= c_.failure_rate))) {
            trip(now);
        } else if (slow && enough && slows / all >= c_.slow_rate) {
            trip(now);
        }
    }

    bool open = false;
    bool half = false;
    Instant until;
    std::optional<Instant> ramp_at;

  private:
    struct Call {
        bool ok;
        bool slow;
        std::int64_t slice;
    };

    double share(Instant now) const {
        const double passed =
            static_cast<double>((now - *ramp_at).count()) / static_cast<double>(c_.ramp.count());
        return c_.ramp_from + (1 - c_.ramp_from) * passed;
    }

    void change(bool to_open, bool to_half) {
        open = to_open;
        half = to_half;
        ++era;
        out = good = row = 0;
        credit = 0;
        ramp_at.reset();
        calls.clear();
    }

    void trip(Instant now) {
        if (ramp_at && now >= *ramp_at + c_.ramp) {
            closed_at = *ramp_at + c_.ramp;
            half = false;
        }
        if (!half && now - closed_at >= c_.open_max) trips = 0;
        Duration wait = c_.open_for;
        for (int i = 0; i < trips; ++i) wait = std::min(wait * 2, c_.open_max);
        ++trips;
        until = now + wait;
        change(true, false);
    }

    CircuitBreakerConfig c_;
    std::deque<Call> calls;
    int era = 0;
    int trips = 0;
    std::uint32_t out = 0;
    std::uint32_t good = 0;
    std::uint32_t row = 0;
    double credit = 0;
    Instant closed_at = Instant{} - std::chrono::hours(1);
};

CircuitBreakerConfig random_config(core::Rng& rng) {
    const auto below = [&](std::uint64_t n) { return static_cast<std::uint32_t>(rng.below(n)); };
    CircuitBreakerConfig config;
    config.window_calls = 1 + below(90);
    if (rng.chance(0.5)) config.window_time = milliseconds(1000 + below(5000));
    config.min_calls = 1 + below(config.window_calls);
    config.consecutive = rng.chance(0.2) ? 0 : 2 + below(8);
    config.failure_count = rng.chance(0.7) ? 0 : 1 + below(config.window_calls);
    config.failure_rate = rng.chance(0.2) ? 0 : 0.2 + 0.8 * rng.unit();
    config.slow_rate = 0.2 + 0.8 * rng.unit();
    config.half_open_probes = 1 + below(5);
    if (rng.chance(0.5)) config.ramp = milliseconds(1 + below(3000));
    config.ramp_from = 0.01 + 0.99 * rng.unit();
    return config;
}

TEST(CircuitBreaker, AgreesWithTheNaiveModelOnRandomSchedules) {
    const std::uint64_t seed = test_seed();
    SCOPED_TRACE(testing::Message() << "SEED=" << seed);
    core::Rng rng(seed);
    int trips = 0;
    int closings = 0;
    std::set<BreakerReason> reasons;
    for (int round = 0; round < 400; ++round) {
        const CircuitBreakerConfig config = random_config(rng);
        CircuitBreaker real(config);
        NaiveBreaker naive(config);
        std::vector<std::pair<Permit, int>> calls;
        Instant now{};
        const double slow_share = rng.chance(0.5) ? 0 : rng.unit() * 0.5;
        for (int step = 0; step < 1000; ++step) {
            // Every probe is answered well within open_for, so that none is lost.
            now += milliseconds(rng.below(20));
            if (rng.chance(0.01)) now = std::max(now, naive.until);
            BreakerTransition changed;
            if (rng.chance(0.5)) {
                const bool expected = naive.admits(now);
                const Permit permit = real.try_acquire(now, &changed);
                ASSERT_EQ(permit.admitted, expected) << "round " << round << " step " << step;
                const int ticket = expected || naive.ramp_at ? naive.acquire(now) : 0;
                if (permit) calls.emplace_back(permit, ticket);
            } else if (!calls.empty()) {
                const auto at = static_cast<std::ptrdiff_t>(rng.below(calls.size()));
                const auto [permit, ticket] = calls[static_cast<std::size_t>(at)];
                calls.erase(calls.begin() + at);
                const bool ok = rng.chance((round % 10) * 0.1);
                const bool slow = rng.chance(slow_share);
                ok ? real.on_success(permit, now, &changed, slow)
                   : real.on_failure(permit, now, &changed, slow);
                naive.report(ticket, ok, slow, now);
            }
            if (changed) reasons.insert(changed.reason);
            if (changed.to == BreakerState::open) ++trips;
            if (changed && changed.to == BreakerState::closed) ++closings;
            ASSERT_EQ(real.next_probe_at() != Instant::min(), naive.open)
                << "round " << round << " step " << step;
            if (naive.open) {
                ASSERT_EQ(real.next_probe_at(), naive.until);
            }
        }
    }
    EXPECT_GT(trips, 100);
    EXPECT_GT(closings, 20);
    EXPECT_EQ(reasons.size(), 8U) << "every rule has had its turn";
}

}  // namespace
}  // namespace datapunk::mesh::resilience
