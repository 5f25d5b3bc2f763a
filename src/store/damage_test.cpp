// Flipped bits, cut files and killed processes: what was acknowledged is there, or the log refuses.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>

#include "core/rng.h"
#include "store/log_test_support.h"
#include "store/wal.h"

namespace datapunk::mesh::store {
namespace {

std::uint64_t seed_of_run() {
    const char* given = std::getenv("SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : 20261121;
}

std::string record(std::uint64_t seq) {
    return fmt::format("record {} {}", seq, std::string(seq % 50, 'r'));
}

class DamageTest : public testing::Test {
  protected:
    void fill(std::uint64_t records) {
        auto log = opened(path);
        ASSERT_TRUE(log->load().ok());
        for (std::uint64_t seq = 1; seq <= records; ++seq) {
            ASSERT_TRUE(append_and_wait(*log, {record(seq)}).ok());
            if (seq == records / 2) {
                ASSERT_TRUE(snapshot_and_wait(*log, std::string(6'000, 's'), seq).ok());
            }
        }
    }

    // As a machine that stops leaves it: the WAL is still there.
    void stop_dead_after(std::uint64_t records) {
        const pid_t child = ::fork();
        if (child == 0) {
            auto log = opened(path);
            (void)log->load().ok();
            for (std::uint64_t seq = 1; seq <= records; ++seq) {
                (void)append_and_wait(*log, {record(seq)}).ok();
            }
            ::_exit(0);
        }
        int status = 0;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        ASSERT_TRUE(WIFEXITED(status));
    }

    TemporaryDirectory directory;
    std::string path = directory.file("registry.db");
    std::string copy = directory.file("copy.db");
};

TEST_F(DamageTest, AFlippedBitInTheFileIsNoticedOrHarmless) {
    fill(300);
    const Result<StoredState> truth = loaded(path);
    ASSERT_TRUE(truth.ok());
    const std::string bytes = read_file(path);
    core::Rng rng(seed_of_run());
    SCOPED_TRACE(fmt::format("SEED={}", seed_of_run()));
    std::size_t noticed = 0;
    for (std::size_t at = 0; at < bytes.size(); at += at < 200 ? 1 : 1 + rng.below(60)) {
        std::string bad = bytes;
        bad[at] = static_cast<char>(bad[at] ^ (1 << rng.below(8)));
        write_file(copy, bad);
        std::filesystem::remove(copy + "-wal");
        const Result<StoredState> state = loaded(copy);
        if (!state.ok()) {
            ++noticed;
            ASSERT_THAT(state.error().what, testing::HasSubstr(copy));
        } else {
            ASSERT_TRUE(*state == *truth) << "offset " << at;
        }
    }
    EXPECT_GT(noticed, 100U);
}

TEST_F(DamageTest, ATruncatedFileIsRefused) {
    fill(300);
    const std::string bytes = read_file(path);
    for (std::size_t size = 0; size < bytes.size(); size += 1009) {
        write_file(copy, bytes.substr(0, size));
        std::filesystem::remove(copy + "-wal");
        ASSERT_FALSE(loaded(copy).ok()) << size;
    }
}

TEST_F(DamageTest, AFlippedBitInTheWalNeverHidesAnOlderTransaction) {
    constexpr std::uint64_t kRecords = 60;
    stop_dead_after(kRecords);
    const std::string database = read_file(path);
    const std::string wal = read_file(path + "-wal");
    ASSERT_GT(wal.size(), 100'000U);
    write_file(copy, database);
    write_file(copy + "-wal", wal);
    const Result<StoredState> truth = loaded(copy);
    ASSERT_TRUE(truth.ok()) << truth.error().what;
    ASSERT_EQ(truth->entries.size(), kRecords);
    core::Rng rng(seed_of_run());
    SCOPED_TRACE(fmt::format("SEED={}", seed_of_run()));
    std::size_t last_only = 0;
    for (std::size_t at = 0; at < wal.size(); at += at < 100 ? 1 : 1 + rng.below(900)) {
        std::string bad = wal;
        bad[at] = static_cast<char>(bad[at] ^ (1 << rng.below(8)));
        write_file(copy, database);
        write_file(copy + "-wal", bad);
        const Result<StoredState> state = loaded(copy);
        if (!state.ok() || *state == *truth) continue;
        // Only the very last transaction looks like a torn write.
        ++last_only;
        ASSERT_EQ(state->entries.size(), kRecords - 1) << "offset " << at;
        ASSERT_GT(at, wal.size() - 20'000) << "offset " << at;
    }
    EXPECT_LT(last_only, 40U);
}

TEST_F(DamageTest, ATornTailIsDroppedWhole) {
    stop_dead_after(20);
    const std::string database = read_file(path);
    const std::string wal = read_file(path + "-wal");
    for (std::size_t cut = 1; cut < 4096; cut += 37) {
        write_file(copy, database);
        write_file(copy + "-wal", wal.substr(0, wal.size() - cut));
        const Result<StoredState> state = loaded(copy);
        ASSERT_TRUE(state.ok()) << state.error().what;
        ASSERT_EQ(state->entries.size(), 19U) << cut;
    }
}

// Writes with several batches in flight and now and then a snapshot; reports each acknowledged seq.
[[noreturn]] void write_until_killed(const std::string& path, int acknowledged) {
    auto log = opened(path);
    Result<StoredState> state = log->load();
    if (!state) ::_exit(2);
    std::uint64_t next = state->snapshot ? state->snapshot->up_to_seq + 1 : 1;
    next += state->entries.size();
    std::atomic<std::uint64_t> durable{next - 1};
    for (;; ++next) {
        while (next > durable + 16) std::this_thread::yield();
        (void)
            log->append(
                   {record(next)},
                   [&, acknowledged](const Result<std::uint64_t>& seq) {
                       if (!seq) ::_exit(3);
                       durable = *seq;
                       if (::write(acknowledged, &*seq, sizeof(*seq)) != sizeof(*seq)) ::_exit(4);
                   }
            ).ok();
        if (next % 50 == 0) {
            const std::uint64_t up_to = durable;
            if (up_to == 0) continue;
            (void)
                log->write_snapshot(
                       fmt::format("state {}", up_to),
                       up_to,
                       [](const Result<>& done) {
                           if (!done) ::_exit(5);
                       }
                ).ok();
        }
    }
}

TEST_F(DamageTest, KilledAtAnyMomentItKeepsEveryAcknowledgedRecord) {
    core::Rng rng(seed_of_run());
    SCOPED_TRACE(fmt::format("SEED={}", seed_of_run()));
    std::uint64_t acknowledged = 0;
    for (int round = 0; round < 25; ++round) {
        int ends[2];
        ASSERT_EQ(::pipe(ends), 0);
        const pid_t child = ::fork();
        if (child == 0) {
            ::close(ends[0]);
            write_until_killed(path, ends[1]);
        }
        ::close(ends[1]);
        std::uint64_t seq = 0;
        for (std::uint64_t left = 1 + rng.below(150); left > 0; --left) {
            ASSERT_EQ(::read(ends[0], &seq, sizeof seq), ssize_t{sizeof seq});
            acknowledged = std::max(acknowledged, seq);
        }
        ASSERT_EQ(::kill(child, SIGKILL), 0);
        while (::read(ends[0], &seq, sizeof seq) > 0) acknowledged = std::max(acknowledged, seq);
        ::close(ends[0]);
        int status = 0;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        ASSERT_TRUE(WIFSIGNALED(status)) << "exit " << WEXITSTATUS(status);

        const Result<StoredState> state = loaded(path);
        ASSERT_TRUE(state.ok()) << state.error().what;
        std::uint64_t expected = 1;
        if (state->snapshot) {
            ASSERT_EQ(state->snapshot->bytes, fmt::format("state {}", state->snapshot->up_to_seq));
            expected = state->snapshot->up_to_seq + 1;
        }
        for (const StoredEntry& entry : state->entries) {
            ASSERT_EQ(entry, (StoredEntry{expected, record(expected)}));
            ++expected;
        }
        ASSERT_GT(expected, acknowledged) << "round " << round;
    }
}

}  // namespace
}  // namespace datapunk::mesh::store
