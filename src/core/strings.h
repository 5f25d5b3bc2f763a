#pragma once

// Text helpers that the standard library lacks. ASCII only: nothing here depends on a locale.

#include <datapunk/mesh/result.h>
#include <datapunk/mesh/time.h>

#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace datapunk::mesh::core {

constexpr char to_lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

constexpr bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i) {
        if (to_lower(a[i]) != to_lower(b[i])) return false;
    }
    return true;
}

std::string lowercase(std::string_view text);
std::string_view trim(std::string_view text) noexcept;  // blanks and tabs at both ends
std::vector<std::string_view> split(std::string_view text, char separator);

// The whole text as a number, or nothing: no sign for unsigned, no blanks, no overflow.
template <class T>
std::optional<T> parse_number(std::string_view text) noexcept {
    T value{};
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (problem != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

// "10s", "1m30s", "250ms", "1.5h", "100us": Go's time.ParseDuration, which Consul uses. A number
// without a unit is an error, except 0.
Result<Duration> parse_duration(std::string_view text);
// The shortest text that parse_duration reads back: "1m30s", "250ms", "0s".
std::string format_duration(Duration duration);
// As Go prints it, which Consul's answers use: "10s", "1m30s", "1m0s", "1h0m0s", "250ms".
std::string format_go_duration(Duration duration);
// "2026-11-21T03:56:23.120Z".
std::string format_utc(WallTime time);

// The closest of `candidates` to `word` by edit distance, if close enough to be a typo.
std::optional<std::string_view> did_you_mean(
    std::string_view word, const std::vector<std::string_view>& candidates
);

std::string base64_encode(std::string_view bytes);
std::optional<std::string> base64_decode(std::string_view text);

}  // namespace datapunk::mesh::core
