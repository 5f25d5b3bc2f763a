#include "store/sqlite_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>

#include "store/log_test_support.h"

namespace datapunk::mesh::store {
namespace {

using testing::HasSubstr;
using Entries = std::vector<StoredEntry>;

class SqliteLogTest : public testing::Test {
  protected:
    std::string refusal() {
        const Result<StoredState> state = loaded(path);
        return state.ok() ? "loaded" : state.error().what;
    }

    TemporaryDirectory directory;
    std::string path = directory.file("registry.db");
};

TEST_F(SqliteLogTest, StartsEmptyAndKeepsWhatItAcknowledged) {
    auto log = opened(path);
    EXPECT_EQ(*log->load(), StoredState{});
    EXPECT_EQ(*append_and_wait(*log, {"a", std::string("\0b", 2)}), 2U);
    EXPECT_EQ(*append_and_wait(*log, {""}), 3U);
    log.reset();
    EXPECT_EQ(loaded(path)->entries, (Entries{{1, "a"}, {2, std::string("\0b", 2)}, {3, ""}}));
}

TEST_F(SqliteLogTest, ASnapshotReplacesTheEntriesItHolds) {
    auto log = opened(path);
    (void)log->load().ok();
    (void)append_and_wait(*log, {"a", "b", "c"}).ok();
    EXPECT_TRUE(snapshot_and_wait(*log, "ab", 2).ok());
    EXPECT_EQ(*append_and_wait(*log, {"d"}), 4U);
    EXPECT_FALSE(snapshot_and_wait(*log, "future", 5).ok());
    EXPECT_FALSE(snapshot_and_wait(*log, "past", 1).ok());
    log.reset();
    const StoredState state = *loaded(path);
    EXPECT_EQ(state.snapshot, (StoredSnapshot{2, "ab"}));
    EXPECT_EQ(state.entries, (Entries{{3, "c"}, {4, "d"}}));
}

TEST_F(SqliteLogTest, WhatWaitsSharesOneTransaction) {
    auto log = opened(path);
    (void)log->load().ok();
    std::promise<void> reached;
    std::promise<void> go_on;
    ASSERT_TRUE(log->append(
                       {"first"},
                       [&](const Result<std::uint64_t>&) {
                           reached.set_value();
                           go_on.get_future().wait();
                       }
    ).ok());
    reached.get_future().wait();  // the writer stands still here; everything else must queue
    std::vector<std::uint64_t> seqs;
    for (int i = 0; i < 64; ++i) {
        ASSERT_TRUE(log->append(
                           {"x", "y"},
                           [&](const Result<std::uint64_t>& seq) { seqs.push_back(*seq); }
        ).ok());
    }
    go_on.set_value();
    log->shutdown();
    EXPECT_EQ(log->commits(), 2U);
    ASSERT_EQ(seqs.size(), 64U);
    for (std::size_t i = 0; i < seqs.size(); ++i) EXPECT_EQ(seqs[i], 1 + 2 * (i + 1));
}

TEST_F(SqliteLogTest, ShutdownFinishesWhatWasTakenAndTakesNoMore) {
    auto log = opened(path);
    (void)log->load().ok();
    for (int i = 0; i < 100; ++i)
        (void)log->append({"r"}, [](const Result<std::uint64_t>&) {}).ok();
    log->shutdown();
    EXPECT_EQ(append_and_wait(*log, {"late"}).error().code, Code::aborted);
    EXPECT_EQ(loaded(path)->entries.size(), 100U);
}

TEST_F(SqliteLogTest, BoundsItsQueue) {
    auto log = std::move(SqliteLog::open({.path = path, .queue_bytes_max = 100})).value();
    (void)log->load().ok();
    std::promise<void> reached;
    std::promise<void> go_on;
    (void)
        log->append(
               {"first"},
               [&](const Result<std::uint64_t>&) {
                   reached.set_value();
                   go_on.get_future().wait();
               }
        ).ok();
    reached.get_future().wait();
    const auto ignore = [](const Result<std::uint64_t>&) {};
    EXPECT_TRUE(log->append({std::string(60, 'x')}, ignore).ok());
    EXPECT_TRUE(log->append({std::string(40, 'x')}, ignore).ok());
    EXPECT_EQ(log->append({"x"}, ignore).error().code, Code::exhausted);
    go_on.set_value();
    log->shutdown();
}

TEST_F(SqliteLogTest, ReadsBackWhatALoadWouldGive) {
    auto log = opened(path);
    (void)log->load().ok();
    for (const char* record : {"a", "b", "c", "d"}) {
        ASSERT_TRUE(append_and_wait(*log, {record}).ok());
    }
    ASSERT_TRUE(snapshot_and_wait(*log, "ab", 2).ok());
    Result<StoredState> state = read_back_and_wait(*log, 3);
    ASSERT_TRUE(state.ok()) << state.error().what;
    EXPECT_EQ(state->snapshot, (StoredSnapshot{2, "ab"}));
    EXPECT_EQ(state->entries, (Entries{{3, "c"}}));
    // The log may still be leaving the last one.
    do {
        state = read_back_and_wait(*log, 4);
    } while (!state.ok() && state.error().code == Code::exhausted);
    ASSERT_TRUE(state.ok()) << state.error().what;
    log.reset();
    EXPECT_EQ(*state, *loaded(path));
}

TEST_F(SqliteLogTest, WritesGoOnWhileWhatWasReadBackIsWorkedOnAndOneIsReadAtATime) {
    std::promise<void> finish;  // before the log, which waits for its threads when it goes
    std::promise<void> started;
    auto log = opened(path);
    (void)log->load().ok();
    ASSERT_TRUE(append_and_wait(*log, {"a"}).ok());
    ASSERT_TRUE(log->read_back(
                       1,
                       [&](Result<StoredState>) {
                           started.set_value();
                           finish.get_future().wait();
                       }
    ).ok());
    started.get_future().wait();
    EXPECT_EQ(*append_and_wait(*log, {"b"}), 2U);
    const Result<> second = log->read_back(2, [](Result<StoredState>) {});
    ASSERT_FALSE(second.ok());
    EXPECT_TRUE(second.error().retryable);
    finish.set_value();
}

TEST_F(SqliteLogTest, RefusesASecondUser) {
    auto log = opened(path);
    const auto second = SqliteLog::open({.path = path});
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.error().code, Code::conflict);
    EXPECT_THAT(second.error().what, HasSubstr(path + ": another process uses it"));
    log.reset();
    EXPECT_TRUE(loaded(path).ok());
}

TEST_F(SqliteLogTest, DoesNotCallALockedFileDamaged) {
    opened(path).reset();
    Database other = *Database::open(path, false);
    ASSERT_TRUE(other.execute("BEGIN IMMEDIATE").ok());
    EXPECT_THAT(
        refusal(),
        testing::AllOf(
            HasSubstr(path + ": PRAGMA"), HasSubstr("locked"), testing::Not(HasSubstr("backup"))
        )
    );
}

TEST_F(SqliteLogTest, NeverStartsEmptyWhereSomethingWas) {
    write_file(path, "");
    EXPECT_THAT(refusal(), HasSubstr("the file is empty; restore a backup, or move"));
    write_file(path, std::string(10'000, 'x'));
    EXPECT_THAT(refusal(), HasSubstr("file is not a database"));
    std::filesystem::remove(path);
    write_file(path + "-wal", "x");
    EXPECT_THAT(refusal(), HasSubstr("the file is missing, but its -wal is there"));
}

TEST_F(SqliteLogTest, LeavesOtherPeoplesDatabasesAlone) {
    {
        Database other = *Database::open(path, true);
        ASSERT_TRUE(other.execute("CREATE TABLE t(x); INSERT INTO t VALUES(1)").ok());
    }
    const std::string before = read_file(path);
    EXPECT_THAT(refusal(), HasSubstr("PRAGMA application_id says 0, not 1146113356"));
    EXPECT_EQ(read_file(path), before);
}

TEST_F(SqliteLogTest, RefusesAnotherSchemaVersion) {
    opened(path).reset();
    ASSERT_TRUE(Database::open(path, false)->execute("PRAGMA user_version=2").ok());
    EXPECT_THAT(refusal(), HasSubstr("PRAGMA user_version says 2, not 1"));
}

TEST_F(SqliteLogTest, NoticesMissingRecordsAndRows) {
    const std::pair<const char*, const char*> losses[] = {
        {"DELETE FROM entries WHERE seq=2", "record 2 is missing"},
        {"DELETE FROM entries WHERE seq=3", "record 3 is missing"},
        {"UPDATE entries SET bytes=x'00' WHERE seq=2", "record 2 is damaged"},
        {"UPDATE entries SET seq=4 WHERE seq=3", "record 3 is missing"},
        {"DELETE FROM head", "the head row is missing"},
        {"UPDATE head SET last_seq=2", "the head row is damaged"},
        {"INSERT INTO snapshot VALUES(1, x'00', 0)", "the snapshot is missing or out of place"},
        {"DROP TABLE entries", "no such table"},
    };
    for (const auto& [loss, message] : losses) {
        std::filesystem::remove(path);
        std::filesystem::remove(path + "-acked");
        auto log = opened(path);
        (void)log->load().ok();
        (void)append_and_wait(*log, {"a", "b", "c"}).ok();
        log.reset();
        ASSERT_TRUE(Database::open(path, false)->execute(loss).ok());
        EXPECT_THAT(refusal(), HasSubstr(message)) << loss;
    }
}

TEST_F(SqliteLogTest, SaysWhatIsWrongWithThePath) {
    EXPECT_FALSE(loaded(directory.file("no/such/registry.db")).ok());
    EXPECT_FALSE(loaded(directory.file("")).ok());
}

// The disk is full for whoever writes beyond the limit on this process's file sizes.
TEST_F(SqliteLogTest, AFullDiskFailsItsBatchesOnlyAndPasses) {
    auto log = opened(path);
    (void)log->load().ok();
    EXPECT_EQ(*append_and_wait(*log, {"before"}), 1U);
    rlimit old{};
    ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
    const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
    const rlimit tight{.rlim_cur = 64 * 1024, .rlim_max = old.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
    const Result<std::uint64_t> refused = append_and_wait(*log, {std::string(256 * 1024, 'x')});
    const Result<std::uint64_t> again = append_and_wait(*log, {"a", std::string(256 * 1024, 'y')});
    const Result<> snapshot = snapshot_and_wait(*log, std::string(256 * 1024, 's'), 1);
    ::setrlimit(RLIMIT_FSIZE, &old);
    std::signal(SIGXFSZ, old_handler);
    ASSERT_FALSE(refused.ok());
    EXPECT_TRUE(refused.error().retryable) << refused.error().what;
    EXPECT_THAT(refused.error().what, HasSubstr(path));
    EXPECT_FALSE(again.ok());
    EXPECT_FALSE(snapshot.ok());
    EXPECT_EQ(*append_and_wait(*log, {"after"}), 2U);
    log.reset();
    EXPECT_EQ(loaded(path)->entries, (Entries{{1, "before"}, {2, "after"}}));
}

}  // namespace
}  // namespace datapunk::mesh::store
