#pragma once

// HeadWriter: field lines behind each other into a string that the caller reuses, with one check
// of its room and one of its bytes for each line. For what a parser has accepted, or we wrote: like
// append_field() it asserts that nothing gets out that would break the framing.
//
// While it lives the string is longer than what has been written. One thread's object.

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "core/assert.h"
#include "wire/http1/chars.h"

namespace datapunk::mesh::wire::http1 {

class HeadWriter {
  public:
    explicit HeadWriter(std::string& out) noexcept : out_(out), used_(out.size()) {}

    HeadWriter(const HeadWriter&) = delete;
    HeadWriter& operator=(const HeadWriter&) = delete;

    ~HeadWriter() { out_.resize(used_); }

    void add(std::string_view name, std::string_view value) {
        MESH_ASSERT(!name.empty());
        const std::size_t text_bytes = name.size() + 2 + value.size();
        char* const line = room(text_bytes + 2 + kScanSlack);
        char* at = copy(line, name);
        *at++ = ':';
        *at++ = ' ';
        at = copy(at, value);
        MESH_ASSERT(!has_control(line, text_bytes));
        *at++ = '\r';
        *at++ = '\n';
        used_ += text_bytes + 2;
    }

    void add(std::string_view name, std::uint64_t value) {
        std::array<char, 20> digits;
        const auto end = std::to_chars(digits.begin(), digits.end(), value).ptr;
        add(name, std::string_view(digits.data(), static_cast<std::size_t>(end - digits.begin())));
    }

    // The empty line.
    void end() {
        char* const at = room(2);
        at[0] = '\r';
        at[1] = '\n';
        used_ += 2;
    }

  private:
    static constexpr std::size_t kGrowBytes = 512;

    static char* copy(char* to, std::string_view text) noexcept {
        if (!text.empty()) std::memcpy(to, text.data(), text.size());
        return to + text.size();
    }

    char* room(std::size_t bytes) {
        if (out_.size() - used_ < bytes) out_.resize(used_ + std::max(bytes, kGrowBytes));
        return out_.data() + used_;
    }

    std::string& out_;
    std::size_t used_;
};

}  // namespace datapunk::mesh::wire::http1
