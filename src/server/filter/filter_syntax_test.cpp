#include "server/filter/filter_syntax.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "core/rng.h"

namespace datapunk::mesh::server {
namespace {

// The tree as one text: "(a.b Equal 'x' and not c Is Empty)".
std::string shown(const FilterTree& tree, const FilterNode& node) {
    std::vector<std::string> parts;
    for (const std::size_t child : node.children) parts.push_back(shown(tree, tree.nodes[child]));
    switch (node.kind) {
        case FilterNode::Kind::negation:
            return "not " + parts.front();
        case FilterNode::Kind::all:
            return fmt::format("({})", fmt::join(parts, " and "));
        case FilterNode::Kind::any:
            return fmt::format("({})", fmt::join(parts, " or "));
        case FilterNode::Kind::match:
            break;
    }
    std::string out =
        fmt::format("{} {}", fmt::join(node.match.selector, "/"), to_string(node.match.op));
    if (node.match.value) out += fmt::format(" '{}'", *node.match.value);
    return out;
}

std::string parsed(std::string_view text) {
    const auto tree = parse_filter(text);
    return tree ? shown(*tree, tree->nodes.back()) : tree.error().what;
}

TEST(FilterSyntax, ReadsEveryOperator) {
    EXPECT_EQ(parsed("foo == 3"), "foo Equal '3'");
    EXPECT_EQ(parsed("foo==3"), "foo Equal '3'");
    EXPECT_EQ(parsed("foo != xyz"), "foo Not Equal 'xyz'");
    EXPECT_EQ(parsed("list is empty"), "list Is Empty");
    EXPECT_EQ(parsed("list is not empty"), "list Is Not Empty");
    EXPECT_EQ(parsed("foo in bar"), "bar In 'foo'");
    EXPECT_EQ(parsed("foo not in bar"), "bar Not In 'foo'");
    EXPECT_EQ(parsed("bar contains foo"), "bar In 'foo'");
    EXPECT_EQ(parsed("bar not contains foo"), "bar Not In 'foo'");
    EXPECT_EQ(parsed("foo matches bar"), "foo Matches 'bar'");
    EXPECT_EQ(parsed("foo not matches `b.r`"), "foo Not Matches 'b.r'");
}

TEST(FilterSyntax, NotBindsTighterThanAndThanOr) {
    EXPECT_EQ(
        parsed("x in foo and not str == something or list is empty"),
        "((foo In 'x' and not str Equal 'something') or list Is Empty)"
    );
    EXPECT_EQ(
        parsed("x in foo and not (str == something or list is empty)"),
        "(foo In 'x' and not (str Equal 'something' or list Is Empty))"
    );
    EXPECT_EQ(parsed("not not foo == 3"), "not not foo Equal '3'");
    EXPECT_EQ(parsed("((foo == 3))"), "foo Equal '3'");
    EXPECT_EQ(parsed("(a == 1) and (b == 2)"), "(a Equal '1' and b Equal '2')");
    EXPECT_EQ(
        parsed("\t\r\n (\t foo \r\n == \t x \n) \t and y is \n empty "),
        "(foo Equal 'x' and y Is Empty)"
    );
}

TEST(FilterSyntax, ReadsSelectorsAndValues) {
    EXPECT_EQ(
        parsed("`environment` in foo.bar[\"meta\"].tags[\t`ENV` ]"),
        "foo/bar/meta/tags/ENV In 'environment'"
    );
    EXPECT_EQ(
        parsed("environment in foo[\"abc-def ghi åß\"]"), "foo/abc-def ghi åß In 'environment'"
    );
    EXPECT_EQ(parsed("foo == -0.25"), "foo Equal '-0.25'");
    EXPECT_EQ(parsed("foo == a.b"), "foo Equal 'a.b'");
    EXPECT_EQ(parsed(R"(foo == "a\tb\x41\u00e9\101")"), "foo Equal 'a\tbAéA'");
    EXPECT_EQ(parsed("not == 3"), "not Equal '3'");  // a word is a selector where it can be
}

// The texts are go-bexpr's, at the places that its own tests and a recorded Consul give.
TEST(FilterSyntax, RefusesInConsulsWords) {
    EXPECT_EQ(
        parsed("Service === web"),
        R"(1:11 (10): no match found, expected: "-", "0", "\"", "`", [ \t\r\n], [1-9] or [a-zA-Z])"
    );
    EXPECT_EQ(parsed("foo == \"12x"), "1:12 (11): rule \"string\": Unterminated string literal");
    EXPECT_EQ(parsed("foo == `12x"), "1:12 (11): rule \"string\": Unterminated string literal");
    EXPECT_EQ(parsed("foo == 3x"), "1:9 (8): rule \"number\": Invalid number literal");
    EXPECT_EQ(parsed("foo[3] == abc"), "1:5 (4): rule \"index\": Invalid index");
    EXPECT_EQ(parsed("x in foo[\"abc\""), "1:15 (14): rule \"index\": Unclosed index expression");
    EXPECT_EQ(parsed("foo[\"abc\" == 3"), "1:11 (10): rule \"index\": Unclosed index expression");
    EXPECT_EQ(parsed("x in 32"), "1:6 (5): rule \"match\": Invalid selector");
    EXPECT_EQ(parsed("32 == 32"), R"(1:4 (3): no match found, expected: "in", "not" or [ \t\r\n])");
    EXPECT_EQ(
        parsed("x in foo abc"),
        R"(1:10 (9): no match found, expected: "and", "or", [ \t\r\n] or EOF)"
    );
    EXPECT_EQ(
        parsed("x in foo and "),
        R"(1:14 (13): no match found, expected: "(", "-", "0", "\"", "`", "not", [ \t\r\n], [1-9] or [a-zA-Z])"
    );
    EXPECT_EQ(
        parsed("x in foo or not "),
        R"(1:17 (16): no match found, expected: "!=", "(", "-", "0", "==", "\"", "`", "contains", "in", "is", "matches", "not", [ \t\r\n], [1-9] or [a-zA-Z])"
    );
    EXPECT_EQ(parsed("(foo == 4"), "1:10 (9): rule \"grouping\": Unmatched parentheses");
    EXPECT_EQ(parsed("a == \"\\q\""), "1:6 (5): rule \"string\": invalid syntax");
    EXPECT_EQ(
        parsed("a ==\nb == 1"),
        R"(2:3 (7): no match found, expected: "and", "or", [ \t\r\n] or EOF)"
    );
}

TEST(FilterSyntax, IsBoundedInSizeAndDepth) {
    const auto nested = [](std::size_t depth) {
        return std::string(depth, '(') + "a==1" + std::string(depth, ')');
    };
    EXPECT_TRUE(parse_filter(nested(kFilterDepthMax - 1)));
    EXPECT_FALSE(parse_filter(nested(kFilterDepthMax)));
    EXPECT_FALSE(parse_filter(std::string(4000, '(')));
    std::string nots;
    for (int i = 0; i < 1000; ++i) nots += "not ";
    EXPECT_FALSE(parse_filter(nots + "a==1"));
    std::string terms = "a==1";
    for (int i = 0; i < 900; ++i) terms += " or a==1";
    EXPECT_TRUE(parse_filter(terms));
    EXPECT_TRUE(parse_filter("a==" + std::string(kFilterBytesMax - 3, 'x')));
    EXPECT_FALSE(parse_filter("a==" + std::string(kFilterBytesMax - 2, 'x')));
    EXPECT_FALSE(parse_filter("a == \"\xff\""));
    EXPECT_FALSE(parse_filter(""));
}

// A printed tree reads back as itself.
TEST(FilterSyntax, WhatIsPrintedReadsBack) {
    core::Rng rng(7);
    const auto word = [&] { return std::string(1, static_cast<char>('a' + rng.below(5))); };
    const std::function<std::string(int)> make = [&](int depth) -> std::string {
        switch (depth == 0 ? rng.below(4) : rng.below(7)) {
            case 0:
                return word() + " == " + word();
            case 1:
                return "`" + word() + "` not in " + word() + "[\"" + word() + "\"]";
            case 2:
                return word() + " is not empty";
            case 3:
                return word() + " matches \"" + word() + ".*\"";
            case 4:
                return "not (" + make(depth - 1) + ")";
            case 5:
                return "(" + make(depth - 1) + ") and (" + make(depth - 1) + ")";
            default:
                return "(" + make(depth - 1) + ") or (" + make(depth - 1) + ")";
        }
    };
    for (int i = 0; i < 300; ++i) {
        const std::string text = make(4);
        EXPECT_TRUE(parse_filter(text)) << text << ": " << parsed(text);
        EXPECT_EQ(parsed(text), parsed(" ( " + text + " ) "));
    }
}

}  // namespace
}  // namespace datapunk::mesh::server
