#include "health/check_schedule.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <vector>

namespace datapunk::mesh::health {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

std::uint64_t test_seed() {
    const char* given = std::getenv("SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : 20260108;
}

constexpr Duration kInterval = seconds(10);

TEST(CheckSchedule, FirstRunsSpreadOverTheInterval) {
    core::Rng rng(test_seed());
    SCOPED_TRACE(testing::Message() << "SEED=" << test_seed());
    std::array<int, 10> per_second{};
    for (int i = 0; i < 1000; ++i) {
        const CheckSchedule schedule(kInterval, Instant{}, rng);
        ASSERT_GE(schedule.next_at(), Instant{});
        ASSERT_LT(schedule.next_at(), Instant{} + kInterval);
        ++per_second[static_cast<std::size_t>((schedule.next_at() - Instant{}) / seconds(1))];
    }
    for (const int count : per_second) {
        EXPECT_GT(count, 50);
        EXPECT_LT(count, 200);
    }
}

TEST(CheckSchedule, IsNotDueEarlyAndRunsOnceWhenDue) {
    core::Rng rng(1);
    CheckSchedule schedule(kInterval, Instant{}, rng);
    const Instant due = schedule.next_at();
    EXPECT_FALSE(schedule.take_due(due - Duration(1), rng));
    EXPECT_EQ(schedule.next_at(), due);
    EXPECT_TRUE(schedule.take_due(due, rng));
    EXPECT_GT(schedule.next_at(), due);
    EXPECT_FALSE(schedule.take_due(due, rng));
}

TEST(CheckSchedule, NeverDriftsHoweverLateEachRunIs) {
    core::Rng rng(test_seed());
    SCOPED_TRACE(testing::Message() << "SEED=" << test_seed());
    CheckSchedule schedule(kInterval, Instant{}, rng);
    const Instant phase = schedule.next_at();
    bool early = false;
    bool late = false;
    for (int run = 0; run < 10'000; ++run) {
        const Instant due = schedule.next_at();
        const Duration off = due - (phase + kInterval * run);
        ASSERT_LE(off, kInterval / 10);
        ASSERT_GE(off, -kInterval / 10);
        early = early || off < -kInterval / 20;
        late = late || off > kInterval / 20;
        ASSERT_TRUE(schedule.take_due(due + milliseconds(rng.below(8000)), rng));
    }
    EXPECT_TRUE(early && late);
}

TEST(CheckSchedule, APausedProcessDoesNotWakeUpToAHerd) {
    core::Rng rng(test_seed());
    SCOPED_TRACE(testing::Message() << "SEED=" << test_seed());
    const Instant resumed = Instant{} + hours(3);
    std::array<int, 12> per_second{};
    for (int i = 0; i < 1000; ++i) {
        CheckSchedule schedule(kInterval, Instant{}, rng);
        ASSERT_FALSE(schedule.take_due(resumed, rng));
        const Duration wait = schedule.next_at() - resumed;
        ASSERT_GE(wait, -kInterval / 10);
        ASSERT_LE(wait, kInterval + kInterval / 10);
        ++per_second[static_cast<std::size_t>((wait + seconds(1)) / seconds(1))];
    }
    for (const int count : per_second) EXPECT_LT(count, 200);
}

TEST(CheckSchedule, ALateRunWithinTheIntervalIsMadeUpFor) {
    core::Rng rng(1);
    CheckSchedule late(kInterval, Instant{}, rng);
    EXPECT_TRUE(late.take_due(late.next_at() + kInterval - Duration(1), rng));
    CheckSchedule missed(kInterval, Instant{}, rng);
    EXPECT_FALSE(missed.take_due(missed.next_at() + kInterval, rng));
}

}  // namespace
}  // namespace datapunk::mesh::health
