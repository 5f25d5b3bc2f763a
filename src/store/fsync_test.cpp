// A disk whose fsync of the WAL fails.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "store/log_test_support.h"
#include "store/test_failing_sync.h"

namespace datapunk::mesh::store {
namespace {

TEST(FsyncTest, AfterAFailedFsyncNothingIsAcknowledgedUntilARestart) {
    FailingSync disk;
    const TemporaryDirectory directory;
    const std::string path = directory.file("registry.db");
    auto log = opened(path);
    EXPECT_TRUE(log->load().ok());
    EXPECT_EQ(*append_and_wait(*log, {"before"}), 1U);
    disk.set(true);
    const Result<std::uint64_t> lost = append_and_wait(*log, {"lost"});
    disk.set(false);
    const Result<std::uint64_t> later = append_and_wait(*log, {"later"});
    const Result<> snapshot = snapshot_and_wait(*log, "s", 1);
    log.reset();
    const Result<StoredState> state = loaded(path);

    ASSERT_FALSE(lost.ok());
    EXPECT_FALSE(lost.error().retryable);
    EXPECT_THAT(lost.error().what, testing::HasSubstr("until a restart has checked the file"));
    ASSERT_FALSE(later.ok());
    EXPECT_EQ(later.error(), lost.error());
    EXPECT_FALSE(snapshot.ok());
    ASSERT_TRUE(state.ok()) << state.error().what;
    EXPECT_EQ(state->entries.front(), (StoredEntry{1, "before"}));
}

}  // namespace
}  // namespace datapunk::mesh::store
