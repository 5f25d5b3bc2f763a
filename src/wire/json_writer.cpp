#include "wire/json_writer.h"

#include <array>
#include <charconv>
#include <cmath>

#include "core/assert.h"
#include "wire/hex.h"

namespace datapunk::mesh::wire {
namespace {

constexpr std::uint64_t bit(unsigned depth) noexcept {
    return std::uint64_t{1} << depth;
}

bool is_plain(char c) noexcept {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x20 && byte < 0x80 && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

void append_ascii_escape(std::string& out, char c) {
    switch (c) {
        case '"':
            out += "\\\"";
            return;
        case '\\':
            out += "\\\\";
            return;
        case '\n':
            out += "\\n";
            return;
        case '\r':
            out += "\\r";
            return;
        case '\t':
            out += "\\t";
            return;
        default:
            out += "\\u00";
            out += kHexLower[static_cast<unsigned char>(c) >> 4U];
            out += kHexLower[static_cast<unsigned char>(c) & 0xfU];
            return;
    }
}

// How many bytes the UTF-8 sequence at the front of `text` has, or 0 if it is not one (RFC 3629:
// no overlong forms, no surrogates, nothing above U+10FFFF).
std::size_t sequence_bytes(std::string_view text) noexcept {
    const auto at = [&](std::size_t i) {
        return i < text.size() ? static_cast<unsigned>(static_cast<unsigned char>(text[i])) : 0U;
    };
    const auto is_tail = [&](std::size_t i, unsigned low = 0x80, unsigned high = 0xbf) {
        return at(i) >= low && at(i) <= high;
    };
    const unsigned lead = at(0);
    if (lead >= 0xc2 && lead <= 0xdf) return is_tail(1) ? 2 : 0;
    if (lead >= 0xe0 && lead <= 0xef) {
        const unsigned low = lead == 0xe0 ? 0xa0 : 0x80;
        const unsigned high = lead == 0xed ? 0x9f : 0xbf;
        return is_tail(1, low, high) && is_tail(2) ? 3 : 0;
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        const unsigned low = lead == 0xf0 ? 0x90 : 0x80;
        const unsigned high = lead == 0xf4 ? 0x8f : 0xbf;
        return is_tail(1, low, high) && is_tail(2) && is_tail(3) ? 4 : 0;
    }
    return 0;
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
    out += '"';
    while (!text.empty()) {
        std::size_t plain = 0;
        while (plain < text.size() && is_plain(text[plain])) ++plain;
        out += text.substr(0, plain);
        text.remove_prefix(plain);
        if (text.empty()) break;
        std::size_t used = 1;
        if (static_cast<unsigned char>(text.front()) < 0x80) {
            append_ascii_escape(out, text.front());
        } else if ((used = sequence_bytes(text)) == 0) {
            out += "\\ufffd";
            used = 1;
        } else if (text.substr(0, used) == "\xe2\x80\xa8") {
            out += "\\u2028";
        } else if (text.substr(0, used) == "\xe2\x80\xa9") {
            out += "\\u2029";
        } else {
            out += text.substr(0, used);
        }
        text.remove_prefix(used);
    }
    out += '"';
}

void JsonWriter::new_line() {
    out_ += '\n';
    out_.append(4UL * depth_, ' ');
}

void JsonWriter::before_item() {
    if (depth_ == 0) {
        MESH_ASSERT(has_items_ == 0);  // one value a document
    } else {
        if ((has_items_ & bit(depth_)) != 0) out_ += ',';
        if (is_pretty_) new_line();
    }
    has_items_ |= bit(depth_);
}

void JsonWriter::before_value() {
    const bool in_object = depth_ > 0 && (is_object_ & bit(depth_)) != 0;
    MESH_ASSERT(in_object == has_key_);
    if (!in_object) before_item();
    has_key_ = false;
}

JsonWriter& JsonWriter::key(std::string_view name) {
    MESH_ASSERT(depth_ > 0 && (is_object_ & bit(depth_)) != 0 && !has_key_);
    before_item();
    append_json_string(out_, name);
    out_ += is_pretty_ ? ": " : ":";
    has_key_ = true;
    return *this;
}

JsonWriter& JsonWriter::open(char bracket) {
    before_value();
    MESH_ASSERT(depth_ < kDepthMax);
    ++depth_;
    has_items_ &= ~bit(depth_);
    is_object_ = bracket == '{' ? is_object_ | bit(depth_) : is_object_ & ~bit(depth_);
    out_ += bracket;
    return *this;
}

JsonWriter& JsonWriter::close(char bracket) {
    MESH_ASSERT(depth_ > 0 && !has_key_);
    MESH_ASSERT(((is_object_ & bit(depth_)) != 0) == (bracket == '}'));
    const bool had_items = (has_items_ & bit(depth_)) != 0;
    has_items_ &= ~bit(depth_);
    --depth_;
    if (is_pretty_ && had_items) new_line();
    out_ += bracket;
    return *this;
}

JsonWriter& JsonWriter::string(std::string_view text) {
    before_value();
    append_json_string(out_, text);
    return *this;
}

JsonWriter& JsonWriter::raw(std::string_view json) {
    before_value();
    out_ += json;
    return *this;
}

JsonWriter& JsonWriter::number(double value) {
    if (!std::isfinite(value)) return null();
    std::array<char, 32> digits;
    const auto end = std::to_chars(digits.begin(), digits.end(), value).ptr;
    return raw({digits.begin(), end});
}

JsonWriter& JsonWriter::signed_number(std::int64_t value) {
    std::array<char, 20> digits;
    const auto end = std::to_chars(digits.begin(), digits.end(), value).ptr;
    return raw({digits.begin(), end});
}

JsonWriter& JsonWriter::unsigned_number(std::uint64_t value) {
    std::array<char, 20> digits;
    const auto end = std::to_chars(digits.begin(), digits.end(), value).ptr;
    return raw({digits.begin(), end});
}

}  // namespace datapunk::mesh::wire
