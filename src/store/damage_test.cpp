// Flipped bits and cut files: what was acknowledged is there, or the log refuses.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
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

// FLIPS=1 tries every byte, as `make kills` does; by default one in so many.
std::size_t stride(std::size_t by_default) {
    const char* given = std::getenv("FLIPS");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : by_default;
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
    for (std::size_t at = 0; at < bytes.size(); at += at < 200 ? 1 : 1 + rng.below(stride(60))) {
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

// Killed with everything in the WAL: no flip anywhere in it takes back a record.
TEST_F(DamageTest, AFlippedBitInTheWalIsNoticedOrHarmless) {
    constexpr std::uint64_t kRecords = 60;
    stop_dead_after(kRecords);
    const std::string database = read_file(path);
    const std::string wal = read_file(path + "-wal");
    const std::string acked = read_file(path + "-acked");
    ASSERT_GT(wal.size(), 100'000U);
    core::Rng rng(seed_of_run());
    SCOPED_TRACE(fmt::format("SEED={}", seed_of_run()));
    std::size_t noticed = 0;
    for (std::size_t at = 0; at < wal.size(); at += at < 100 ? 1 : 1 + rng.below(stride(900))) {
        std::string bad = wal;
        bad[at] = static_cast<char>(bad[at] ^ (1 << rng.below(8)));
        write_file(copy, database);
        write_file(copy + "-wal", bad);
        write_file(copy + "-acked", acked);
        const Result<StoredState> state = loaded(copy);
        if (!state.ok()) {
            ++noticed;
            ASSERT_THAT(state.error().what, testing::HasSubstr(copy));
            continue;
        }
        ASSERT_EQ(state->entries.size(), kRecords) << "offset " << at;
    }
    EXPECT_GT(noticed, 100U);
}

TEST_F(DamageTest, AFlippedBitInTheWitnessIsHarmless) {
    stop_dead_after(3);
    const std::string acked = read_file(path + "-acked");
    ASSERT_EQ(acked.size(), 16U);
    for (std::size_t at = 0; at < acked.size(); ++at) {
        for (int bit = 0; bit < 8; ++bit) {
            std::string bad = acked;
            bad[at] = static_cast<char>(bad[at] ^ (1 << bit));
            write_file(copy, read_file(path));
            write_file(copy + "-wal", read_file(path + "-wal"));
            write_file(copy + "-acked", bad);
            const Result<StoredState> state = loaded(copy);
            ASSERT_TRUE(state.ok()) << state.error().what;
            ASSERT_EQ(state->entries.size(), 3U);
        }
    }
}

TEST_F(DamageTest, ALogThatWentBackIsRefused) {
    stop_dead_after(5);
    const std::string acked = read_file(path + "-acked");
    write_file(copy, read_file(path));
    write_file(copy + "-acked", acked);  // and no -wal
    Result<StoredState> state = loaded(copy);
    ASSERT_FALSE(state.ok());
    EXPECT_THAT(
        state.error().what,
        testing::HasSubstr("record 5 was acknowledged, but the last one here is 0")
    );
    std::filesystem::remove(copy);
    state = loaded(copy);
    ASSERT_FALSE(state.ok());
    EXPECT_THAT(state.error().what, testing::HasSubstr("the file is missing, but records"));
    std::filesystem::remove(copy + "-acked");
    EXPECT_TRUE(loaded(copy).ok());
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

}  // namespace
}  // namespace datapunk::mesh::store
