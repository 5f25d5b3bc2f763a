#include "store/sqlite_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include "core/assert.h"
#include "core/hash.h"
#include "store/wal.h"

namespace datapunk::mesh::store {

namespace {

constexpr std::string_view kApplicationId = "1146113356";  // "DPML"
constexpr std::string_view kSchemaVersion = "1";
constexpr const char* kSchema =
    "PRAGMA synchronous=FULL;"
    "BEGIN;"
    "PRAGMA application_id=1146113356;"
    "PRAGMA user_version=1;"
    "CREATE TABLE head(id INTEGER PRIMARY KEY, last_seq INTEGER, snapshot_seq INTEGER, sum "
    "INTEGER);"
    "CREATE TABLE snapshot(id INTEGER PRIMARY KEY, bytes BLOB, sum INTEGER);"
    "CREATE TABLE entries(seq INTEGER PRIMARY KEY, bytes BLOB, sum INTEGER);"
    "COMMIT;";

constexpr std::uint64_t kSeqMax = std::uint64_t{1} << 62U;

std::uint64_t head_sum(std::uint64_t last_seq, std::uint64_t snapshot_seq) {
    return core::hash64(fmt::format("{} {}", last_seq, snapshot_seq), 0x68656164);
}

Error system_error(const std::string& path, std::string_view tried) {
    return {
        .code = Code::unavailable,
        .what = fmt::format("{}: {}: {}", path, tried, std::strerror(errno))
    };
}

Error damage_at(const std::string& path, std::string_view what) {
    return {
        .code = Code::internal,
        .what = fmt::format(
            "{}: {}; restore a backup, or move {}, {}-wal and {}-acked away to start empty",
            path,
            what,
            path,
            path,
            path
        )
    };
}

Result<> sync_directory_of(const std::string& path) {
    std::string directory = std::filesystem::path(path).parent_path().string();
    if (directory.empty()) directory = ".";
    const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return system_error(directory, "open");
    const bool is_synced = ::fsync(fd) == 0;
    Error error = system_error(directory, "fsync");
    ::close(fd);
    if (!is_synced) return error;
    return Ok{};
}

}  // namespace

SqliteLog::FileLock::~FileLock() {
    ::close(fd_);
}

SqliteLog::SqliteLog(SqliteLogConfig config, std::unique_ptr<FileLock> lock, Database database)
    : config_(std::move(config)), lock_(std::move(lock)), database_(std::move(database)) {}

SqliteLog::~SqliteLog() {
    shutdown();
}

Error SqliteLog::damage(std::string_view what) const {
    return damage_at(config_.path, what);
}

// Built beside its place and moved there whole: an empty file is never one of ours.
Result<> SqliteLog::create(const std::string& path) {
    if (std::filesystem::exists(path + "-wal")) {
        return damage_at(path, "the file is missing, but its -wal is there");
    }
    if (Witness::read(path + "-acked").value_or(0) > 0) {
        return damage_at(path, "the file is missing, but records in it were acknowledged");
    }
    const std::string fresh = path + ".new";
    std::remove(fresh.c_str());
    std::remove((fresh + "-journal").c_str());
    {
        Result<Database> database = Database::open(fresh, true);
        if (!database) return std::move(database).error();
        if (Result<> made = database->execute(kSchema); !made) return made;
        Result<Statement> head = database->prepare("INSERT INTO head VALUES(1, 0, 0, ?1)");
        if (!head) return std::move(head).error();
        if (Result<> put = head->bind(1, head_sum(0, 0)).run(); !put) return put;
    }
    if (std::rename(fresh.c_str(), path.c_str()) != 0) return system_error(path, "rename");
    return sync_directory_of(path);
}

Result<std::unique_ptr<SqliteLog::FileLock>> SqliteLog::lock(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0) return system_error(path, "open");
    auto held = std::make_unique<FileLock>(fd);
    // Not SQLite's own lock: this one must be held before its WAL may be looked at.
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
        return Error{
            .code = Code::conflict,
            .what =
                fmt::format("{}: another process uses it; give each its own data directory", path)
        };
    }
    return held;
}

Result<std::unique_ptr<SqliteLog>> SqliteLog::open(SqliteLogConfig config) {
    const std::string path = config.path;
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0) {
        if (errno != ENOENT) return system_error(path, "stat");
        if (Result<> made = create(path); !made) return std::move(made).error();
    } else if (status.st_size == 0) {
        return damage_at(path, "the file is empty");
    }
    Result<std::unique_ptr<FileLock>> held = lock(path);
    if (!held) return std::move(held).error();
    if (Result<> sound = check_wal(path + "-wal"); !sound) {
        return damage_at(path, sound.error().what);
    }
    Result<Database> database = Database::open(path, false);
    if (!database) return damage_at(path, database.error().what);
    std::unique_ptr<SqliteLog> log(
        new SqliteLog(std::move(config), std::move(held).value(), std::move(database).value())
    );
    Database& db = *log->database_;
    // Asked before anything is written: the file may belong to somebody else.
    for (const auto& [pragma, wanted] :
         {std::pair{"PRAGMA locking_mode=EXCLUSIVE", std::string_view("exclusive")},
          std::pair{"PRAGMA application_id", kApplicationId},
          std::pair{"PRAGMA user_version", kSchemaVersion},
          std::pair{"PRAGMA integrity_check(1)", std::string_view("ok")},
          std::pair{"PRAGMA journal_mode=WAL", std::string_view("wal")}}) {
        const Result<std::string> answer = db.ask(pragma);
        if (!answer && answer.error().code == Code::unavailable) {  // locked or unreadable, not bad
            Error error = answer.error();
            error.what = fmt::format("{}: {}", path, error.what);
            return error;
        }
        if (!answer) return log->damage(answer.error().what);
        if (*answer != wanted) {
            return log->damage(fmt::format("{} says {}, not {}", pragma, *answer, wanted));
        }
    }
    if (Result<> set = db.execute("PRAGMA synchronous=FULL"); !set) return std::move(set).error();
    if (Result<> ready = log->prepare_statements(); !ready) return log->damage(ready.error().what);
    return log;
}

Result<> SqliteLog::prepare_statements() {
    const std::pair<std::optional<Statement>*, const char*> statements[] = {
        {&insert_, "INSERT INTO entries(seq, bytes, sum) VALUES(?1, ?2, ?3)"},
        {&put_head_, "UPDATE head SET last_seq=?1, snapshot_seq=?2, sum=?3 WHERE id=1"},
        {&put_snapshot_, "INSERT OR REPLACE INTO snapshot(id, bytes, sum) VALUES(1, ?1, ?2)"},
        {&drop_entries_, "DELETE FROM entries WHERE seq<=?1"},
    };
    for (const auto& [statement, sql] : statements) {
        Result<Statement> prepared = database_->prepare(sql);
        if (!prepared) return std::move(prepared).error();
        statement->emplace(std::move(prepared).value());
    }
    return Ok{};
}

Result<StoredState> SqliteLog::load() {
    MESH_ASSERT(!writer_.joinable());
    StoredState state;
    if (Result<> head = read_head(); !head) return std::move(head).error();
    if (Result<> snapshot = read_snapshot(state); !snapshot) return std::move(snapshot).error();
    if (Result<> entries = read_entries(state, kSeqMax); !entries) {
        return std::move(entries).error();
    }
    const std::uint64_t last = snapshot_seq_ + state.entries.size();
    if (last != last_seq_) return damage(fmt::format("record {} is missing", last + 1));
    const std::string beside = config_.path + "-acked";
    if (const std::uint64_t acknowledged = Witness::read(beside).value_or(0);
        acknowledged > last_seq_) {
        return damage(fmt::format(
            "record {} was acknowledged, but the last one here is {}", acknowledged, last_seq_
        ));
    }
    Result<Witness> witness = Witness::open(beside);
    if (!witness) return std::move(witness).error();
    witness_.emplace(std::move(witness).value());
    witness_->put(last_seq_);
    writer_ = std::thread([this] { write_loop(); });
    return state;
}

Result<> SqliteLog::read_head() {
    Result<Statement> select =
        database_->prepare("SELECT last_seq, snapshot_seq, sum FROM head WHERE id=1");
    if (!select) return damage(select.error().what);
    const Result<bool> row = select->step();
    if (!row) return damage(row.error().what);
    if (!*row) return damage("the head row is missing");
    last_seq_ = select->integer(0);
    snapshot_seq_ = select->integer(1);
    if (!select->is_integer(2) || select->integer(2) != head_sum(last_seq_, snapshot_seq_)) {
        return damage("the head row is damaged");
    }
    return Ok{};
}

Result<> SqliteLog::read_snapshot(StoredState& state) {
    Result<Statement> select = database_->prepare("SELECT bytes, sum FROM snapshot WHERE id=1");
    if (!select) return damage(select.error().what);
    const Result<bool> row = select->step();
    if (!row) return damage(row.error().what);
    if (*row != (snapshot_seq_ != 0)) return damage("the snapshot is missing or out of place");
    if (!*row) return Ok{};
    const std::string_view bytes = select->blob(0);
    if (!select->is_blob(0) || select->integer(1) != core::hash64(bytes, snapshot_seq_)) {
        return damage("the snapshot is damaged");
    }
    state.snapshot = StoredSnapshot{snapshot_seq_, std::string(bytes)};
    return Ok{};
}

Result<> SqliteLog::read_entries(StoredState& state, std::uint64_t up_to_seq) {
    Result<Statement> select =
        database_->prepare("SELECT seq, bytes, sum FROM entries WHERE seq<=?1 ORDER BY seq");
    if (!select) return damage(select.error().what);
    select->bind(1, up_to_seq);
    std::uint64_t expected = snapshot_seq_ + 1;
    for (;; ++expected) {
        const Result<bool> row = select->step();
        if (!row) return damage(row.error().what);
        if (!*row) break;
        const std::uint64_t seq = select->integer(0);
        if (seq != expected) return damage(fmt::format("record {} is missing", expected));
        const std::string_view bytes = select->blob(1);
        if (!select->is_blob(1) || select->integer(2) != core::hash64(bytes, seq)) {
            return damage(fmt::format("record {} is damaged", seq));
        }
        state.entries.push_back({seq, std::string(bytes)});
    }
    return Ok{};
}

Result<> SqliteLog::append(std::vector<std::string> records, AppendDone done) {
    Job job;
    for (const std::string& record : records) job.bytes += record.size();
    job.records = std::move(records);
    job.done = std::move(done);
    return enqueue(std::move(job));
}

Result<> SqliteLog::write_snapshot(std::string bytes, std::uint64_t up_to_seq, SnapshotDone done) {
    MESH_ASSERT(up_to_seq != 0);
    Job job;
    job.bytes = bytes.size();
    job.snapshot = std::move(bytes);
    job.up_to_seq = up_to_seq;
    job.snapshot_done = std::move(done);
    return enqueue(std::move(job));
}

Result<> SqliteLog::read_back(std::uint64_t up_to_seq, ReadDone done) {
    if (is_reading_back_.exchange(true)) {
        return Error{
            .code = Code::exhausted,
            .what = fmt::format("{}: is being read back already", config_.path),
            .retryable = true,
        };
    }
    Job job;
    job.up_to_seq = up_to_seq;
    job.read_done = std::move(done);
    Result<> taken = enqueue(std::move(job));
    if (!taken) is_reading_back_ = false;
    return taken;
}

Result<> SqliteLog::enqueue(Job job) {
    MESH_ASSERT(writer_.joinable() || is_stopping_);
    const std::lock_guard guard(mutex_);
    if (is_stopping_) {
        return Error{.code = Code::aborted, .what = fmt::format("{}: shut down", config_.path)};
    }
    // One job is always taken, however large: its size has a limit where it comes from.
    if (!queue_.empty() && queued_bytes_ + job.bytes > config_.queue_bytes_max) {
        return Error{
            .code = Code::exhausted,
            .what =
                fmt::format("{}: {} bytes wait to be written already", config_.path, queued_bytes_),
            .retryable = true,
        };
    }
    queued_bytes_ += job.bytes;
    queue_.push_back(std::move(job));
    wake_.notify_one();
    return Ok{};
}

void SqliteLog::shutdown() {
    {
        const std::lock_guard guard(mutex_);
        is_stopping_ = true;
        wake_.notify_one();
    }
    if (writer_.joinable()) {
        MESH_ASSERT(writer_.get_id() != std::this_thread::get_id());
        writer_.join();
    }
    if (reader_.joinable()) reader_.join();
    // Statements before their database, the database before the lock.
    insert_.reset();
    put_head_.reset();
    put_snapshot_.reset();
    drop_entries_.reset();
    database_.reset();
    lock_.reset();
}

void SqliteLog::write_loop() {
    for (;;) {
        std::vector<Job> group;
        {
            std::unique_lock guard(mutex_);
            wake_.wait(guard, [this] { return !queue_.empty() || is_stopping_; });
            if (queue_.empty()) return;
            std::size_t records = 0;
            do {  // all that fits one transaction; a snapshot has its own
                records += queue_.front().records.size();
                queued_bytes_ -= queue_.front().bytes;
                group.push_back(std::move(queue_.front()));
                queue_.pop_front();
            } while (is_batch(group.back()) && !queue_.empty() && is_batch(queue_.front()) &&
                     records < config_.group_records_max);
        }
        write_group(group);
    }
}

void SqliteLog::write_group(std::vector<Job>& group) {
    if (group.front().read_done) return hand_back(group.front());
    if (!is_batch(group.front())) {
        return group.front().snapshot_done(commit_snapshot(group.front()));
    }
    std::uint64_t seq = last_seq_;
    if (const Result<std::uint64_t> together = commit(group.data(), group.data() + group.size())) {
        for (Job& job : group) {
            seq += job.records.size();
            job.done(seq);
        }
        return;
    }
    // One batch too large for the disk must not fail the others.
    for (Job& job : group) job.done(commit(&job, &job + 1));
}

// Reading takes milliseconds and must be done between commits; what is made of it takes longer and
// must not keep them waiting.
void SqliteLog::hand_back(Job& job) {
    StoredState state;
    Result<> read = read_snapshot(state);
    if (read) read = read_entries(state, job.up_to_seq);
    if (read && snapshot_seq_ + state.entries.size() != job.up_to_seq) {
        read = damage(fmt::format("records up to {} are not all there", job.up_to_seq));
    }
    Result<StoredState> result = std::move(state);
    if (!read) result = std::move(read).error();
    if (reader_.joinable()) reader_.join();  // it has ended: there is one at a time
    reader_ = std::thread([this, done = std::move(job.read_done), r = std::move(result)]() mutable {
        done(std::move(r));
        is_reading_back_ = false;
    });
}

Result<std::uint64_t> SqliteLog::commit(Job* first, Job* last) {
    if (broken_) return *broken_;
    std::uint64_t seq = last_seq_;
    Result<> result = database_->execute("BEGIN IMMEDIATE");
    for (Job* job = first; job != last && result; ++job) result = insert(*job, seq);
    result = finish(std::move(result), seq, snapshot_seq_);
    if (!result) return std::move(result).error();
    return last_seq_;
}

Result<> SqliteLog::insert(const Job& job, std::uint64_t& seq) {
    for (const std::string& bytes : job.records) {
        ++seq;
        insert_->bind(1, seq).bind_blob(2, bytes).bind(3, core::hash64(bytes, seq));
        if (Result<> done = insert_->run(); !done) return done;
    }
    return Ok{};
}

Result<> SqliteLog::commit_snapshot(const Job& job) {
    if (broken_) return *broken_;
    if (job.up_to_seq > last_seq_ || job.up_to_seq < snapshot_seq_) {
        return Error{
            .what = fmt::format(
                "snapshot up to {}, but the log runs from {} to {}",
                job.up_to_seq,
                snapshot_seq_,
                last_seq_
            )
        };
    }
    Result<> result = database_->execute("BEGIN IMMEDIATE");
    if (result) {
        put_snapshot_->bind_blob(1, job.snapshot)
            .bind(2, core::hash64(job.snapshot, job.up_to_seq));
        result = put_snapshot_->run();
    }
    if (result) result = drop_entries_->bind(1, job.up_to_seq).run();
    result = finish(std::move(result), last_seq_, job.up_to_seq);
    // The large transaction is in the WAL: bring it home. If that fails, a later one does it.
    if (result) (void)database_->ask("PRAGMA wal_checkpoint(TRUNCATE)").ok();
    witness_->sync();  // rare enough here
    return result;
}

// The head row and COMMIT; or, if anything failed, ROLLBACK.
Result<> SqliteLog::finish(Result<> so_far, std::uint64_t last_seq, std::uint64_t snapshot_seq) {
    if (so_far) {
        put_head_->bind(1, last_seq)
            .bind(2, snapshot_seq)
            .bind(3, head_sum(last_seq, snapshot_seq));
        so_far = put_head_->run();
    }
    if (so_far) so_far = database_->execute("COMMIT");
    if (so_far) {
        last_seq_ = last_seq;
        snapshot_seq_ = snapshot_seq;
        witness_->put(last_seq);
        commits_.fetch_add(1, std::memory_order_relaxed);
        return so_far;
    }
    Error error = std::move(so_far).error();
    error.what = fmt::format("{}: {}", config_.path, error.what);
    if (database_->lost_certainty()) {
        error.what += "; nothing more is written until a restart has checked the file";
        error.retryable = false;
        broken_ = error;
    }
    if (database_->in_transaction()) (void)database_->execute("ROLLBACK").ok();
    return error;
}

}  // namespace datapunk::mesh::store
