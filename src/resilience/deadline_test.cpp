#include "resilience/deadline.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "core/rng.h"

namespace datapunk::mesh::resilience {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

std::uint64_t test_seed() {
    const char* given = std::getenv("SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : 20260105;
}

TEST(Deadline, ExpiresExactlyThenAndRemainingIsNeverNegative) {
    const Instant now = Instant{} + seconds(5);
    const Deadline deadline = Deadline::in(now, milliseconds(10));
    EXPECT_EQ(deadline.remaining(now), milliseconds(10));
    EXPECT_FALSE(deadline.expired(now + milliseconds(10) - Duration(1)));
    EXPECT_TRUE(deadline.expired(now + milliseconds(10)));
    EXPECT_EQ(deadline.remaining(now + seconds(1)), Duration::zero());
    EXPECT_TRUE(Deadline::in(now, -seconds(1)).expired(now));
}

TEST(Deadline, NoneNeverExpiresAndIsLaterThanAny) {
    const Instant now{};
    EXPECT_FALSE(Deadline().exists());
    EXPECT_FALSE(Deadline().expired(now + hours(1'000'000)));
    EXPECT_EQ(Deadline().remaining(now), Duration::max());
    EXPECT_EQ(Deadline::in(now + seconds(1), Duration::max()), Deadline());
    const Deadline soon = Deadline::in(now, seconds(1));
    EXPECT_EQ(earlier(Deadline(), soon), soon);
    EXPECT_EQ(earlier(soon, Deadline()), soon);
}

TEST(DeadlineHeader, ReadsAndWritesMilliseconds) {
    EXPECT_EQ(parse_deadline_ms("250").value(), milliseconds(250));
    EXPECT_EQ(parse_deadline_ms("0").value(), Duration::zero());
    EXPECT_EQ(parse_deadline_ms("999999999999999999").value(), kDeadlineMax);
    EXPECT_EQ(format_deadline_ms(milliseconds(250) + Duration(999'999)), "250");
    EXPECT_EQ(format_deadline_ms(-seconds(1)), "0");
    for (const std::string_view text : {"", "-1", "+1", "1 ", "1.5", "1s", "1000000000000000000"}) {
        EXPECT_FALSE(parse_deadline_ms(text)) << text;
    }
}

TEST(GrpcTimeout, ReadsEveryUnitAndRefusesTheRest) {
    EXPECT_EQ(parse_grpc_timeout("100m").value(), milliseconds(100));
    EXPECT_EQ(parse_grpc_timeout("3H").value(), hours(3));
    EXPECT_EQ(parse_grpc_timeout("2M").value(), seconds(120));
    EXPECT_EQ(parse_grpc_timeout("7S").value(), seconds(7));
    EXPECT_EQ(parse_grpc_timeout("9u").value(), Duration(9000));
    EXPECT_EQ(parse_grpc_timeout("99999999n").value(), Duration(99'999'999));
    EXPECT_EQ(parse_grpc_timeout("99999999H").value(), kDeadlineMax);
    for (const std::string_view text :
         {"", "m", "100", "100s", "100h", "-1m", "1 m", "100000000n", "1.5S", "mm"}) {
        EXPECT_FALSE(parse_grpc_timeout(text)) << text;
    }
}

TEST(GrpcTimeout, WritesTheFinestUnitThatFits) {
    EXPECT_EQ(format_grpc_timeout(Duration::zero()), "0n");
    EXPECT_EQ(format_grpc_timeout(Duration(99'999'999)), "99999999n");
    EXPECT_EQ(format_grpc_timeout(Duration(100'000'999)), "100000u");
    EXPECT_EQ(format_grpc_timeout(seconds(200)), "200000m");
    EXPECT_EQ(format_grpc_timeout(-seconds(1)), "0n");
    EXPECT_EQ(format_grpc_timeout(Duration::max()), "2073600S");
}

TEST(GrpcTimeout, WhatIsWrittenReadsBackNeverLongerAndNearlyTheSame) {
    const std::uint64_t seed = test_seed();
    SCOPED_TRACE(testing::Message() << "SEED=" << seed);
    core::Rng rng(seed);
    for (int i = 0; i < 10'000; ++i) {
        const Duration wait(static_cast<std::int64_t>(rng() >> (11 + rng.below(50))));
        const Duration bounded = std::min(wait, kDeadlineMax);
        const Duration back = parse_grpc_timeout(format_grpc_timeout(wait)).value();
        ASSERT_LE(back, bounded);
        ASSERT_LE(bounded - back, bounded / 100'000 + Duration(1));
    }
}

}  // namespace
}  // namespace datapunk::mesh::resilience
