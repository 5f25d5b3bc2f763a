#include "resilience/deadline.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/strings.h"

namespace datapunk::mesh::resilience {

namespace {

struct Unit {
    char letter;
    std::int64_t nanoseconds;
};

constexpr std::array<Unit, 6> kUnits = {{
    {'n', 1},
    {'u', 1'000},
    {'m', 1'000'000},
    {'S', 1'000'000'000},
    {'M', 60'000'000'000},
    {'H', 3'600'000'000'000},
}};
constexpr std::size_t kGrpcDigitsMax = 8;
constexpr std::int64_t kGrpcNumberMax = 99'999'999;
constexpr std::size_t kMsDigitsMax = 18;  // fits 64 bits

bool is_digits(std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

Duration bounded(std::uint64_t number, std::int64_t unit_ns) {
    if (number > static_cast<std::uint64_t>(kDeadlineMax.count() / unit_ns)) return kDeadlineMax;
    return Duration(static_cast<std::int64_t>(number) * unit_ns);
}

Error bad(std::string_view text, std::string_view want) {
    return {
        .code = Code::invalid,
        .what = fmt::format("bad deadline \"{}\": {}", text.substr(0, 32), want),
        .source = Source::downstream,
    };
}

}  // namespace

Result<Duration> parse_deadline_ms(std::string_view text) {
    if (!is_digits(text) || text.size() > kMsDigitsMax) {
        return bad(text, "write whole milliseconds, at most 18 digits");
    }
    return bounded(core::parse_number<std::uint64_t>(text).value_or(0), 1'000'000);
}

std::string format_deadline_ms(Duration remaining) {
    return std::to_string(std::max<std::int64_t>(0, remaining.count() / 1'000'000));
}

Result<Duration> parse_grpc_timeout(std::string_view text) {
    constexpr std::string_view kWant = "write 1 to 8 digits and one of H M S m u n";
    if (text.empty()) return bad(text, kWant);
    const std::string_view number = text.substr(0, text.size() - 1);
    const auto* const unit = std::find_if(kUnits.begin(), kUnits.end(), [&](const Unit& one) {
        return one.letter == text.back();
    });
    if (unit == kUnits.end() || !is_digits(number) || number.size() > kGrpcDigitsMax) {
        return bad(text, kWant);
    }
    return bounded(core::parse_number<std::uint64_t>(number).value_or(0), unit->nanoseconds);
}

std::string format_grpc_timeout(Duration remaining) {
    const std::int64_t ns = std::clamp<std::int64_t>(remaining.count(), 0, kDeadlineMax.count());
    for (const Unit& unit : kUnits) {
        if (ns / unit.nanoseconds > kGrpcNumberMax) continue;
        return fmt::format("{}{}", ns / unit.nanoseconds, unit.letter);
    }
    return "99999999H";  // not reached: kDeadlineMax in hours has three digits
}

}  // namespace datapunk::mesh::resilience
