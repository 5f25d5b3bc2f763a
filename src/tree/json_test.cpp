#include "tree/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tree/yaml.h"

namespace datapunk::mesh::tree {
namespace {

using ::testing::HasSubstr;

std::string refused(std::string_view text) {
    std::vector<Problem> problems;
    parse_json("a.json", text, problems);
    return render_problems(problems);
}

TEST(ParseJson, KeepsTextsAsWritten) {
    std::vector<Problem> problems;
    const Tree tree = parse_json(
        "a.json",
        "{\"a\":\t10, \"b\": [\"yes\", 1.50, true, null, -3], \"c\": {\"d\": \"\\u00fc\\/\"}}",
        problems
    );
    EXPECT_EQ(render_problems(problems), "");
    ASSERT_EQ(tree.kind, Tree::Kind::map);
    EXPECT_EQ(tree.find("a")->text, "10");
    EXPECT_TRUE(tree.find("a")->is_bare);
    const auto& list = tree.find("b")->list;
    ASSERT_EQ(list.size(), 5U);
    EXPECT_EQ(list[0].text, "yes");
    EXPECT_FALSE(list[0].is_bare);
    EXPECT_EQ(list[1].text, "1.50");
    EXPECT_EQ(list[2].text, "true");
    EXPECT_EQ(list[3].kind, Tree::Kind::null);
    EXPECT_EQ(list[4].text, "-3");
    EXPECT_EQ(tree.find("c")->find("d")->text, "ü/");
    EXPECT_EQ(tree.find("a")->place.text(), "a.json");
}

TEST(ParseJson, SaysWhereItStopsBeingJson) {
    EXPECT_THAT(refused("{\n  \"a\": 1,\n}"), HasSubstr("a.json: not JSON: parse error at line 3"));
    EXPECT_THAT(refused(""), HasSubstr("not JSON"));
    EXPECT_THAT(refused("{} {}"), HasSubstr("not JSON"));
    EXPECT_THAT(refused("[1, 2"), HasSubstr("not JSON"));
}

TEST(ParseJson, RefusesWhatTwoReadersCouldReadDifferently) {
    EXPECT_THAT(refused(R"({"a": 1, "b": 2, "a": 3})"), HasSubstr("\"a\" is here twice"));
}

TEST(ParseJson, HasLimits) {
    const auto nested = [](std::size_t depth) {
        return std::string(depth, '[') + std::string(depth, ']');
    };
    EXPECT_EQ(refused(nested(kDepthMax)), "");
    EXPECT_THAT(refused(nested(kDepthMax + 1)), HasSubstr("nested more than 32 deep"));
    EXPECT_THAT(refused(std::string(1'000'000, '[')), HasSubstr("nested more than"));
    const auto list = [](std::size_t values) {
        std::string text = "[0";
        for (std::size_t i = 2; i < values; ++i) text += ",0";
        return text + "]";
    };
    EXPECT_EQ(refused(list(kNodesMax)), "");
    EXPECT_THAT(refused(list(kNodesMax + 1)), HasSubstr("more than 100000 values"));
    EXPECT_THAT(refused(std::string(kFileBytesMax + 1, ' ')), HasSubstr("larger than 4 MiB"));
}

}  // namespace
}  // namespace datapunk::mesh::tree
