#include "store/memory_log.h"

#include <gtest/gtest.h>

namespace datapunk::mesh::store {
namespace {

TEST(MemoryLogTest, ACrashLosesOnlyWhatWasNotAcknowledged) {
    const auto disk = std::make_shared<MemoryDisk>();
    std::vector<std::uint64_t> acknowledged;
    const auto note = [&](const Result<std::uint64_t>& seq) { acknowledged.push_back(*seq); };
    {
        MemoryLog log(disk);
        ASSERT_TRUE(log.append({"a", "b"}, note).ok());
        EXPECT_TRUE(acknowledged.empty());
        EXPECT_EQ(log.run(), 1U);
        ASSERT_TRUE(log.append({"lost"}, note).ok());
    }
    EXPECT_EQ(acknowledged, (std::vector<std::uint64_t>{2}));
    MemoryLog again(disk);
    EXPECT_EQ(again.load()->entries, (std::vector<StoredEntry>{{1, "a"}, {2, "b"}}));
}

TEST(MemoryLogTest, ASnapshotReplacesTheEntriesItHolds) {
    MemoryLog log(std::make_shared<MemoryDisk>());
    (void)log.append({"a", "b", "c"}, [](const Result<std::uint64_t>&) {}).ok();
    (void)log.write_snapshot("ab", 2, [](const Result<>&) {}).ok();
    log.shutdown();
    EXPECT_FALSE(log.append({"late"}, [](const Result<std::uint64_t>&) {}).ok());
    const StoredState state = *log.load();
    EXPECT_EQ(state.snapshot, (StoredSnapshot{2, "ab"}));
    EXPECT_EQ(state.entries, (std::vector<StoredEntry>{{3, "c"}}));
}

TEST(MemoryLogTest, AFailedBatchLeavesNoTraceAndTheSameSeedFailsTheSameOnes) {
    const auto run = [](std::uint64_t seed) {
        MemoryLog log(std::make_shared<MemoryDisk>(), {.seed = seed, .write_error = 0.5});
        std::string pattern;
        std::size_t kept = 0;
        for (int i = 0; i < 100; ++i) {
            (void)
                log.append(
                       {"x"},
                       [&](const Result<std::uint64_t>& seq) {
                           pattern += seq.ok() ? '.' : 'E';
                           kept += seq.ok() ? 1 : 0;
                       }
                ).ok();
        }
        log.run();
        EXPECT_EQ(log.load()->entries.size(), kept);
        EXPECT_EQ(log.load()->entries.back().seq, kept);
        return pattern;
    };
    EXPECT_EQ(run(1), run(1));
    EXPECT_NE(run(1), run(2));
}

}  // namespace
}  // namespace datapunk::mesh::store
