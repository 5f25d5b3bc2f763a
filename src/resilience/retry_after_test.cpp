#include "resilience/retry_after.h"

#include <gtest/gtest.h>

#include <string>

namespace datapunk::mesh::resilience {
namespace {

using std::chrono::seconds;

// 1994-11-06T08:49:37Z
const WallTime kExample{seconds(784111777)};

TEST(HttpDate, ReadsAllThreeFormats) {
    EXPECT_EQ(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT", kExample), kExample);
    EXPECT_EQ(parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT", kExample), kExample);
    EXPECT_EQ(parse_http_date("Sun Nov  6 08:49:37 1994", kExample), kExample);
    EXPECT_EQ(
        parse_http_date("Wed Nov 16 08:49:37 1994", kExample), kExample + std::chrono::days(10)
    );
}

TEST(HttpDate, TwoDigitYearsAreTheNearestOnes) {
    const WallTime in_2026 =
        WallTime{std::chrono::sys_days(std::chrono::year(2026) / std::chrono::November / 21)};
    const auto year_of = [&](std::string_view two) {
        const std::string text = "Monday, 01-Jun-" + std::string(two) + " 00:00:00 GMT";
        const auto date = parse_http_date(text, in_2026);
        if (!date) return 0;
        return static_cast<int>(
            std::chrono::year_month_day(std::chrono::floor<std::chrono::days>(*date)).year()
        );
    };
    EXPECT_EQ(year_of("26"), 2026);
    EXPECT_EQ(year_of("76"), 2076);
    EXPECT_EQ(year_of("77"), 1977);
    EXPECT_EQ(year_of("94"), 1994);
}

TEST(HttpDate, RefusesWhatIsNotOne) {
    for (const std::string_view text :
         {"",
          "Sun",
          "Sun, 06 Nov 1994 08:49:37",
          "Sun, 06 Nov 1994 08:49:37 GMT ",
          "Sun, 06 Nov 1994 08:49:37 UTC",
          "Sun, 6 Nov 1994 08:49:37 GMT",
          "Sun, 31 Feb 1994 08:49:37 GMT",
          "Sun, 06 Nov 1994 24:49:37 GMT",
          "Sun, 06 Nov 1994 08:60:37 GMT",
          "Sun, 06 Nov 1994 08:49:61 GMT",
          "Sun, 06 Nov 9999 08:49:37 GMT",
          "Sun, 00 Nov 1994 08:49:37 GMT",
          "Fun, 06 Nov 1994 08:49:37 GMT",
          "Sun, 06-Nov-94 08:49:37 GMT",
          "Sun Nov 6 08:49:37 1994"}) {
        EXPECT_FALSE(parse_http_date(text, kExample)) << text;
    }
}

TEST(RetryAfter, ReadsSecondsAndDates) {
    EXPECT_EQ(parse_retry_after("0", kExample), Duration::zero());
    EXPECT_EQ(parse_retry_after(" 120 ", kExample), seconds(120));
    EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:49:47 GMT", kExample), seconds(10));
    EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:49:27 GMT", kExample), Duration::zero());
}

TEST(RetryAfter, IsCappedAndRefusesTheRest) {
    EXPECT_EQ(parse_retry_after("86400", kExample), kRetryAfterMax);
    EXPECT_EQ(parse_retry_after("86401", kExample), kRetryAfterMax);
    EXPECT_EQ(parse_retry_after("99999999999999999999999", kExample), kRetryAfterMax);
    EXPECT_EQ(parse_retry_after("Sun, 06 Nov 2094 08:49:47 GMT", kExample), kRetryAfterMax);
    for (const std::string_view text : {"", " ", "-1", "+1", "1.5", "1s", "soon"}) {
        EXPECT_FALSE(parse_retry_after(text, kExample)) << text;
    }
}

}  // namespace
}  // namespace datapunk::mesh::resilience
