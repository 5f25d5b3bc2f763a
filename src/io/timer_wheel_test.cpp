#include "io/timer_wheel.h"

#include <gmock/gmock.h>

#include <map>
#include <memory>
#include <set>
#include <vector>

#include "core/rng.h"
#include "sim/run.h"

namespace datapunk::mesh::io {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

const Instant kStart{std::chrono::hours(5) + 123ns};

struct Probe : Timer {
    Probe(int number, std::vector<int>& into)
        : Timer([](Timer& timer) {
              auto& self = static_cast<Probe&>(timer);
              self.fired.push_back(self.id);
          }),
          id(number),
          fired(into) {}

    int id;
    std::vector<int>& fired;
};

class TimerWheelTest : public ::testing::Test {
  protected:
    std::vector<int> fired;
    TimerWheel wheel{kStart};
};

TEST_F(TimerWheelTest, FiresAtItsTickNeitherEarlyNorAWholeTickLate) {
    Probe probe(1, fired);
    wheel.arm(probe, kStart + 5ms);
    wheel.advance(kStart + 5ms - 1ns);
    EXPECT_THAT(fired, IsEmpty());
    wheel.advance(kStart + 5ms);
    EXPECT_THAT(fired, ElementsAre(1));
    EXPECT_FALSE(probe.is_armed());

    wheel.arm(probe, kStart + 6ms + 1ns);  // between ticks: rounded up
    wheel.advance(kStart + 7ms - 1ns);
    EXPECT_THAT(fired, ElementsAre(1));
    wheel.advance(kStart + 7ms);
    EXPECT_THAT(fired, ElementsAre(1, 1));
}

TEST_F(TimerWheelTest, CancelledDestroyedAndNeverTimersDoNotFire) {
    Probe cancelled(1, fired);
    auto destroyed = std::make_unique<Probe>(2, fired);
    Probe never(3, fired);
    wheel.arm(cancelled, kStart + 1ms);
    wheel.arm(*destroyed, kStart + 1ms);
    wheel.arm(never, kStart + 1ms);
    wheel.arm(never, kNever);
    cancelled.cancel();
    destroyed.reset();
    EXPECT_EQ(wheel.next(), kNever);
    wheel.advance(kStart + 24h);
    EXPECT_THAT(fired, IsEmpty());
}

TEST_F(TimerWheelTest, APastDeadlineFiresAtTheNextTick) {
    wheel.advance(kStart + 100ms);
    Probe probe(1, fired);
    wheel.arm(probe, kStart);
    EXPECT_LE(wheel.next(), kStart + 101ms);
    wheel.advance(kStart + 101ms);
    EXPECT_THAT(fired, ElementsAre(1));
}

TEST_F(TimerWheelTest, SurvivesDeadlinesAtTheEndOfTime) {
    Probe probe(1, fired);
    wheel.arm(probe, kNever - 1ns);
    EXPECT_NE(wheel.next(), kNever);
    wheel.advance(kStart + std::chrono::hours(24 * 400));
    EXPECT_THAT(fired, IsEmpty());
    EXPECT_TRUE(probe.is_armed());
}

TEST_F(TimerWheelTest, FiringMayRearmAndDestroyOthers) {
    struct Chain : Timer {
        Chain(TimerWheel& w, std::unique_ptr<Probe>& v)
            : Timer([](Timer& timer) {
                  auto& self = static_cast<Chain&>(timer);
                  self.victim.reset();
                  ++self.runs;
                  self.wheel.arm(self, self.due() + 1ms);
              }),
              wheel(w),
              victim(v) {}

        TimerWheel& wheel;
        std::unique_ptr<Probe>& victim;
        int runs = 0;
    };

    auto victim = std::make_unique<Probe>(1, fired);
    Chain chain(wheel, victim);
    wheel.arm(chain, kStart + 2ms);
    wheel.arm(*victim, kStart + 2ms);
    wheel.advance(kStart + 11ms);
    EXPECT_EQ(chain.runs, 10);
    EXPECT_THAT(fired, IsEmpty());
}

// The cascade boundaries of every level, one tick to either side.
TEST_F(TimerWheelTest, EveryBoundaryFiresOnTime) {
    for (const std::uint64_t boundary :
         {256ULL, 65'536ULL, 16'777'216ULL, 4'294'967'296ULL, 2 * 4'294'967'296ULL}) {
        for (const std::uint64_t tick : {boundary - 1, boundary, boundary + 1}) {
            TimerWheel fresh(kStart);
            fired.clear();
            Probe probe(1, fired);
            const Instant due = kStart + 1ms * static_cast<std::int64_t>(tick);
            fresh.arm(probe, due);
            fresh.advance(due - 1ns);
            ASSERT_THAT(fired, IsEmpty()) << tick;
            ASSERT_LE(fresh.next(), due) << tick;
            fresh.advance(due);
            ASSERT_THAT(fired, ElementsAre(1)) << tick;
        }
    }
}

TEST_F(TimerWheelTest, AgreesWithASortedMultimapUnderRandomUse) {
    const std::uint64_t seed = sim::seed_for_test(20'261'121);
    SCOPED_TRACE(sim::seed_hint(seed));
    core::Rng rng(seed);
    constexpr int kTimers = 200;
    std::vector<std::unique_ptr<Probe>> probes;
    for (int i = 0; i < kTimers; ++i) probes.push_back(std::make_unique<Probe>(i, fired));
    std::multimap<std::uint64_t, int> model;  // tick -> timer
    std::uint64_t tick = 0;
    const auto forget = [&](int id) {
        std::erase_if(model, [&](const auto& entry) { return entry.second == id; });
    };
    const auto random_span = [&](unsigned bits_max) {  // microseconds, evenly over magnitudes
        return static_cast<std::int64_t>(rng() >> (64U - bits_max + rng.below(bits_max)));
    };
    for (int step = 0; step < 60'000; ++step) {
        const int id = static_cast<int>(rng.below(kTimers));
        Probe& probe = *probes[static_cast<std::size_t>(id)];
        const std::uint64_t what = rng.below(10);
        if (what < 6) {
            const std::int64_t span_us = random_span(44);  // up to 203 days
            const Instant due = kStart + 1ms * static_cast<std::int64_t>(tick) + 1us * span_us;
            wheel.arm(probe, due);
            forget(id);
            const auto due_tick = tick + static_cast<std::uint64_t>((span_us + 999) / 1000);
            model.emplace(std::max(due_tick, tick + 1), id);
        } else if (what < 7) {
            probe.cancel();
            forget(id);
        } else {
            tick += static_cast<std::uint64_t>(random_span(41)) / 1000 + rng.below(2);
            fired.clear();
            wheel.advance(kStart + 1ms * static_cast<std::int64_t>(tick) + 1ns * rng.below(1'000));
            const auto end = model.upper_bound(tick);
            std::vector<std::uint64_t> expected_ticks;
            std::multiset<int> expected;
            std::map<int, std::uint64_t> when;
            for (auto at = model.begin(); at != end; ++at) {
                expected.insert(at->second);
                when[at->second] = at->first;
            }
            ASSERT_EQ(std::multiset<int>(fired.begin(), fired.end()), expected) << step;
            for (std::size_t i = 1; i < fired.size(); ++i)
                ASSERT_LE(when[fired[i - 1]], when[fired[i]]) << "out of order at step " << step;
            model.erase(model.begin(), end);
        }
        if (model.empty()) {
            ASSERT_EQ(wheel.next(), kNever) << step;
        } else {
            const auto soonest = 1ms * static_cast<std::int64_t>(model.begin()->first);
            ASSERT_LE(wheel.next(), kStart + soonest) << step;
            ASSERT_GT(wheel.next(), kStart + 1ms * static_cast<std::int64_t>(tick)) << step;
        }
    }
}

}  // namespace
}  // namespace datapunk::mesh::io
