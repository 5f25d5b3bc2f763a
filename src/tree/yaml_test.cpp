#include "tree/yaml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace datapunk::mesh::tree {
namespace {

using ::testing::HasSubstr;

std::string refused(std::string_view text) {
    std::vector<Problem> problems;
    parse_yaml("a.yaml", text, problems);
    return render_problems(problems);
}

Tree accepted(std::string_view text) {
    std::vector<Problem> problems;
    Tree tree = parse_yaml("a.yaml", text, problems);
    EXPECT_EQ(render_problems(problems), "");
    return tree;
}

TEST(ParseYaml, KeepsTextsAsWrittenWithTheirPlaces) {
    const Tree tree =
        accepted("a: 010\nb:\n  - yes\n  - \"x y\"\n  - {c: 1.50}\nd:\ne: ~\nf: ''\n");
    ASSERT_EQ(tree.kind, Tree::Kind::map);
    EXPECT_EQ(tree.find("a")->text, "010");
    EXPECT_EQ(tree.find("a")->place.line, 1);
    EXPECT_EQ(tree.find("a")->place.column, 4);
    const Tree& list = *tree.find("b");
    ASSERT_EQ(list.list.size(), 3U);
    EXPECT_EQ(list.list[0].text, "yes");
    EXPECT_EQ(list.list[1].text, "x y");
    EXPECT_EQ(list.list[2].find("c")->text, "1.50");
    EXPECT_EQ(list.list[2].find("c")->place.text(), "a.yaml:5");
    EXPECT_EQ(tree.find("d")->kind, Tree::Kind::null);
    EXPECT_EQ(tree.find("e")->kind, Tree::Kind::null);
    EXPECT_EQ(tree.find("f")->kind, Tree::Kind::scalar);
}

TEST(ParseYaml, AnEmptyFileIsNothing) {
    EXPECT_EQ(accepted("").kind, Tree::Kind::null);
    EXPECT_EQ(accepted("# only a comment\n").kind, Tree::Kind::null);
    EXPECT_EQ(accepted("---\n").kind, Tree::Kind::null);
}

TEST(ParseYaml, RefusesDuplicateKeysAndSaysWhereTheFirstIs) {
    EXPECT_THAT(
        refused("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\na: 2\n"),
        HasSubstr("a.yaml:5:3: \"c\" is here twice: first on line 3\n"
                  "  a.yaml:6:1: \"a\" is here twice: first on line 1\n")
    );
}

TEST(ParseYaml, RefusesAnchorsAliasesAndTags) {
    EXPECT_THAT(refused("a: &x 1\n"), HasSubstr("anchors (&name) are not supported"));
    EXPECT_THAT(refused("a: &x {b: 1}\n"), HasSubstr("anchors (&name) are not supported"));
    EXPECT_THAT(refused("a: &x 1\nb: *x\n"), HasSubstr("a.yaml:2:4: aliases (*name) are not"));
    EXPECT_THAT(refused("a: !!int 1\n"), HasSubstr("tags are not supported"));
    EXPECT_THAT(refused("a: !mine {b: 1}\n"), HasSubstr("tags are not supported"));
}

TEST(ParseYaml, RefusesAnAliasBombWithoutExpandingIt) {
    std::string bomb = "a0: &a0 [x]\n";
    for (int i = 1; i < 40; ++i) {
        bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [*a" +
                std::to_string(i - 1) + ", *a" + std::to_string(i - 1) + "]\n";
    }
    EXPECT_THAT(refused(bomb), HasSubstr("aliases (*name) are not supported"));
}

TEST(ParseYaml, RefusesWhatIsNestedTooDeep) {
    const auto nested = [](std::size_t depth) {
        return std::string(depth, '[') + std::string(depth, ']');
    };
    accepted(nested(kDepthMax));
    EXPECT_THAT(refused(nested(kDepthMax + 1)), HasSubstr("nested more than 32 deep"));
    EXPECT_NE(refused(nested(20'000)), "");
}

TEST(ParseYaml, RefusesTooManyValues) {
    const auto many = [](std::size_t count) {
        std::string text = "[";
        for (std::size_t i = 0; i < count; ++i) text += "1,\n";
        return text + "]";
    };
    accepted(many(kNodesMax - 1));  // the list itself is one
    EXPECT_THAT(refused(many(kNodesMax)), HasSubstr("more than 100000 values"));
}

TEST(ParseYaml, RefusesLargeFiles) {
    std::string text(kFileBytesMax, '#');
    accepted(text);
    text += '#';
    EXPECT_THAT(refused(text), HasSubstr("larger than 4 MiB"));
}

TEST(ParseYaml, RefusesASecondDocument) {
    EXPECT_THAT(refused("a: 1\n---\nb: 2\n"), HasSubstr("a second document begins here"));
}

TEST(ParseYaml, RefusesKeysThatAreNotText) {
    EXPECT_THAT(refused("? [a]\n: 1\n"), HasSubstr("a key must be text"));
    EXPECT_THAT(refused("? {a: 1}\n: 1\n"), HasSubstr("a key must be text"));
    EXPECT_THAT(refused("~: 1\n"), HasSubstr("a key must be text"));
}

TEST(ParseYaml, RefusesControlCharactersThatWouldHideTheRest) {
    EXPECT_THAT(
        refused(std::string_view("a: 1\nb: \x04\nc: 2\n")),
        HasSubstr("a.yaml:2:4: control character 0x04")
    );
    EXPECT_THAT(refused(std::string_view("a: \0", 4)), HasSubstr("control character 0x00"));
}

TEST(ParseYaml, SaysWhereTheSyntaxIsWrong) {
    EXPECT_THAT(refused("a: [1, 2\nb: 3\n"), HasSubstr("a.yaml:2:"));
    EXPECT_THAT(refused("a: 1\n\tb: 2\n"), HasSubstr("not YAML: "));
}

}  // namespace
}  // namespace datapunk::mesh::tree
