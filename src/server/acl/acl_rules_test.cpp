#include "server/acl/acl_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/acl/authorizer.h"

namespace datapunk::mesh::server {
namespace {

using testing::HasSubstr;

AclRules parsed(std::string_view text) {
    auto rules = parse_acl_rules(text);
    EXPECT_TRUE(rules) << text << ": " << rules.error().what;
    return rules ? *std::move(rules) : AclRules{};
}

std::string refusal(std::string_view text) {
    const auto rules = parse_acl_rules(text);
    return rules ? "accepted" : rules.error().what;
}

TEST(AclRulesTest, ReadsHclAndJsonAlike) {
    const AclRules hcl = parsed(R"(
        # a comment
        service "web" { policy = "write" }  // another
        service_prefix "" { policy = "read" intentions = "deny" }
        key_prefix "cfg/" { policy = "list" }
        key "cfg/secret" { policy = "deny" } /* and
        one more */
        operator = "read"
        acl = "write"
    )");
    const AclRules json = parsed(R"({
        "service": {"web": {"policy": "write"}},
        "service_prefix": {"": {"policy": "read", "intentions": "deny"}},
        "key_prefix": [{"cfg\/": {"policy": "list"}}],
        "key": {"cfg/secret": {"policy": "deny"}},
        "operator": "read", "acl": "write"
    })");
    EXPECT_EQ(hcl, json);
    EXPECT_EQ(hcl.of(Resource::service).exact.at("web"), Grant::write);
    EXPECT_EQ(hcl.of(Resource::service).prefix.at(""), Grant::read);
    EXPECT_EQ(hcl.of(Resource::key).prefix.at("cfg/"), Grant::list);
    EXPECT_EQ(hcl.of(Resource::key).exact.at("cfg/secret"), Grant::deny);
    EXPECT_EQ(hcl.of(Resource::operators).all, Grant::read);
    EXPECT_EQ(parsed(""), AclRules{});
    EXPECT_EQ(
        parsed(
            R"(service "web" { policy = "write" } node_prefix "" { policy = "read" } key_prefix "cfg/" { policy = "read" } session_prefix "" { policy="write" })"
        )
            .of(Resource::session)
            .prefix.at(""),
        Grant::write
    );
    const AclRules quoted =
        parsed(R"("service" "a" { "policy" = "read" }, service "b" {policy = "deny"})");
    EXPECT_EQ(quoted.of(Resource::service).exact.size(), 2U);
}

TEST(AclRulesTest, RefusesWhatItCannotEnforce) {
    EXPECT_EQ(
        refusal("bogus {"),
        "Failed to parse ACL rules: At 1:9: object expected closing RBRACE got: EOF"
    );
    EXPECT_THAT(refusal(R"(servce "web" { policy = "read" })"), HasSubstr("\"servce\""));
    EXPECT_THAT(refusal(R"(service "web" { polcy = "read" })"), HasSubstr("\"polcy\""));
    EXPECT_THAT(refusal(R"(namespace "n" { acl = "read" })"), HasSubstr("\"namespace\""));
    EXPECT_THAT(refusal(R"(operator_prefix "" { policy = "read" })"), HasSubstr("operator_prefix"));
    EXPECT_THAT(
        refusal(R"(service "web" { policy = "list" })"), HasSubstr("Invalid service policy")
    );
    EXPECT_THAT(refusal(R"(service "web" { })"), HasSubstr("Invalid service policy"));
    EXPECT_THAT(refusal(R"(operator = "sudo")"), HasSubstr("Invalid operator policy"));
    EXPECT_THAT(refusal(R"(service = "write")"), HasSubstr("must name what it is for"));
    EXPECT_THAT(refusal(R"({"service": {"a": "write"}})"), HasSubstr("Invalid service policy"));
    EXPECT_THAT(refusal(R"(service "a { policy = "read" })"), HasSubstr("At 1:"));
    EXPECT_THAT(refusal("/* never ends"), HasSubstr("comment not terminated"));
    EXPECT_THAT(refusal("a = " + std::string(100, '[')), HasSubstr("nested too deeply"));
    EXPECT_THAT(refusal(std::string(kRulesBytesMax + 1, ' ')), HasSubstr("longer than"));
    EXPECT_NE(refusal("service \"a\" { policy = <<EOF\nread\nEOF\n}"), "accepted");
}

// A second rule for a name must not be lost, however it is written.
TEST(AclRulesTest, ANameThatComesTwiceIsDeniedIfOneDenies) {
    for (const char* text :
         {R"(service "a" { policy = "deny" } service "a" { policy = "write" })",
          R"({"service": {"a": {"policy": "deny"}}, "service": {"a": {"policy": "write"}}})",
          R"({"service": [{"a": {"policy": "write"}}, {"a": {"policy": "deny"}}]})"}) {
        EXPECT_EQ(parsed(text).of(Resource::service).exact.at("a"), Grant::deny) << text;
    }
    AclRules both = parsed(R"(service "a" { policy = "write" } operator = "write")");
    both.add(parsed(R"(service "a" { policy = "deny" } operator = "read")"));
    EXPECT_EQ(both.of(Resource::service).exact.at("a"), Grant::deny);
    EXPECT_EQ(both.of(Resource::operators).all, Grant::write);
}

TEST(AuthorizerTest, TheExactRuleThenTheLongestPrefixThenTheDefault) {
    const AclRules rules = parsed(R"(
        key_prefix "" { policy = "read" }
        key_prefix "a/" { policy = "write" }
        key_prefix "a/b/" { policy = "deny" }
        key "a/b/open" { policy = "write" }
        key_prefix "l/" { policy = "list" }
        service "web" { policy = "write" }
    )");
    const Authorizer denies(rules, false);
    EXPECT_TRUE(denies.may(Resource::key, Verb::read, "x"));
    EXPECT_FALSE(denies.may(Resource::key, Verb::write, "x"));
    EXPECT_FALSE(denies.may(Resource::key, Verb::list, "x"));
    EXPECT_TRUE(denies.may(Resource::key, Verb::write, "a/x"));
    EXPECT_FALSE(denies.may(Resource::key, Verb::read, "a/b/x"));
    EXPECT_TRUE(denies.may(Resource::key, Verb::write, "a/b/open"));
    EXPECT_TRUE(denies.may(Resource::key, Verb::list, "l/x"));
    EXPECT_FALSE(denies.may(Resource::key, Verb::write, "l/x"));
    EXPECT_TRUE(denies.may(Resource::service, Verb::read, "web"));
    EXPECT_FALSE(denies.may(Resource::service, Verb::read, "web2"));
    EXPECT_FALSE(denies.may(Resource::node, Verb::read, "n"));

    const Authorizer allows(rules, true);
    EXPECT_FALSE(allows.may(Resource::key, Verb::read, "a/b/x")) << "a rule stands before it";
    EXPECT_TRUE(allows.may(Resource::node, Verb::write, "n"));
    EXPECT_FALSE(allows.may(Resource::acl, Verb::read)) << "never by default";
    EXPECT_TRUE(Authorizer::all().may(Resource::acl, Verb::write));
}

TEST(AuthorizerTest, ATreeNeedsWriteForAllOfIt) {
    const Authorizer a(
        parsed(R"(
            key_prefix "a/" { policy = "write" }
            key "a/b/locked" { policy = "read" }
            key_prefix "c/" { policy = "write" }
            key_prefix "c/d/" { policy = "deny" }
        )"),
        false
    );
    EXPECT_FALSE(a.may_write_all(Resource::key, "a/"));
    EXPECT_FALSE(a.may_write_all(Resource::key, "a/b/"));
    EXPECT_TRUE(a.may_write_all(Resource::key, "a/c/"));
    EXPECT_FALSE(a.may_write_all(Resource::key, "c/"));
    EXPECT_TRUE(a.may_write_all(Resource::key, "c/e/"));
    EXPECT_FALSE(a.may_write_all(Resource::key, "x/"));
    EXPECT_FALSE(a.may_write_all(Resource::key, ""));
    EXPECT_TRUE(Authorizer({}, true).may_write_all(Resource::key, ""));
}

}  // namespace
}  // namespace datapunk::mesh::server
