#include "health/phi_accrual.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "core/rng.h"

namespace datapunk::mesh::health {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

std::uint64_t test_seed() {
    const char* given = std::getenv("SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : 20260101;
}

// `count` heartbeats a second apart, the last at the returned instant.
Instant beat(PhiAccrual& detector, int count, Duration apart = seconds(1)) {
    Instant now{};
    detector.heartbeat(now);
    for (int i = 0; i < count; ++i) detector.heartbeat(now += apart);
    return now;
}

TEST(PhiAccrual, TrapTheFirstIntervalIsNoDistribution) {
    PhiAccrual detector(Duration::zero(), milliseconds(100));
    EXPECT_EQ(detector.phi(Instant{} + hours(1)), 0) << "nothing has come yet";
    const Instant now = beat(detector, 4);
    EXPECT_EQ(detector.phi(now + hours(1)), 0);
    detector.heartbeat(now + seconds(1));
    EXPECT_GT(detector.phi(now + hours(1)), 8);
}

TEST(PhiAccrual, TrapPerfectRegularityDoesNotConvictAtTheFirstLateness) {
    PhiAccrual detector(Duration::zero(), milliseconds(100));
    const Instant now = beat(detector, 100);
    EXPECT_EQ(detector.deviation(), Duration::zero());
    EXPECT_NEAR(detector.phi(now + seconds(1)), std::log10(2.0), 1e-6) << "half of them are later";
    EXPECT_LT(detector.phi(now + milliseconds(1'200)), 3);
    EXPECT_GT(detector.phi(now + milliseconds(1'700)), 8);
}

TEST(PhiAccrual, TrapALongSilenceIsAFiniteNumberAndNeverFalls) {
    PhiAccrual detector(Duration::zero(), milliseconds(1));
    const Instant now = beat(detector, 10);
    double before = 0;
    for (Duration silence = milliseconds(1); silence < hours(24 * 365); silence = silence * 3 / 2) {
        const double phi = detector.phi(now + silence);
        ASSERT_TRUE(std::isfinite(phi)) << silence.count();
        ASSERT_GE(phi, before) << silence.count();
        before = phi;
    }
    EXPECT_GT(before, 1e6);
}

TEST(PhiAccrual, TrapTheGapOfAPauseIsNoSample) {
    PhiAccrual detector(Duration::zero(), milliseconds(100));
    Instant now = beat(detector, 20);
    now += hours(1);
    detector.rest(now);
    EXPECT_EQ(detector.phi(now), 0) << "nobody was asked";
    detector.heartbeat(now + seconds(1));
    EXPECT_EQ(detector.mean(), seconds(1)) << "neither the hour nor the rest after it";
    EXPECT_EQ(detector.samples(), 20U);
}

TEST(PhiAccrual, APauseThatIsAllowedRaisesNoSuspicion) {
    PhiAccrual strict(Duration::zero(), milliseconds(100));
    PhiAccrual patient(seconds(3), milliseconds(100));
    const Instant now = beat(strict, 20);
    beat(patient, 20);
    EXPECT_GT(strict.phi(now + seconds(3)), 8);
    EXPECT_LT(patient.phi(now + seconds(3)), 0.1);
    EXPECT_GT(patient.phi(now + milliseconds(4'700)), 8);
}

TEST(PhiAccrual, FollowsARhythmThatBecomesSlower) {
    PhiAccrual detector(Duration::zero(), milliseconds(100));
    Instant now = beat(detector, 100);
    for (std::size_t i = 0; i < PhiAccrual::kSamplesMax; ++i)
        detector.heartbeat(now += seconds(10));
    EXPECT_EQ(detector.mean(), seconds(10));
    EXPECT_LT(detector.phi(now + seconds(9)), 1);
}

// phi is what it says: of silences as long as those it was fed, about one in ten reaches 1, one in
// a hundred 2.
TEST(PhiAccrual, IsTheLogarithmOfBeingWrong) {
    const std::uint64_t seed = test_seed();
    SCOPED_TRACE(testing::Message() << "SEED=" << seed);
    core::Rng rng(seed);
    PhiAccrual detector(Duration::zero(), milliseconds(1));
    Instant now{};
    detector.heartbeat(now);
    int ones = 0;
    int twos = 0;
    constexpr int kBeats = 40'000;
    for (int i = 0; i < kBeats; ++i) {
        double sum = 0;
        for (int part = 0; part < 12; ++part) sum += rng.unit();  // normal, mean 6, deviation 1
        now +=
            std::chrono::duration_cast<Duration>(std::chrono::duration<double>(1 + 0.1 * (sum - 6))
            );
        const double phi = detector.phi(now);
        ones += phi >= 1 ? 1 : 0;
        twos += phi >= 2 ? 1 : 0;
        detector.heartbeat(now);
    }
    EXPECT_NEAR(static_cast<double>(ones) / kBeats, 0.1, 0.015);
    EXPECT_NEAR(static_cast<double>(twos) / kBeats, 0.01, 0.006);
}

}  // namespace
}  // namespace datapunk::mesh::health
