// A power cut: whatever was written after a file's last fsync may be gone, file by file. SQLite's
// own VFS, watched: at a random write the machine "loses power", and what a disk could still hold
// then is opened again. Every acknowledged record must be there.

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>

#include "core/rng.h"
#include "store/log_test_support.h"

namespace datapunk::mesh::store {
namespace {

struct Disk {
    std::mutex mutex;
    std::map<sqlite3_file*, std::string> names;  // of open files
    std::map<std::string, std::string> synced;   // by path: content at the last fsync
    std::uint64_t writes = 0;
    std::uint64_t cut_at = 0;  // the write that does not happen any more
    bool is_cut = false;
    std::map<std::string, std::string> left;  // what the cut leaves
    std::uint64_t acknowledged_at_cut = 0;
    core::Rng rng{1};
};

Disk* disk = nullptr;
std::atomic<std::uint64_t> acknowledged{0};
sqlite3_vfs* real_vfs = nullptr;
// SQLite's VFS has other methods for the database than for its WAL.
struct Methods {
    sqlite3_io_methods real;
    sqlite3_io_methods watched;
};

Methods of_database;
Methods of_wal;

const sqlite3_io_methods& real_of(const sqlite3_file* file) {
    return file->pMethods == &of_wal.watched ? of_wal.real : of_database.real;
}

void cut_power() {
    disk->is_cut = true;
    disk->acknowledged_at_cut = acknowledged;
    std::set<std::string> paths;
    for (const auto& [file, path] : disk->names) paths.insert(path);
    for (const std::string& path : paths) {
        // The kernel may have written everything back by itself, or nothing.
        const bool lucky = disk->rng.chance(0.5);
        const auto synced = disk->synced.find(path);
        if (lucky) {
            disk->left[path] = read_file(path);
        } else if (synced != disk->synced.end()) {
            disk->left[path] = synced->second;
        }
    }
}

int write_watched(sqlite3_file* file, const void* bytes, int count, sqlite3_int64 offset) {
    {
        const std::lock_guard lock(disk->mutex);
        if (!disk->is_cut && ++disk->writes == disk->cut_at) cut_power();
    }
    return real_of(file).xWrite(file, bytes, count, offset);
}

int sync_watched(sqlite3_file* file, int flags) {
    const int code = real_of(file).xSync(file, flags);
    const std::lock_guard lock(disk->mutex);
    const auto name = disk->names.find(file);
    if (code == SQLITE_OK && name != disk->names.end())
        disk->synced[name->second] = read_file(name->second);
    return code;
}

int close_watched(sqlite3_file* file) {
    {
        const std::lock_guard lock(disk->mutex);
        disk->names.erase(file);
    }
    return real_of(file).xClose(file);
}

int open_watched(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out_flags) {
    const int code = real_vfs->xOpen(real_vfs, name, file, flags, out_flags);
    if (code != SQLITE_OK || name == nullptr ||
        (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_DB)) == 0)
        return code;
    const std::lock_guard lock(disk->mutex);
    Methods& methods = (flags & SQLITE_OPEN_WAL) != 0 ? of_wal : of_database;
    methods.real = methods.watched = *file->pMethods;
    methods.watched.xWrite = write_watched;
    methods.watched.xSync = sync_watched;
    methods.watched.xClose = close_watched;
    file->pMethods = &methods.watched;
    disk->names[file] = name;
    return code;
}

class PowerCut : public testing::Test {
  public:
    PowerCut() {
        real_vfs = sqlite3_vfs_find(nullptr);
        shim_ = *real_vfs;
        shim_.zName = "power-cut";
        shim_.xOpen = open_watched;
        EXPECT_EQ(sqlite3_vfs_register(&shim_, 1), SQLITE_OK);
    }

    ~PowerCut() override {
        sqlite3_vfs_unregister(&shim_);
        sqlite3_vfs_register(real_vfs, 1);
        disk = nullptr;
    }

  private:
    sqlite3_vfs shim_{};
};

// Writes 200 records with several on their way at once and a snapshot on the way; loses power.
void lose_power_once(std::uint64_t seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    core::Rng rng(seed);
    Disk watched;
    watched.rng = rng.fork();
    watched.cut_at = 5 + rng.below(400);
    disk = &watched;
    acknowledged = 0;
    const TemporaryDirectory directory;
    const std::string path = directory.file("registry.db");
    {
        auto log = opened(path);
        ASSERT_NE(log, nullptr);
        ASSERT_TRUE(log->load().ok());
        for (int i = 1; i <= 200; ++i) {
            const Result<> taken =
                log->append({"record " + std::to_string(i)}, [](Result<std::uint64_t> seq) {
                    if (seq) acknowledged = *seq;
                });
            ASSERT_TRUE(taken.ok());
            if (rng.chance(0.3)) {
                ASSERT_TRUE(append_and_wait(*log, {"waited"}).ok());
            }
            if (i == 100) {
                ASSERT_TRUE(snapshot_and_wait(*log, "snapshot", acknowledged).ok());
            }
        }
    }
    if (!watched.is_cut) return;  // it had all been written before
    const TemporaryDirectory after;
    for (const auto& [name, bytes] : watched.left) {
        write_file(after.file(name.substr(name.rfind('/') + 1)), bytes);
    }
    if (watched.acknowledged_at_cut == 0 && !watched.left.contains(path))
        return;  // not even a file
    Disk quiet;
    disk = &quiet;
    const Result<StoredState> state = loaded(after.file("registry.db"));
    if (!state.ok() && watched.acknowledged_at_cut == 0)
        return;  // cut while the file was being made
    ASSERT_TRUE(state.ok()) << state.error().what;
    std::uint64_t last = state->snapshot ? state->snapshot->up_to_seq : 0;
    for (const StoredEntry& entry : state->entries) {
        EXPECT_EQ(entry.seq, last + 1) << "no gap";
        last = entry.seq;
    }
    EXPECT_GE(last, watched.acknowledged_at_cut) << "acknowledged records are lost";
}

TEST_F(PowerCut, LosesNoAcknowledgedRecord) {
    for (std::uint64_t seed = 1; seed <= 60; ++seed) {
        lose_power_once(seed);
        if (HasFatalFailure()) return;
    }
}

}  // namespace
}  // namespace datapunk::mesh::store
