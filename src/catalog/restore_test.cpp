// RestoreState: the state of a backup in place of what is there, and an index that only rises.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "catalog/catalog.h"
#include "catalog/test_support.h"

namespace datapunk::mesh::catalog {
namespace {

using testing::HasSubstr;

KvPut put(std::string key, std::string value) {
    return {.key = std::move(key), .value = std::move(value)};
}

class RestoreTest : public testing::Test {
  public:
    RestoreTest() {
        apply(local_node());
        apply(with_check(web("w1"), ttl_check("c1")));
        apply(put("a/kept", "old"));
        apply(put("a/changed", "old"));
        backup_ = catalog_.encode_state();
        index_then_ = catalog_.index();
        apply(web("w2"));
        apply(DeregisterService{"w1"});
        apply(put("a/changed", "new"));
        apply(put("a/added", "new"));
        apply(KvDelete{.key = "a/kept"});
    }

    Applied apply(Command command) {
        Result<Applied> applied = catalog_.apply(std::move(command));
        EXPECT_TRUE(applied.ok()) << applied.error().what;
        return applied.ok() ? *std::move(applied) : Applied{};
    }

    Catalog catalog_;
    std::string backup_;
    std::uint64_t index_then_ = 0;
};

TEST_F(RestoreTest, WhatWasThenIsThereAndNothingElse) {
    const Applied applied = apply(RestoreState{backup_});
    EXPECT_TRUE(applied.restored);
    EXPECT_THAT(applied.local_checks, testing::Contains("c1"));
    EXPECT_NE(catalog_.agent_service("w1"), nullptr);
    EXPECT_EQ(catalog_.agent_service("w2"), nullptr);
    EXPECT_EQ(catalog_.kv_get("a/kept").data->value, "old");
    EXPECT_EQ(catalog_.kv_get("a/changed").data->value, "old");
    EXPECT_EQ(catalog_.kv_get("a/added").data, nullptr);
}

TEST_F(RestoreTest, NoIndexThatAQueryAnswersGoesBack) {
    const WatchKey keys[] = {
        {WatchTopic::services, ""},
        {WatchTopic::nodes, ""},
        {WatchTopic::service, "web"},
        {WatchTopic::service, "never"},
        {WatchTopic::health_service, "web"},
        {WatchTopic::health_checks, "web"},
        {WatchTopic::health_state, "any"},
        {WatchTopic::health_node, "ref1"},
        {WatchTopic::node, "ref1"},
        {WatchTopic::node, "never"},
        {WatchTopic::kv_key, "a/kept"},
        {WatchTopic::kv_key, "a/changed"},
        {WatchTopic::kv_key, "a/added"},
        {WatchTopic::kv_prefix, "a/"},
        {WatchTopic::kv_prefix, "never/"},
        {WatchTopic::events, ""},
    };
    const std::uint64_t before = catalog_.index();
    const Applied applied = apply(RestoreState{backup_});
    EXPECT_EQ(applied.index, before + 1);
    for (const WatchKey& key : keys) {
        EXPECT_EQ(catalog_.index_of(key), before + 1)
            << "topic " << static_cast<int>(key.topic) << " " << key.name;
    }
    // A client's compare-and-set from before fails, whatever it has seen.
    for (std::uint64_t seen = 1; seen <= before; ++seen) {
        KvPut late = put("a/changed", "late");
        late.cas = seen;
        EXPECT_FALSE(apply(late).accepted) << seen;
    }
}

TEST_F(RestoreTest, ABackupFromTheFutureRaisesTheIndexAboveItself) {
    Catalog fresh;
    ASSERT_TRUE(fresh.apply(local_node()).ok());
    ASSERT_LT(fresh.index(), index_then_);
    ASSERT_TRUE(fresh.apply(RestoreState{backup_}).ok());
    EXPECT_EQ(fresh.index(), index_then_ + 1);
}

TEST_F(RestoreTest, TheSameBackupTwiceGivesTheSameStateButForTheIndex) {
    apply(RestoreState{backup_});
    const std::uint64_t first = catalog_.index();
    const std::string state = catalog_.encode_state();
    Result<Catalog> decoded = Catalog::decode_state(state);
    ASSERT_TRUE(decoded.ok());
    EXPECT_EQ(decoded->encode_state(), state);
    apply(RestoreState{backup_});
    EXPECT_EQ(catalog_.index(), first + 1);
}

TEST_F(RestoreTest, RefusesWhatItCannotReadAndAnotherNodesState) {
    const std::string before = catalog_.encode_state();
    for (std::size_t size = 0; size < backup_.size(); size += 7) {
        EXPECT_FALSE(catalog_.apply(RestoreState{backup_.substr(0, size)}).ok()) << size;
    }
    Catalog other;
    SetLocalNode node = local_node();
    node.node.name = "other";
    ASSERT_TRUE(other.apply(node).ok());
    const Result<Applied> refused = catalog_.apply(RestoreState{other.encode_state()});
    ASSERT_FALSE(refused.ok());
    EXPECT_THAT(refused.error().what, HasSubstr("is of node \"other\", this is node \"ref1\""));
    EXPECT_EQ(catalog_.encode_state(), before);
}

TEST_F(RestoreTest, IsACommandLikeAnyOther) {
    const Command command = RestoreState{backup_};
    const Result<Command> read = decode_command(encode(command));
    ASSERT_TRUE(read.ok());
    EXPECT_EQ(*read, command);
}

}  // namespace
}  // namespace datapunk::mesh::catalog
