#include "http/date.h"

#include <array>
#include <cstdio>
#include <ctime>

namespace datapunk::mesh::http {

std::string_view http_date(WallTime now) {
    constexpr std::array<const char*, 7> kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    constexpr std::array<const char*, 12> kMonths = {
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"
    };
    thread_local std::time_t shown = -1;
    thread_local std::array<char, 64> text{};
    thread_local std::size_t length = 0;
    const std::time_t seconds = std::chrono::system_clock::to_time_t(
        std::chrono::time_point_cast<std::chrono::system_clock::duration>(now)
    );
    if (seconds != shown) {
        std::tm parts{};
        gmtime_r(&seconds, &parts);
        length = static_cast<std::size_t>(std::snprintf(
            text.data(),
            text.size(),
            "%s, %02d %s %04d %02d:%02d:%02d GMT",
            kDays[static_cast<std::size_t>(parts.tm_wday)],
            parts.tm_mday,
            kMonths[static_cast<std::size_t>(parts.tm_mon)],
            parts.tm_year + 1900,
            parts.tm_hour,
            parts.tm_min,
            parts.tm_sec
        ));
        shown = seconds;
    }
    return {text.data(), length};
}

}  // namespace datapunk::mesh::http
