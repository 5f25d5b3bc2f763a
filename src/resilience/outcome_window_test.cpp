#include "resilience/outcome_window.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>

#include "core/rng.h"

namespace datapunk::mesh::resilience {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::uint64_t test_seed() {
    const char* given = std::getenv("SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : 20260101;
}

CircuitBreakerConfig by_time(Duration time) {
    return {.window_time = time};
}

TEST(OutcomeWindow, ByTimeForgetsAfterTheWindowAndNotBeforeNineTenthsOfIt) {
    OutcomeWindow window(by_time(seconds(10)));
    const Instant start{seconds(100)};
    window.add(true, false, start);
    window.add(false, true, start + seconds(1));
    window.advance(start + seconds(10) - Duration(1));
    EXPECT_EQ(window.failures(), 1U);
    window.advance(start + seconds(10));
    EXPECT_EQ(window.failures(), 0U);
    EXPECT_EQ(window.slow(), 1U);
    EXPECT_EQ(window.calls(), 1U);
    window.advance(start + seconds(11));
    EXPECT_EQ(window.calls(), 0U);
}

TEST(OutcomeWindow, ByTimeALateResultGoesWhereItBelongsOrNowhere) {
    OutcomeWindow window(by_time(seconds(10)));
    const Instant now{seconds(100)};
    window.add(false, false, now);
    window.add(true, false, now - seconds(9));
    window.add(true, false, now - seconds(10));  // over
    EXPECT_EQ(window.calls(), 2U);
    EXPECT_EQ(window.failures(), 1U);
    window.advance(now + seconds(1));
    EXPECT_EQ(window.failures(), 0U);
}

TEST(OutcomeWindow, AClockThatStandsOrStartsBelowZeroIsNothingSpecial) {
    OutcomeWindow window(by_time(seconds(1)));
    for (int i = 0; i < 5; ++i) window.add(true, true, Instant(seconds(-50)));
    EXPECT_EQ(window.calls(), 5U);
    window.add(false, false, Instant(milliseconds(-49'001)));
    EXPECT_EQ(window.calls(), 6U);
    window.advance(Instant(milliseconds(-49'000)));
    EXPECT_EQ(window.calls(), 1U);
}

// Whatever came before and comes after, and wherever the ring's words end.
TEST(OutcomeWindow, ManySuccessesAtOnceAreAsManyOneByOne) {
    const std::uint64_t seed = test_seed();
    SCOPED_TRACE(testing::Message() << "SEED=" << seed);
    core::Rng rng(seed);
    for (int round = 0; round < 300; ++round) {
        SCOPED_TRACE(round);
        CircuitBreakerConfig config;
        config.window_calls = 1 + static_cast<std::uint32_t>(rng.below(130));
        if (rng.chance(0.4)) config.window_time = milliseconds(1000 + rng.below(9000));
        OutcomeWindow single(config);
        OutcomeWindow many(config);
        std::int64_t now = 10'000'000'000;
        for (int step = 0; step < 200; ++step) {
            now += static_cast<std::int64_t>(rng.below(rng.chance(0.1) ? 4'000'000'000 : 1'000));
            const auto late = rng.chance(0.1) ? rng.below(10'000'000'000) : 0;
            const Instant at{Duration(now - static_cast<std::int64_t>(late))};
            if (rng.chance(0.5)) {
                const auto calls =
                    static_cast<std::uint32_t>(rng.below(rng.chance(0.2) ? 300 : 20));
                for (std::uint32_t i = 0; i < calls; ++i) single.add(false, false, at);
                many.add_successes(calls, at);
            } else if (rng.chance(0.02)) {
                single.clear();
                many.clear();
            } else {
                const bool failed = rng.chance(0.5);
                const bool slow = rng.chance(0.5);
                single.add(failed, slow, at);
                many.add(failed, slow, at);
            }
            ASSERT_EQ(single.calls(), many.calls()) << step;
            ASSERT_EQ(single.failures(), many.failures()) << step;
            ASSERT_EQ(single.slow(), many.slow()) << step;
        }
    }
}

// Both kinds against a list of everything that was said.
TEST(OutcomeWindow, CountsWhatANaiveListCounts) {
    const std::uint64_t seed = test_seed();
    SCOPED_TRACE(testing::Message() << "SEED=" << seed);
    core::Rng rng(seed);
    struct Said {
        bool failed;
        bool slow;
        std::int64_t slice;
    };
    for (int round = 0; round < 200; ++round) {
        SCOPED_TRACE(round);
        const bool timed = rng.chance(0.5);
        CircuitBreakerConfig config;
        config.window_calls = 1 + static_cast<std::uint32_t>(rng.below(130));
        if (timed) config.window_time = milliseconds(1000 + rng.below(9000));
        const std::int64_t width = config.window_time.count() / OutcomeWindow::kSlices;
        OutcomeWindow window(config);
        std::deque<Said> list;
        std::int64_t now = 10'000'000'000 + static_cast<std::int64_t>(rng.below(1'000'000'000));
        for (int step = 0; step < 2000; ++step) {
            now +=
                static_cast<std::int64_t>(rng.below(rng.chance(0.02) ? 9'000'000'000 : 50'000'000));
            const bool failed = rng.chance(0.3);
            const bool slow = rng.chance(0.2);
            const std::int64_t at =
                now - static_cast<std::int64_t>(rng.chance(0.1) ? rng.below(2'000'000'000) : 0);
            window.advance(Instant(Duration(now)));
            window.add(failed, slow, Instant(Duration(at)));
            list.push_back({failed, slow, timed ? at / width : 0});
            if (!timed && list.size() > config.window_calls) list.pop_front();
            std::uint32_t calls = 0;
            std::uint32_t failures = 0;
            std::uint32_t slows = 0;
            for (const Said& one : list) {
                if (timed && one.slice <= now / width - OutcomeWindow::kSlices) continue;
                ++calls;
                failures += one.failed ? 1 : 0;
                slows += one.slow ? 1 : 0;
            }
            ASSERT_EQ(window.calls(), calls) << step;
            ASSERT_EQ(window.failures(), failures) << step;
            ASSERT_EQ(window.slow(), slows) << step;
        }
    }
}

}  // namespace
}  // namespace datapunk::mesh::resilience
