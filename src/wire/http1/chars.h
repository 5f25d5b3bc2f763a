#pragma once

// Byte classes of HTTP/1 and the scans built on them, shared by the parsers of this folder.
// SSE2 (every x86-64 has it) takes 16 bytes at a time; elsewhere a table does.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace datapunk::mesh::wire::http1 {

inline constexpr std::uint8_t kToken = 1;     // RFC 9110 5.6.2 tchar
inline constexpr std::uint8_t kTarget = 2;    // printable ASCII but blank and '#'
inline constexpr std::uint8_t kHostName = 4;  // letters, digits, - . _ ~ : what names are made of
inline constexpr std::uint8_t kControl = 8;   // 0x00-0x1f and 0x7f, but not HTAB

inline constexpr std::array<std::uint8_t, 256> kClassOf = [] {
    std::array<std::uint8_t, 256> table{};
    for (unsigned c = 0; c < 256; ++c) {
        const bool is_alnum =
            (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        const char as_char = static_cast<char>(c);
        const auto is_one_of = [&](std::string_view set) {
            return set.find(as_char) != std::string_view::npos;
        };
        unsigned bits = 0;
        if (is_alnum || is_one_of("!#$%&'*+-.^_`|~")) bits |= kToken;
        if (c > 0x20 && c < 0x7f && c != '#') bits |= kTarget;
        if (is_alnum || is_one_of("-._~")) bits |= kHostName;
        if ((c < 0x20 && c != '\t') || c == 0x7f) bits |= kControl;
        table[c] = static_cast<std::uint8_t>(bits);
    }
    return table;
}();

inline bool is_in(char c, std::uint8_t wanted) noexcept {
    return (kClassOf[static_cast<unsigned char>(c)] & wanted) != 0;
}

inline bool all_in(std::string_view text, std::uint8_t wanted) noexcept {
    for (const char c : text) {
        if (!is_in(c, wanted)) return false;
    }
    return true;
}

// The first control byte (CR and LF among them) in [at, end), or end.
inline const char* find_control(const char* at, const char* end) noexcept {
#if defined(__SSE2__)
    const __m128i low = _mm_set1_epi8(0x1f);
    const __m128i tab = _mm_set1_epi8('\t');
    const __m128i del = _mm_set1_epi8(0x7f);
    for (; end - at >= 16; at += 16) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
        const __m128i is_low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, low), bytes);
        const __m128i stops = _mm_or_si128(
            _mm_andnot_si128(_mm_cmpeq_epi8(bytes, tab), is_low), _mm_cmpeq_epi8(bytes, del)
        );
        const int mask = _mm_movemask_epi8(stops);
        if (mask != 0) return at + __builtin_ctz(static_cast<unsigned>(mask));
    }
#endif
    while (at != end && !is_in(*at, kControl)) ++at;
    return at;
}

// Whether there is a control byte in [at, at + bytes). So many bytes behind that must be readable,
// whatever they are.
inline constexpr std::size_t kScanSlack = 16;

inline bool has_control(const char* at, std::size_t bytes) noexcept {
#if defined(__SSE2__)
    const __m128i low = _mm_set1_epi8(0x1f);
    const __m128i tab = _mm_set1_epi8('\t');
    const __m128i del = _mm_set1_epi8(0x7f);
    for (std::size_t i = 0; i < bytes; i += 16) {
        const __m128i some = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at + i));
        const __m128i is_low = _mm_cmpeq_epi8(_mm_min_epu8(some, low), some);
        const __m128i stops = _mm_or_si128(
            _mm_andnot_si128(_mm_cmpeq_epi8(some, tab), is_low), _mm_cmpeq_epi8(some, del)
        );
        const auto mask = static_cast<unsigned>(_mm_movemask_epi8(stops));
        const std::size_t rest = bytes - i;
        if ((rest >= 16 ? mask : mask & ((1U << rest) - 1)) != 0) return true;
    }
    return false;
#else
    return find_control(at, at + bytes) != at + bytes;
#endif
}

// Whether `token` equals `lowercase` (made of a-z, 0-9, '-'), ignoring case; both are
// lowercase.size() long. Setting bit 5 folds case, and no other byte of a token falls onto those
// letters.
inline bool equals_lowercase_token(const char* token, std::string_view lowercase) noexcept {
    const std::size_t n = lowercase.size();
    const char* const known = lowercase.data();
    const auto differs8 = [&](std::size_t i) {
        std::uint64_t a = 0;
        std::uint64_t b = 0;
        std::memcpy(&a, token + i, 8);
        std::memcpy(&b, known + i, 8);
        return (a | 0x2020202020202020U) ^ b;
    };
    if (n >= 8) {
        std::uint64_t difference = differs8(n - 8);  // overlaps: no tail loop
        for (std::size_t i = 0; i + 8 < n; i += 8) difference |= differs8(i);
        return difference == 0;
    }
    for (std::size_t i = 0; i < n; ++i) {
        if (static_cast<char>(token[i] | 0x20) != known[i]) return false;
    }
    return true;
}

}  // namespace datapunk::mesh::wire::http1
