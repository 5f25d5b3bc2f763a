// The backup file: complete, or refused.

#include "registry/embedded/backup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "catalog/test_support.h"

namespace datapunk::mesh::registry::embedded {
namespace {

class BackupTest : public testing::Test {
  public:
    BackupTest() {
        apply(catalog::local_node());
        apply(catalog::with_check(catalog::web("w1"), catalog::ttl_check("c1")));
        apply(catalog::web("w2"));
        apply(catalog::KvPut{.key = "k", .value = std::string("v\0\n", 3)});
        bytes_ = encode_backup(catalog_, WallTime() + std::chrono::hours(24));
    }

    void apply(catalog::Command command) { ASSERT_TRUE(catalog_.apply(std::move(command)).ok()); }

    catalog::Catalog catalog_;
    std::string bytes_;
};

TEST_F(BackupTest, SaysWhatItHoldsAndGivesItBack) {
    const Result<Backup> backup = decode_backup(bytes_);
    ASSERT_TRUE(backup.ok()) << backup.error().what;
    EXPECT_EQ(backup->state, catalog_.encode_state());
    EXPECT_EQ(backup->head.created, "1970-01-02T00:00:00.000Z");
    EXPECT_EQ(backup->head.node, "ref1");
    EXPECT_EQ(backup->head.index, catalog_.index());
    EXPECT_EQ(backup->head.nodes, 1U);
    EXPECT_EQ(backup->head.services, 1U);
    EXPECT_EQ(backup->head.instances, 2U);
    EXPECT_EQ(backup->head.keys, 1U);
    EXPECT_EQ(backup->head.sessions, 0U);
    EXPECT_EQ(backup->head.state_bytes, backup->state.size());
}

TEST_F(BackupTest, EveryFlippedBitIsNoticed) {
    for (std::size_t at = 0; at < bytes_.size(); ++at) {
        for (int bit = 0; bit < 8; ++bit) {
            std::string bad = bytes_;
            bad[at] = static_cast<char>(bad[at] ^ (1 << bit));
            ASSERT_FALSE(decode_backup(bad).ok()) << "byte " << at << " bit " << bit;
        }
    }
}

TEST_F(BackupTest, ACutOrLongerOneIsRefused) {
    for (std::size_t size = 0; size < bytes_.size(); ++size) {
        ASSERT_FALSE(decode_backup(bytes_.substr(0, size)).ok()) << size;
    }
    EXPECT_FALSE(decode_backup(bytes_ + "x").ok());
    EXPECT_FALSE(decode_backup(bytes_ + bytes_).ok());
}

}  // namespace
}  // namespace datapunk::mesh::registry::embedded
