#pragma once

// Pattern: a regular expression that a whole text must match, in time linear in the text and in
// bounded memory (RE2), since texts come from callers. Texts are bytes: "." is any one of them.
//
// Thread rule: immutable value, any thread; copies share what was compiled. Cost: about a
// nanosecond a byte; nothing is allocated for texts of a kind that it has met before.

#include <datapunk/mesh/result.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace re2 {
class RE2;
}

namespace datapunk::mesh::routing {

class Pattern {
  public:
    static constexpr std::size_t kBytesMax = 1024;

    // Matches nothing.
    Pattern() = default;

    // The error says what is wrong with it, without repeating it.
    static Result<Pattern> create(std::string_view expression);

    bool matches(std::string_view text) const noexcept;

  private:
    explicit Pattern(std::shared_ptr<const re2::RE2> compiled) : compiled_(std::move(compiled)) {}

    std::shared_ptr<const re2::RE2> compiled_;
};

}  // namespace datapunk::mesh::routing
