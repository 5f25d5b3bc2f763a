#pragma once

// SqliteLog: the CommandLog in one SQLite file (WAL, synchronous=FULL, exclusive).
//
//     owner thread ── append ──> queue ──> writer thread: BEGIN, all that is queued, COMMIT, done…
//
// Group commit: what arrives while one fsync runs shares the next, so throughput grows with the
// number of waiting writers while a single one pays one fsync.
//
// Never trusts the file: application id and version, SQLite's integrity check, the WAL (wal.h), a
// hash of every record with its seq, no gap, the head row, which knows the last seq, and the
// witness (witness.h), which knows the last acknowledged one. Anything wrong is an error that names
// the file and what to do; the file is left as it is, and the log never starts empty where
// something was. Two processes on one file: the second is refused.
//
// A commit that fails for lack of space or by a write error fails its batches only; later ones are
// tried again. After a failed fsync nothing is known about the disk: everything is refused until a
// restart has looked. Source: sqlite.org/wal.html; Rebello et al., "Can Applications Recover from
// fsync Failures?", ATC 2020.

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "store/command_log.h"
#include "store/database.h"
#include "store/witness.h"

namespace datapunk::mesh::store {

struct SqliteLogConfig {
    std::string path;                                // its directory must exist
    std::size_t queue_bytes_max = 64 * 1024 * 1024;  // waiting to be written; then append() refuses
    std::size_t group_records_max = 4096;  // in one transaction: bounds the wait of the last
};

class SqliteLog final : public CommandLog {
  public:
    // Makes the file if there is none.
    [[nodiscard]] static Result<std::unique_ptr<SqliteLog>> open(SqliteLogConfig config);
    ~SqliteLog() override;

    Result<StoredState> load() override;
    Result<> append(std::vector<std::string> records, AppendDone done) override;
    Result<> write_snapshot(std::string bytes, std::uint64_t up_to_seq, SnapshotDone done) override;
    Result<> read_back(std::uint64_t up_to_seq, ReadDone done) override;
    void shutdown() override;

    // Transactions so far; appends / commits tells how well they group. Any thread.
    std::uint64_t commits() const noexcept { return commits_.load(std::memory_order_relaxed); }

  private:
    struct Job {
        std::vector<std::string> records;
        AppendDone done;
        std::string snapshot;
        std::uint64_t up_to_seq = 0;  // not 0: a snapshot, to write or to read back
        SnapshotDone snapshot_done;
        ReadDone read_done;  // set: reads back
        std::size_t bytes = 0;
    };

    static bool is_batch(const Job& job) noexcept { return job.up_to_seq == 0; }

    // Holds the file for this process alone, longer than the database does.
    class FileLock {
      public:
        explicit FileLock(int fd) : fd_(fd) {}
        ~FileLock();
        FileLock(const FileLock&) = delete;
        FileLock& operator=(const FileLock&) = delete;

      private:
        int fd_;
    };

    SqliteLog(SqliteLogConfig config, std::unique_ptr<FileLock> lock, Database database);

    static Result<> create(const std::string& path);
    static Result<std::unique_ptr<FileLock>> lock(const std::string& path);

    Result<> prepare_statements();
    Result<> read_head();
    Result<> read_snapshot(StoredState& state);
    Result<> read_entries(StoredState& state, std::uint64_t up_to_seq);
    void hand_back(Job& job);
    Error damage(std::string_view what) const;

    Result<> enqueue(Job job);
    void write_loop();
    void write_group(std::vector<Job>& group);
    Result<std::uint64_t> commit(Job* first, Job* last);
    Result<> commit_snapshot(const Job& job);
    Result<> insert(const Job& job, std::uint64_t& seq);
    Result<> finish(Result<> so_far, std::uint64_t last_seq, std::uint64_t snapshot_seq);

    SqliteLogConfig config_;
    std::unique_ptr<FileLock> lock_;
    std::optional<Database> database_;  // after load() the writer thread's
    std::optional<Witness> witness_;
    std::optional<Statement> insert_;
    std::optional<Statement> put_head_;
    std::optional<Statement> put_snapshot_;
    std::optional<Statement> drop_entries_;
    std::uint64_t last_seq_ = 0;
    std::uint64_t snapshot_seq_ = 0;
    std::optional<Error> broken_;  // for good
    std::atomic<std::uint64_t> commits_{0};

    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<Job> queue_;
    std::size_t queued_bytes_ = 0;
    bool is_stopping_ = false;
    std::thread writer_;
    std::atomic<bool> is_reading_back_{false};
    std::thread reader_;  // runs one ReadDone; the writer thread's
};

}  // namespace datapunk::mesh::store
