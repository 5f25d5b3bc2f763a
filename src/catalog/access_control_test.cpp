#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "catalog/catalog.h"
#include "catalog/test_support.h"

namespace datapunk::mesh::catalog {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

std::string uuid(int n) {
    return "aaaaaaaa-0000-0000-0000-00000000000" + std::to_string(n);
}

class AccessControl : public testing::Test {
  public:
    Applied run(Command command) {
        auto applied = catalog.apply(std::move(command));
        EXPECT_TRUE(applied) << applied.error().what;
        return applied ? *std::move(applied) : Applied{};
    }

    std::string refusal(Command command, unsigned status) {
        const auto applied = catalog.apply(command);
        if (applied) return "accepted";
        EXPECT_EQ(http_status(command, applied.error()), status) << applied.error().what;
        return applied.error().what;
    }

    static SetAclToken token(int n, std::vector<std::string> policies = {}) {
        return {
            {.accessor = uuid(n),
             .secret = "secret-" + std::to_string(n),
             .policies = std::move(policies)},
            {}
        };
    }

    static SetAclPolicy policy(int n, std::string name) {
        return {{.id = uuid(n), .name = std::move(name), .rules = "operator = \"read\""}};
    }

    Catalog catalog;
};

TEST_F(AccessControl, BeginsWithTheBuiltinPoliciesAndTheAnonymousToken) {
    EXPECT_EQ(catalog.acl().policy(kManagementPolicy)->name, "global-management");
    EXPECT_EQ(catalog.acl().policy_named("builtin/global-read-only")->id, kReadOnlyPolicy);
    EXPECT_EQ(catalog.acl().token(kAnonymousAccessor)->secret, "anonymous");
    EXPECT_THAT(
        refusal(DeleteAclPolicy{std::string(kManagementPolicy)}, 500), HasSubstr("builtin")
    );
    SetAclPolicy change = policy(1, "other");
    change.policy.id = kReadOnlyPolicy;
    EXPECT_THAT(refusal(change, 500), HasSubstr("is not permitted"));
    EXPECT_THAT(
        refusal(DeleteAclToken{std::string(kAnonymousAccessor)}, 500), HasSubstr("anonymous token")
    );
}

TEST_F(AccessControl, IsBootstrappedOnce) {
    const BootstrapAcl first{token(1, {std::string(kManagementPolicy)}).token};
    const Applied applied = run(first);
    EXPECT_TRUE(applied.changed);
    EXPECT_EQ(catalog.acl().token(uuid(1))->index.created, applied.index);
    EXPECT_EQ(
        refusal(BootstrapAcl{token(2).token}, 403),
        "Permission denied: ACL bootstrap no longer allowed (reset index: " +
            std::to_string(applied.index) + ")"
    );
}

TEST_F(AccessControl, TokensAreReplacedAndKeepWhenTheyWereMade) {
    run(policy(9, "web"));
    SetAclToken made = token(1, {uuid(9)});
    made.token.created = 7s;
    const std::uint64_t created = run(made).index;
    SetAclToken changed = token(1);
    changed.token.description = "d";
    changed.token.created = 9s;
    const Applied applied = run(changed);
    const AclTokenRow& row = *catalog.acl().token(uuid(1));
    EXPECT_EQ(row.index, (RowIndex{created, applied.index}));
    EXPECT_EQ(row.created, 7s);
    EXPECT_TRUE(row.policies.empty());
    EXPECT_FALSE(run(changed).changed) << "the same again is no change";
    EXPECT_EQ(refusal(token(2, {uuid(8)}), 500), "No such ACL policy with ID \"" + uuid(8) + "\"");
    SetAclToken same_secret = token(2);
    same_secret.token.secret = "secret-1";
    EXPECT_EQ(refusal(same_secret, 500), "Invalid Token: SecretID is already in use");
    EXPECT_TRUE(run(DeleteAclToken{uuid(1)}).changed);
    EXPECT_FALSE(run(DeleteAclToken{uuid(1)}).changed);
}

TEST_F(AccessControl, AnExpiredTokenGoesWithTheNextThatComes) {
    SetAclToken brief = token(1);
    brief.token.expires = 10s;
    run(brief);
    SetAclToken next = token(2);
    next.now = 9s;
    run(next);
    EXPECT_NE(catalog.acl().token(uuid(1)), nullptr);
    next.now = 10s;
    run(next);
    EXPECT_EQ(catalog.acl().token(uuid(1)), nullptr);
}

TEST_F(AccessControl, TokensLoseAPolicyThatIsDeleted) {
    run(policy(8, "a"));
    run(policy(9, "b"));
    run(token(1, {uuid(8), uuid(9)}));
    run(DeleteAclPolicy{uuid(8)});
    EXPECT_THAT(catalog.acl().token(uuid(1))->policies, ElementsAre(uuid(9)));
    EXPECT_EQ(catalog.acl().token(uuid(1))->index.modified, catalog.index());
}

TEST_F(AccessControl, NamesOfPoliciesAreUnique) {
    run(policy(8, "web"));
    EXPECT_EQ(
        refusal(policy(9, "web"), 500), "Invalid Policy: A Policy with Name \"web\" already exists"
    );
    EXPECT_THAT(refusal(policy(9, "bad name"), 500), HasSubstr("Invalid Policy: invalid Name"));
    EXPECT_TRUE(run(policy(8, "renamed")).changed);
    EXPECT_TRUE(run(policy(9, "web")).changed);
}

TEST_F(AccessControl, QueriesHaveUniqueNamesToo) {
    const auto query = [](int n, std::string name) {
        return SetQuery{{.id = uuid(n), .name = std::move(name), .service = "web"}};
    };
    const Applied applied = run(query(1, "q"));
    EXPECT_THAT(applied.touched, ElementsAre(WatchKey{WatchTopic::queries, ""}));
    EXPECT_EQ(catalog.index_of({WatchTopic::queries, ""}), applied.index);
    EXPECT_EQ(catalog.queries().find("q"), catalog.queries().find(uuid(1)));
    EXPECT_EQ(refusal(query(2, "q"), 500), "name 'q' aliases an existing query name");
    EXPECT_EQ(
        refusal(query(2, uuid(1)), 500), "name '" + uuid(1) + "' aliases an existing query ID"
    );
    EXPECT_TRUE(run(query(2, "")).changed);
    EXPECT_TRUE(run(query(3, "")).changed) << "several may have no name";
    EXPECT_TRUE(run(DeleteQuery{uuid(1)}).changed);
    EXPECT_EQ(catalog.queries().find("q"), nullptr);
}

TEST_F(AccessControl, ASnapshotKeepsAll) {
    run(local_node());
    run(BootstrapAcl{token(1, {std::string(kManagementPolicy)}).token});
    run(policy(9, "web"));
    SetAclToken made = token(2, {uuid(9)});
    made.token.service_identities = {{"api", {}}};
    made.token.node_identities = {{"n1", "dc1"}};
    run(made);
    run(SetQuery{{.id = uuid(5), .name = "q", .service = "web", .tags = {"a"}}});
    const auto back = Catalog::decode_state(catalog.encode_state());
    ASSERT_TRUE(back) << back.error().what;
    EXPECT_EQ(back->acl().tokens(), catalog.acl().tokens());
    EXPECT_EQ(back->acl().policies(), catalog.acl().policies());
    EXPECT_EQ(back->acl().bootstrap_index(), catalog.acl().bootstrap_index());
    EXPECT_EQ(back->queries().rows(), catalog.queries().rows());
    EXPECT_EQ(back->index_of({WatchTopic::acl, ""}), catalog.index_of({WatchTopic::acl, ""}));
    EXPECT_EQ(back->encode_state(), catalog.encode_state());
}

}  // namespace
}  // namespace datapunk::mesh::catalog
