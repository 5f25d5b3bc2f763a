#pragma once

// What the checks of public values share. Private to the room.

#include <datapunk/mesh/result.h>
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

namespace datapunk::mesh::core {

// Gathers every problem, so that a user fixes a config in one go.
class Problems {
  public:
    template <class... Args>
    void need(bool good, fmt::format_string<Args...> format, Args&&... args) {
        if (good) return;
        if (!text_.empty()) text_ += "; ";
        text_ += fmt::format(format, std::forward<Args>(args)...);
    }

    Result<> result(std::string_view of) const {
        if (text_.empty()) return Ok{};
        return Error{.code = Code::invalid, .what = fmt::format("{}: {}", of, text_)};
    }

    std::string text() && { return std::move(text_); }

  private:
    std::string text_;
};

inline bool has_control(std::string_view text) {
    return std::any_of(text.begin(), text.end(), [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte < 0x20 || byte == 0x7f;
    });
}

// RFC 9110 5.6.2: methods, names of headers and cookies.
inline bool is_token(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
    });
}

}  // namespace datapunk::mesh::core
