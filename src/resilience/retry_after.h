#pragma once

// Retry-After and the three date formats of HTTP. Pure; no locale.
// Source: RFC 9110 sections 10.2.3 and 5.6.7.

#include <datapunk/mesh/time.h>

#include <optional>
#include <string_view>

namespace datapunk::mesh::resilience {

// Longer demands are read as this long: no caller here waits a day, and sums cannot overflow.
inline constexpr Duration kRetryAfterMax = std::chrono::hours(24);

// "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT" (the year nearest to `now`, at
// most 50 years ahead), "Sun Nov  6 08:49:37 1994". The day of the week is not checked.
std::optional<WallTime> parse_http_date(std::string_view text, WallTime now) noexcept;

// Delta-seconds or an HTTP-date; a date in the past is zero. Nothing: the value is malformed.
std::optional<Duration> parse_retry_after(std::string_view text, WallTime now) noexcept;

}  // namespace datapunk::mesh::resilience
