#include "resilience/retry_after.h"

#include <algorithm>
#include <array>

#include "core/strings.h"

namespace datapunk::mesh::resilience {

namespace {

constexpr std::array<std::string_view, 12> kMonths = {
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"
};
constexpr std::array<std::string_view, 7> kDays = {
    "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"
};

// Takes pieces off the front; after the first piece that does not fit, ok() is false.
class Reader {
  public:
    explicit Reader(std::string_view text) : rest_(text) {}

    void literal(std::string_view expected) {
        ok_ = ok_ && rest_.starts_with(expected);
        if (ok_) rest_.remove_prefix(expected.size());
    }

    int digits(std::size_t count) {
        if (!ok_ || rest_.size() < count) return fail();
        int value = 0;
        for (const char c : rest_.substr(0, count)) {
            if (c < '0' || c > '9') return fail();
            value = value * 10 + (c - '0');
        }
        rest_.remove_prefix(count);
        return value;
    }

    unsigned month() {
        for (unsigned i = 0; ok_ && i < kMonths.size(); ++i) {
            if (!rest_.starts_with(kMonths[i])) continue;
            rest_.remove_prefix(kMonths[i].size());
            return i + 1;
        }
        return static_cast<unsigned>(fail());
    }

    bool take(char c) {
        if (!ok_ || !rest_.starts_with(c)) return false;
        rest_.remove_prefix(1);
        return true;
    }

    // The length of the day name at the front, full or short; 0 = none.
    std::size_t weekday() {
        for (const std::string_view day : kDays) {
            for (const std::size_t length : {day.size(), std::size_t{3}}) {
                if (!rest_.starts_with(day.substr(0, length))) continue;
                rest_.remove_prefix(length);
                return length;
            }
        }
        fail();
        return 0;
    }

    bool done() const { return ok_ && rest_.empty(); }

  private:
    int fail() {
        ok_ = false;
        return 0;
    }

    std::string_view rest_;
    bool ok_ = true;
};

struct Parts {
    int year = 0;
    unsigned month = 0;
    int day = 0;
    int hour = 0;
    int minute = 0;
    int second = 0;
};

void read_time(Reader& in, Parts& parts) {
    parts.hour = in.digits(2);
    in.literal(":");
    parts.minute = in.digits(2);
    in.literal(":");
    parts.second = in.digits(2);
}

// RFC 9110: a two-digit year that seems over 50 years ahead is the past one with these digits.
int full_year(int two_digits, WallTime now) {
    const std::chrono::year_month_day today(std::chrono::floor<std::chrono::days>(now));
    const int this_year = static_cast<int>(today.year());
    int year = this_year - this_year % 100 + two_digits;
    if (year > this_year + 50) year -= 100;
    if (year <= this_year - 50) year += 100;
    return year;
}

std::optional<WallTime> to_time(const Parts& p) {
    const std::chrono::year_month_day date(
        std::chrono::year(p.year),
        std::chrono::month(p.month),
        std::chrono::day(static_cast<unsigned>(p.day))
    );
    // 60 is a leap second. Years outside 1900..2200 would overflow nanoseconds.
    if (!date.ok() || p.hour > 23 || p.minute > 59 || p.second > 60 || p.year < 1900 ||
        p.year > 2200) {
        return std::nullopt;
    }
    return WallTime(std::chrono::sys_days(date)) + std::chrono::hours(p.hour) +
           std::chrono::minutes(p.minute) + std::chrono::seconds(p.second);
}

}  // namespace

std::optional<WallTime> parse_http_date(std::string_view text, WallTime now) noexcept {
    Reader in(text);
    Parts parts;
    const std::size_t weekday = in.weekday();
    if (weekday == 3 && in.take(' ')) {  // asctime
        parts.month = in.month();
        in.literal(" ");
        parts.day = in.take(' ') ? in.digits(1) : in.digits(2);
        in.literal(" ");
        read_time(in, parts);
        in.literal(" ");
        parts.year = in.digits(4);
    } else {
        const std::string_view gap = weekday == 3 ? " " : "-";
        in.literal(", ");
        parts.day = in.digits(2);
        in.literal(gap);
        parts.month = in.month();
        in.literal(gap);
        parts.year = weekday == 3 ? in.digits(4) : full_year(in.digits(2), now);
        in.literal(" ");
        read_time(in, parts);
        in.literal(" GMT");
    }
    if (!in.done()) return std::nullopt;
    return to_time(parts);
}

std::optional<Duration> parse_retry_after(std::string_view text, WallTime now) noexcept {
    text = core::trim(text);
    if (text.empty()) return std::nullopt;
    if (text.find_first_not_of("0123456789") == std::string_view::npos) {
        const auto seconds = core::parse_number<std::uint32_t>(text);
        if (!seconds) return kRetryAfterMax;  // all digits, so it overflowed
        return std::min<Duration>(std::chrono::seconds(*seconds), kRetryAfterMax);
    }
    const auto date = parse_http_date(text, now);
    if (!date) return std::nullopt;
    if (*date <= now) return Duration::zero();
    return std::min<Duration>(*date - now, kRetryAfterMax);
}

}  // namespace datapunk::mesh::resilience
