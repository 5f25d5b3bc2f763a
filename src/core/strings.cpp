#include "core/strings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>
#include <limits>
#include <utility>

namespace datapunk::mesh::core {

std::string lowercase(std::string_view text) {
    std::string out(text);
    for (char& c : out) c = to_lower(c);
    return out;
}

std::string_view trim(std::string_view text) noexcept {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    return text;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> parts;
    for (;;) {
        const std::size_t at = text.find(separator);
        parts.push_back(text.substr(0, at));
        if (at == std::string_view::npos) return parts;
        text.remove_prefix(at + 1);
    }
}

namespace {

struct Unit {
    std::string_view name;
    std::int64_t nanoseconds;
};

constexpr std::array<Unit, 7> kUnits = {{
    {"ns", 1},
    {"us", 1'000},
    {"µs", 1'000},
    {"ms", 1'000'000},
    {"s", 1'000'000'000},
    {"m", 60'000'000'000},
    {"h", 3'600'000'000'000},
}};

Error bad_duration(std::string_view text, std::string_view why) {
    return {
        .code = Code::invalid,
        .what = fmt::format(
            "bad duration \"{}\": {} (write 250ms, 10s, 1m30s)", text.substr(0, 64), why
        )
    };
}

}  // namespace

Result<Duration> parse_duration(std::string_view text) {
    std::string_view rest = text;
    if (rest == "0") return Duration::zero();
    const bool negative = !rest.empty() && rest.front() == '-';
    if (negative || (!rest.empty() && rest.front() == '+')) rest.remove_prefix(1);
    if (rest.empty()) return bad_duration(text, "it is empty");
    long double total = 0;
    while (!rest.empty()) {
        const std::size_t number_end = std::min(rest.find_first_not_of("0123456789."), rest.size());
        double number = 0;
        const auto [end, problem] = std::from_chars(
            rest.data(), rest.data() + number_end, number, std::chars_format::fixed
        );
        if (problem != std::errc() || end != rest.data() + number_end)
            return bad_duration(text, "it has no number");
        rest.remove_prefix(number_end);
        const std::size_t unit_end = std::min(rest.find_first_of("0123456789."), rest.size());
        const std::string_view unit = rest.substr(0, unit_end);
        if (unit.empty()) return bad_duration(text, "it has no unit");
        const auto* const found = std::find_if(kUnits.begin(), kUnits.end(), [&](const Unit& u) {
            return u.name == unit;
        });
        if (found == kUnits.end())
            return bad_duration(text, fmt::format("\"{}\" is not a unit", unit.substr(0, 16)));
        rest.remove_prefix(unit_end);
        total += static_cast<long double>(number) * static_cast<long double>(found->nanoseconds);
    }
    if (total >= static_cast<long double>(std::numeric_limits<std::int64_t>::max()))
        return bad_duration(text, "it is over 292 years");
    const auto nanoseconds = static_cast<std::int64_t>(std::llroundl(total));
    return Duration(negative ? -nanoseconds : nanoseconds);
}

std::string format_duration(Duration duration) {
    std::int64_t left = duration.count();
    if (left == 0) return "0s";
    std::string out;
    if (left < 0) {
        out += '-';
        left = -left;
    }
    constexpr std::array<Unit, 6> kOrder = {{
        {"h", 3'600'000'000'000},
        {"m", 60'000'000'000},
        {"s", 1'000'000'000},
        {"ms", 1'000'000},
        {"us", 1'000},
        {"ns", 1},
    }};
    for (const Unit& unit : kOrder) {
        if (left < unit.nanoseconds) continue;
        fmt::format_to(std::back_inserter(out), "{}{}", left / unit.nanoseconds, unit.name);
        left %= unit.nanoseconds;
    }
    return out;
}

std::string format_go_duration(Duration duration) {
    const std::int64_t ns = duration.count();
    if (ns == 0) return "0s";
    const std::string sign = ns < 0 ? "-" : "";
    const std::uint64_t u =
        ns < 0 ? static_cast<std::uint64_t>(-(ns + 1)) + 1 : static_cast<std::uint64_t>(ns);
    const auto fraction = [](std::uint64_t value, std::uint64_t unit) {
        std::string text = fmt::format("{}", value / unit);
        std::uint64_t part = value % unit;
        if (part == 0) return text;
        std::string digits;
        for (std::uint64_t scale = unit / 10; part != 0; scale /= 10) {
            digits += static_cast<char>('0' + part / scale);
            part %= scale;
        }
        return text + "." + digits;
    };
    if (u < 1'000) return sign + fmt::format("{}ns", u);
    if (u < 1'000'000) return sign + fraction(u, 1'000) + "µs";
    if (u < 1'000'000'000) return sign + fraction(u, 1'000'000) + "ms";
    const std::uint64_t minutes = u / 60'000'000'000;
    const std::string seconds = fraction(u % 60'000'000'000, 1'000'000'000) + "s";
    if (minutes == 0) return sign + seconds;
    if (minutes < 60) return sign + fmt::format("{}m{}", minutes, seconds);
    return sign + fmt::format("{}h{}m{}", minutes / 60, minutes % 60, seconds);
}

std::string format_utc(WallTime time) {
    const auto since_epoch =
        std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
    const std::int64_t floor_seconds =
        since_epoch >= 0 ? since_epoch / 1000 : -((999 - since_epoch) / 1000);
    const auto seconds = static_cast<std::time_t>(floor_seconds);
    std::tm parts{};
    gmtime_r(&seconds, &parts);
    return fmt::format(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        parts.tm_year + 1900,
        parts.tm_mon + 1,
        parts.tm_mday,
        parts.tm_hour,
        parts.tm_min,
        parts.tm_sec,
        since_epoch - floor_seconds * 1000
    );
}

std::optional<std::string_view> did_you_mean(
    std::string_view word, const std::vector<std::string_view>& candidates
) {
    constexpr std::size_t kWordBytesMax = 64;  // the table below is quadratic
    if (word.size() > kWordBytesMax) return std::nullopt;
    std::optional<std::string_view> best;
    std::size_t best_distance = std::max<std::size_t>(1, word.size() / 3) + 1;
    for (const std::string_view candidate : candidates) {
        std::vector<std::size_t> row(candidate.size() + 1);
        for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
        // The two rows above: letters that changed places are one mistake, the most common of all.
        std::vector<std::size_t> last;
        std::vector<std::size_t> earlier;
        for (std::size_t i = 1; i <= word.size(); ++i) {
            earlier = std::exchange(last, row);
            std::size_t diagonal = row[0];
            row[0] = i;
            for (std::size_t j = 1; j <= candidate.size(); ++j) {
                const std::size_t above = row[j];
                const std::size_t change =
                    diagonal + (to_lower(word[i - 1]) == to_lower(candidate[j - 1]) ? 0 : 1);
                row[j] = std::min({above + 1, row[j - 1] + 1, change});
                const bool swapped = i > 1 && j > 1 &&
                                     to_lower(word[i - 1]) == to_lower(candidate[j - 2]) &&
                                     to_lower(word[i - 2]) == to_lower(candidate[j - 1]);
                if (swapped) row[j] = std::min(row[j], earlier[j - 2] + 1);
                diagonal = above;
            }
        }
        if (row.back() < best_distance) {
            best_distance = row.back();
            best = candidate;
        }
    }
    return best;
}

namespace {
constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
}

std::string base64_encode(std::string_view bytes) {
    std::string out;
    out.reserve((bytes.size() + 2) / 3 * 4);
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        const std::size_t left = std::min<std::size_t>(3, bytes.size() - i);
        std::uint32_t group = 0;
        for (std::size_t k = 0; k < 3; ++k) {
            group = group << 8U | (k < left ? static_cast<unsigned char>(bytes[i + k]) : 0U);
        }
        for (std::size_t k = 0; k < 4; ++k) {
            out += k <= left ? kBase64[(group >> (18U - 6U * k)) & 63U] : '=';
        }
    }
    return out;
}

std::optional<std::string> base64_decode(std::string_view text) {
    if (text.size() % 4 != 0) return std::nullopt;
    std::string out;
    out.reserve(text.size() / 4 * 3);
    for (std::size_t i = 0; i < text.size(); i += 4) {
        std::uint32_t group = 0;
        std::size_t padding = 0;
        for (std::size_t k = 0; k < 4; ++k) {
            const char c = text[i + k];
            const std::size_t digit = kBase64.find(c);
            if (c == '=' && i + 4 == text.size() && k >= 2) {
                ++padding;
                group <<= 6U;
            } else if (digit == std::string_view::npos || padding > 0) {
                return std::nullopt;
            } else {
                group = group << 6U | static_cast<std::uint32_t>(digit);
            }
        }
        for (std::size_t k = 0; k + padding < 3; ++k)
            out += static_cast<char>((group >> (16U - 8U * k)) & 0xffU);
    }
    return out;
}

}  // namespace datapunk::mesh::core
