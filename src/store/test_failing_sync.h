#pragma once

// FailingSync: for as long as it lives, every SQLite database that is opened has an fsync of its
// WAL that fails when told to: SQLite's own VFS with another xSync. One at a time; test code only.

#include <sqlite3.h>

#include <atomic>

#include "core/assert.h"

namespace datapunk::mesh::store {

class FailingSync {
  public:
    FailingSync() {
        real_vfs_ = sqlite3_vfs_find(nullptr);
        shim_ = *real_vfs_;
        shim_.zName = "failing-sync";
        shim_.xOpen = open;
        MESH_ASSERT(sqlite3_vfs_register(&shim_, 1) == SQLITE_OK);
    }

    FailingSync(const FailingSync&) = delete;
    FailingSync& operator=(const FailingSync&) = delete;

    ~FailingSync() {
        fails_ = false;
        sqlite3_vfs_unregister(&shim_);
        sqlite3_vfs_register(real_vfs_, 1);
    }

    void set(bool fails) { fails_ = fails; }

  private:
    static int sync(sqlite3_file* file, int flags) {
        return fails_ ? SQLITE_IOERR_FSYNC : real_methods_.xSync(file, flags);
    }

    static int open(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out_flags) {
        const int code = real_vfs_->xOpen(real_vfs_, name, file, flags, out_flags);
        if (file->pMethods == nullptr || (flags & SQLITE_OPEN_WAL) == 0) return code;
        real_methods_ = failing_methods_ = *file->pMethods;
        failing_methods_.xSync = sync;
        file->pMethods = &failing_methods_;
        return code;
    }

    // SQLite takes plain functions.
    static inline std::atomic<bool> fails_{false};
    static inline sqlite3_vfs* real_vfs_ = nullptr;
    static inline sqlite3_io_methods real_methods_{};
    static inline sqlite3_io_methods failing_methods_{};
    sqlite3_vfs shim_{};
};

}  // namespace datapunk::mesh::store
