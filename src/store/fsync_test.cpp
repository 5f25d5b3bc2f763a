// A disk whose fsync of the WAL fails: SQLite's own VFS with another xSync.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <atomic>

#include "store/log_test_support.h"

namespace datapunk::mesh::store {
namespace {

std::atomic<bool> sync_fails{false};
sqlite3_vfs* real_vfs = nullptr;
sqlite3_io_methods real_methods;
sqlite3_io_methods failing_methods;

int sync_or_fail(sqlite3_file* file, int flags) {
    return sync_fails ? SQLITE_IOERR_FSYNC : real_methods.xSync(file, flags);
}

int open_with_failing_sync(
    sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out_flags
) {
    const int code = real_vfs->xOpen(real_vfs, name, file, flags, out_flags);
    if (file->pMethods == nullptr || (flags & SQLITE_OPEN_WAL) == 0) return code;
    real_methods = failing_methods = *file->pMethods;
    failing_methods.xSync = sync_or_fail;
    file->pMethods = &failing_methods;
    return code;
}

TEST(FsyncTest, AfterAFailedFsyncNothingIsAcknowledgedUntilARestart) {
    real_vfs = sqlite3_vfs_find(nullptr);
    sqlite3_vfs shim = *real_vfs;
    shim.zName = "failing-sync";
    shim.xOpen = open_with_failing_sync;
    ASSERT_EQ(sqlite3_vfs_register(&shim, 1), SQLITE_OK);
    const TemporaryDirectory directory;
    const std::string path = directory.file("registry.db");
    auto log = opened(path);
    EXPECT_TRUE(log->load().ok());
    EXPECT_EQ(*append_and_wait(*log, {"before"}), 1U);
    sync_fails = true;
    const Result<std::uint64_t> lost = append_and_wait(*log, {"lost"});
    sync_fails = false;
    const Result<std::uint64_t> later = append_and_wait(*log, {"later"});
    const Result<> snapshot = snapshot_and_wait(*log, "s", 1);
    log.reset();
    const Result<StoredState> state = loaded(path);
    sqlite3_vfs_unregister(&shim);
    sqlite3_vfs_register(real_vfs, 1);

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
