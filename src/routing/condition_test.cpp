#include "routing/condition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace datapunk::mesh::routing {
namespace {

using testing::HasSubstr;
using wire::http1::Field;

bool by_fields(const ValueMatch& match, const std::vector<Field>& fields) {
    return Condition::create(match).value().is_met_by_fields(fields);
}

bool by_query(const ValueMatch& match, std::string_view query) {
    return Condition::create(match).value().is_met_by_query(query);
}

TEST(Condition, OfAHeaderComparesNamesInAnyCaseAndValuesAsTheyAre) {
    const std::vector<Field> fields = {{"X-Beta", "one"}, {"x-beta", "two"}, {"Empty", ""}};
    EXPECT_TRUE(by_fields({.name = "x-BETA"}, fields));
    EXPECT_TRUE(by_fields({.name = "x-beta", .exact = "two"}, fields)) << "any of them";
    EXPECT_FALSE(by_fields({.name = "x-beta", .exact = "Two"}, fields));
    EXPECT_TRUE(by_fields({.name = "x-beta", .prefix = "tw"}, fields));
    EXPECT_FALSE(by_fields({.name = "x-beta", .prefix = "twos"}, fields));
    EXPECT_TRUE(by_fields({.name = "x-beta", .regex = "t.o|three"}, fields));
    EXPECT_FALSE(by_fields({.name = "x-beta", .regex = "t"}, fields)) << "the whole value";
    EXPECT_TRUE(by_fields({.name = "empty", .exact = ""}, fields));
    EXPECT_FALSE(by_fields({.name = "none", .exact = ""}, fields));
}

TEST(Condition, ThatThereIsNoneHoldsOnlyThen) {
    const std::vector<Field> fields = {{"X-Beta", ""}};
    EXPECT_FALSE(by_fields({.name = "x-beta", .present = false}, fields));
    EXPECT_TRUE(by_fields({.name = "x-team", .present = false}, fields));
    EXPECT_FALSE(by_query({.name = "a", .present = false}, "b=1&a"));
    EXPECT_TRUE(by_query({.name = "a", .present = false}, "b=1&A=2"));
    EXPECT_TRUE(by_query({.name = "a", .present = false}, ""));
}

TEST(Condition, OfAParameterComparesDecoded) {
    EXPECT_TRUE(by_query({.name = "q", .exact = "a b&c"}, "x=1&q=a+b%26c"));
    EXPECT_TRUE(by_query({.name = "q", .exact = "a b"}, "%71=a%20b"));
    EXPECT_FALSE(by_query({.name = "q", .exact = "a"}, "q=ab"));
    EXPECT_FALSE(by_query({.name = "q", .exact = "ab"}, "q=a"));
    EXPECT_TRUE(by_query({.name = "q", .exact = "2"}, "q=1&q=2")) << "any of them";
    EXPECT_TRUE(by_query({.name = "q", .prefix = "a "}, "q=a+b"));
    EXPECT_TRUE(by_query({.name = "q", .regex = "[ab ]+"}, "q=a+%62"));
    EXPECT_FALSE(by_query({.name = "q", .regex = "[ab]+"}, "q=a+b"));
    EXPECT_TRUE(by_query({.name = "q"}, "q"));
    EXPECT_TRUE(by_query({.name = "q", .exact = ""}, "q"));
    EXPECT_TRUE(by_query({.name = "q", .exact = "a=b"}, "q=a=b"));
    EXPECT_FALSE(by_query({.name = "q"}, "qq=1&=q"));
}

TEST(Condition, AnEscapeThatIsNoneStandsForItself) {
    for (const std::string_view bad : {"%", "%4", "%zz", "%4g"}) {
        EXPECT_TRUE(by_query({.name = "q", .exact = std::string(bad)}, "q=" + std::string(bad)));
    }
}

TEST(Condition, TheExactTextCannotBeHadByAPercentSignThatWasDecodedTwice) {
    EXPECT_FALSE(by_query({.name = "q", .exact = "A"}, "q=%2541"));
    EXPECT_TRUE(by_query({.name = "q", .exact = "%41"}, "q=%2541"));
}

TEST(Condition, WantsOneKindOfComparison) {
    const auto problem = [](const ValueMatch& match) {
        const auto made = Condition::create(match);
        return made ? "" : made.error().what;
    };
    EXPECT_EQ(problem({.name = "a"}), "");
    EXPECT_THAT(problem({.name = "a", .exact = "", .prefix = ""}), HasSubstr("one of"));
    EXPECT_THAT(problem({.name = "a", .exact = "", .present = false}), HasSubstr("present: false"));
    EXPECT_THAT(problem({.name = "a", .regex = "("}), HasSubstr("missing )"));
}

}  // namespace
}  // namespace datapunk::mesh::routing
