#pragma once

// Filter expressions (?filter=) as text: the grammar of Consul's go-bexpr 0.1.2.
//
//     or   = and { "or" and }              not   = "not" not | "(" or ")" | match
//     and  = not { "and" not }             match = selector operator value | value "in" selector
//     operator: == != contains matches, "not" before the words; is [not] empty
//     selector: Name.Name["any text"]      value: selector text, number, "text" or `text`
//
// A parsing expression grammar: alternatives in order, and the error names the farthest place that
// was reached and all that could have stood there, in Consul's words. Pure; linear in the text
// times the alternatives, bounded in size and nesting.

#include <datapunk/mesh/result.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace datapunk::mesh::server {

inline constexpr std::size_t kFilterBytesMax = 8192;  // what fits a request line
inline constexpr unsigned kFilterDepthMax = 64;       // "(" and "not" inside each other

enum class MatchOperator : std::uint8_t {
    equal,
    not_equal,
    in,
    not_in,
    is_empty,
    is_not_empty,
    matches,
    not_matches,
};

// As errors name it: "Equal", "Not In", …
std::string_view to_string(MatchOperator op) noexcept;

struct FilterMatch {
    std::vector<std::string> selector;
    MatchOperator op = MatchOperator::equal;
    std::optional<std::string> value;  // none for is_empty and is_not_empty
    friend bool operator==(const FilterMatch&, const FilterMatch&) = default;
};

// One node of the tree. Children are places in FilterTree::nodes and come before their parent.
struct FilterNode {
    enum class Kind : std::uint8_t { match, negation, all, any };
    Kind kind = Kind::match;
    FilterMatch match;                  // match
    std::vector<std::size_t> children;  // negation: one; all, any: two or more, in order
};

struct FilterTree {
    std::vector<FilterNode> nodes;  // the last one is the root
};

// The error's text is go-bexpr's.
Result<FilterTree> parse_filter(std::string_view text);

// strconv.Unquote() of a "…" or `…` literal; nothing if it is none.
std::optional<std::string> unquote_go(std::string_view literal);

}  // namespace datapunk::mesh::server
