#pragma once

// Secret: a text that must not appear in logs, dumps or error messages. It has no operator<< and
// no formatter; whoever needs it says reveal(), which can be searched for.

#include <string>
#include <string_view>
#include <utility>

namespace datapunk::mesh::config {

inline constexpr std::string_view kRedacted = "<redacted>";

class Secret {
  public:
    Secret() = default;

    explicit Secret(std::string text) : text_(std::move(text)) {}

    const std::string& reveal() const noexcept { return text_; }

    bool empty() const noexcept { return text_.empty(); }

    friend bool operator==(const Secret&, const Secret&) = default;

  private:
    std::string text_;
};

}  // namespace datapunk::mesh::config
