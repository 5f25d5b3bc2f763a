#pragma once

// Where a process dies: at its nth call of the disk, counted from die_at(), in the middle of the
// write or just before the sync, truncation or deletion. For the child of a fork; SQLite's own VFS
// with a watch in front. Together with kills by time, every moment of a start, a commit, a snapshot
// and a checkpoint is reached.

#include <sqlite3.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdlib>

namespace datapunk::mesh::store::kill_points {

struct KillMethods {
    sqlite3_io_methods real;
    sqlite3_io_methods watched;
};

inline std::atomic<std::int64_t> calls_left{0};
inline sqlite3_vfs* real_vfs = nullptr;
// SQLite has other methods for a database than for its WAL and journal.
inline KillMethods of_database;
inline KillMethods of_others;

inline bool is_time() {
    return --calls_left == 0;
}

[[noreturn]] inline void die() {
    ::kill(::getpid(), SIGKILL);
    for (;;) ::pause();
}

inline const sqlite3_io_methods& real_of(const sqlite3_file* file) {
    return file->pMethods == &of_others.watched ? of_others.real : of_database.real;
}

inline int write_or_die(sqlite3_file* file, const void* bytes, int count, sqlite3_int64 offset) {
    if (is_time()) {
        // A disk writes its sectors whole; a kill leaves more than that.
        constexpr int kSectorBytes = 512;
        const int half = count / 2 / kSectorBytes * kSectorBytes;
        if (half > 0) (void)real_of(file).xWrite(file, bytes, half, offset);
        die();
    }
    return real_of(file).xWrite(file, bytes, count, offset);
}

inline int sync_or_die(sqlite3_file* file, int flags) {
    if (is_time()) die();
    return real_of(file).xSync(file, flags);
}

inline int truncate_or_die(sqlite3_file* file, sqlite3_int64 size) {
    if (is_time()) die();
    return real_of(file).xTruncate(file, size);
}

inline int delete_or_die(sqlite3_vfs*, const char* name, int sync_directory) {
    if (is_time()) die();
    return real_vfs->xDelete(real_vfs, name, sync_directory);
}

inline int open_or_die(
    sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out_flags
) {
    if (is_time()) die();
    const int code = real_vfs->xOpen(real_vfs, name, file, flags, out_flags);
    if (file->pMethods == nullptr) return code;
    KillMethods& methods = (flags & SQLITE_OPEN_MAIN_DB) != 0 ? of_database : of_others;
    methods.real = methods.watched = *file->pMethods;
    methods.watched.xWrite = write_or_die;
    methods.watched.xSync = sync_or_die;
    methods.watched.xTruncate = truncate_or_die;
    file->pMethods = &methods.watched;
    return code;
}

// For the rest of this process's life.
inline void die_at(std::int64_t call) {
    static sqlite3_vfs shim;
    real_vfs = sqlite3_vfs_find(nullptr);
    shim = *real_vfs;
    shim.zName = "kill-points";
    shim.xOpen = open_or_die;
    shim.xDelete = delete_or_die;
    sqlite3_vfs_register(&shim, 1);
    calls_left = call;
}

// KILLS=1000 (`make kills`) for the whole promise; the default is what every test run can afford.
inline int kills(int by_default) {
    const char* given = std::getenv("KILLS");
    return given == nullptr ? by_default : std::atoi(given);
}

}  // namespace datapunk::mesh::store::kill_points
