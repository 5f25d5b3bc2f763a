#include "metrics/clock_watch.h"

#include <gtest/gtest.h>

#include <memory>

#include "metrics/names.h"

namespace datapunk::mesh::metrics {
namespace {

using namespace std::chrono_literals;

struct Lines final : core::LogSink {
    void write(const core::LogRecord& record) override {
        ++(record.level == core::Level::warn ? warnings : others);
    }

    int warnings = 0;
    int others = 0;
};

TEST(ClockWatch, NoticesThatTheWallClockWasSetAndNotThatTimePasses) {
    MetricRegistry registry;
    ClockWatch watch(registry);
    const auto lines = std::make_shared<Lines>();
    const core::Logger log(lines, core::Level::debug);
    Instant now{5h};
    WallTime wall{1'767'225'600s};
    const auto after = [&](Duration passed, Duration set) {
        now += passed;
        wall += passed + set;
        return watch.look(now, wall, log);
    };
    EXPECT_EQ(after(0s, 1h), 0s) << "the first look has nothing to compare with";
    EXPECT_EQ(after(1s, 0s), 0s);
    EXPECT_EQ(after(24h, 0s), 0s);
    EXPECT_EQ(after(1s, ClockWatch::kNoticed - 1ms), 0s);
    EXPECT_EQ(after(1s, -(ClockWatch::kNoticed - 1ms)), 0s);
    EXPECT_EQ(registry.snapshot().find(names::kWallClockJumps)->total(), 0);
    EXPECT_EQ(after(1s, ClockWatch::kNoticed), ClockWatch::kNoticed);
    EXPECT_EQ(after(1s, 0s), 0s) << "once";
    EXPECT_EQ(after(1s, -24h * 365), -24h * 365);
    EXPECT_EQ(registry.snapshot().find(names::kWallClockJumps)->total(), 2);
    EXPECT_EQ(lines->warnings, 2);
    EXPECT_EQ(lines->others, 0);
}

TEST(ClockWatch, SlewingIsNoJumpHoweverLongItTakes) {
    MetricRegistry registry;
    ClockWatch watch(registry);
    const core::Logger log;
    Instant now{1h};
    WallTime wall{1'767'225'600s};
    for (int second = 0; second < 100'000; ++second) {
        now += 1s;
        wall += 1s + 500us;
        ASSERT_EQ(watch.look(now, wall, log), 0s);
    }
}

}  // namespace
}  // namespace datapunk::mesh::metrics
