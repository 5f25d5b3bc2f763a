#include "resilience/sliding_window.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <deque>
#include <thread>
#include <vector>

#include "core/rng.h"

namespace datapunk::mesh::resilience {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

std::uint64_t test_seed() {
    const char* given = std::getenv("SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : 20260106;
}

constexpr Instant kStart = Instant{} + hours(5);

TEST(SlidingWindow, AdmitsSoManyAndNoMoreUntilTheyHaveLeftTheWindow) {
    SlidingWindow window(3, milliseconds(160));
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(window.try_acquire(kStart));
    EXPECT_FALSE(window.try_acquire(kStart));
    EXPECT_FALSE(window.try_acquire(kStart + milliseconds(160)));
    const Duration wait = window.retry_in(kStart);
    EXPECT_EQ(wait, milliseconds(170)) << "the window and the slice in which they began";
    EXPECT_FALSE(window.try_acquire(kStart + wait - Duration(1)));
    EXPECT_TRUE(window.try_acquire(kStart + wait));
    EXPECT_FALSE(window.is_empty(kStart + wait));
    EXPECT_TRUE(window.is_empty(kStart + hours(1)));
}

// A fixed window lets the whole of the next one through as soon as it begins.
TEST(SlidingWindow, TrapTwiceTheRateAroundTheEndOfAFixedWindow) {
    SlidingWindow window(100, seconds(1));
    const Instant end_of_a_second = Instant{} + seconds(1000) - milliseconds(1);
    int admitted = 0;
    for (int i = 0; i < 500; ++i) {
        admitted += window.try_acquire(end_of_a_second + microseconds(10 * i)) ? 1 : 0;
    }
    EXPECT_EQ(admitted, 100);
}

TEST(SlidingWindow, RetryInIsWhenOneIsLetThroughAndNotBefore) {
    const std::uint64_t seed = test_seed();
    SCOPED_TRACE(testing::Message() << "SEED=" << seed);
    core::Rng rng(seed);
    for (int round = 0; round < 200; ++round) {
        const auto calls = static_cast<std::uint32_t>(1 + rng.below(20));
        SlidingWindow window(calls, milliseconds(10 + rng.below(3000)));
        Instant now = kStart + milliseconds(rng.below(10'000));
        for (int i = 0; i < 60; ++i) {
            static_cast<void>(window.try_acquire(now));
            now += microseconds(rng.below(400'000));
        }
        const Duration wait = window.retry_in(now);
        if (wait > Duration::zero()) {
            ASSERT_FALSE(window.try_acquire(now + wait - Duration(1)));
        }
        ASSERT_TRUE(window.try_acquire(now + wait));
    }
}

// Against a list of every call that began: never too many in any interval, and never refused if a
// window longer by two slices would have had room.
TEST(SlidingWindow, KeepsItsPromiseInEveryIntervalAndRefusesLittleElse) {
    const std::uint64_t seed = test_seed();
    SCOPED_TRACE(testing::Message() << "SEED=" << seed);
    core::Rng rng(seed);
    for (int round = 0; round < 60; ++round) {
        const auto calls = static_cast<std::uint32_t>(1 + rng.below(50));
        const Duration per = milliseconds(10 + rng.below(2000));
        SlidingWindow window(calls, per);
        std::deque<Instant> begun;
        Instant now = kStart;
        const auto gap = static_cast<std::uint64_t>(per.count()) * 2 / calls;
        for (int i = 0; i < 2000; ++i) {
            now +=
                Duration(static_cast<std::int64_t>(rng.below(rng.chance(0.02) ? gap * 20 : gap)));
            while (!begun.empty() && now - begun.front() >= per + per / 8) begun.pop_front();
            if (window.try_acquire(now)) {
                begun.push_back(now);
                if (begun.size() > calls) {
                    ASSERT_GE(now - begun[begun.size() - 1 - calls], per);
                }
            } else {
                ASSERT_GE(begun.size(), calls);
            }
        }
    }
}

TEST(SlidingWindow, UnderALoadThatNeverLetsUpSixteenSeventeenthsBegin) {
    SlidingWindow window(100, seconds(1));
    int admitted = 0;
    Instant now = kStart;
    for (int i = 0; i < 100'000; ++i, now += microseconds(1000)) {
        admitted += window.try_acquire(now) ? 1 : 0;
    }
    EXPECT_LE(admitted, 100 * 101);
    EXPECT_GE(admitted, 100 * 100 * 16 / 17);
}

TEST(SlidingWindow, HoldsWhateverThreadsDo) {
    for (int round = 0; round < 20; ++round) {
        SlidingWindow window(1000, seconds(1));
        std::atomic<int> admitted{0};
        {
            std::vector<std::jthread> threads;
            for (int t = 0; t < 4; ++t) {
                threads.emplace_back([&window, &admitted, t] {
                    for (int i = 0; i < 2000; ++i) {
                        // Threads at different slices of one window.
                        const Instant now = kStart + milliseconds((i + t * 100) % 900);
                        if (window.try_acquire(now)) admitted.fetch_add(1);
                    }
                });
            }
        }
        ASSERT_LE(admitted.load(), 1000);
        ASSERT_GE(admitted.load(), 990) << "two at once may both be refused, no more";
    }
}

}  // namespace
}  // namespace datapunk::mesh::resilience
