#include "routing/pattern.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace datapunk::mesh::routing {
namespace {

using testing::HasSubstr;

std::string problem(std::string_view expression) {
    const auto pattern = Pattern::create(expression);
    return pattern ? "" : pattern.error().what;
}

TEST(Pattern, MustMatchTheWholeText) {
    const Pattern pattern = Pattern::create("/v[0-9]+/users").value();
    EXPECT_TRUE(pattern.matches("/v12/users"));
    EXPECT_FALSE(pattern.matches("/v12/users/"));
    EXPECT_FALSE(pattern.matches("x/v12/users"));
    EXPECT_FALSE(pattern.matches("/v/users"));
    EXPECT_FALSE(Pattern().matches(""));
    EXPECT_TRUE(Pattern::create("a|b").value().matches("b"));
    EXPECT_FALSE(Pattern::create("a|b").value().matches("ab"));
}

TEST(Pattern, ReadsBytesAndNotCharacters) {
    const Pattern any = Pattern::create("a.*z").value();
    EXPECT_TRUE(any.matches("a\xff\xfe\nz"));
    EXPECT_TRUE(Pattern::create("caf\xc3\xa9").value().matches("caf\xc3\xa9"));
    EXPECT_FALSE(Pattern::create("caf.").value().matches("caf\xc3\xa9")) << "two bytes";
}

TEST(Pattern, IsRefusedWhenItIsNoneOrCostsTooMuch) {
    EXPECT_THAT(problem(""), HasSubstr("empty"));
    EXPECT_THAT(problem("a("), HasSubstr("missing )"));
    EXPECT_THAT(problem("(a)\\1"), HasSubstr("invalid escape")) << "no back references";
    EXPECT_THAT(problem("(?=a)"), HasSubstr("invalid perl operator"));
    EXPECT_EQ(problem(std::string(Pattern::kBytesMax, 'a')), "");
    EXPECT_THAT(problem(std::string(Pattern::kBytesMax + 1, 'a')), HasSubstr("more than 1024"));
    EXPECT_THAT(problem("(a{40}){25}b{999}c{999}"), HasSubstr("more than 2000 steps"));
    EXPECT_NE(problem("((a{100}){100}){100}"), "");
}

// An engine that backtracks would not end; here it is a walk over the text.
TEST(Pattern, TextsMadeToBacktrackCostAWalk) {
    const Pattern pattern = Pattern::create("(a*)*(a|aa)*b").value();
    EXPECT_FALSE(pattern.matches(std::string(60'000, 'a')));
    EXPECT_TRUE(pattern.matches(std::string(60'000, 'a') + "b"));
}

}  // namespace
}  // namespace datapunk::mesh::routing
