#include "core/block_pool.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <cstring>
#include <thread>
#include <vector>

namespace datapunk::mesh::core {
namespace {

constexpr std::size_t kBytes = 1000;

// The same blocks again and again are what a pool is for: their addresses tell.
TEST(BlockPool, WhatWasFreedIsGivenAgain) {
    if (!kBlocksArePooled) GTEST_SKIP() << "under AddressSanitizer every block is the heap's";
    void* first = allocate_block(kBytes);
    free_block(first, kBytes);
    void* again = allocate_block(kBytes);
    EXPECT_EQ(again, first);
    sweep_blocks();
    free_block(again, kBytes);
    sweep_blocks();
    void* once_more = allocate_block(kBytes);
    EXPECT_EQ(once_more, first) << "a sweep leaves what was in use since the last";
    free_block(once_more, kBytes);
}

std::size_t in_use() {
    return mallinfo2().uordblks;
}

TEST(BlockPool, SweepsGiveBackWhatABurstLeft) {
    if (!kBlocksArePooled) GTEST_SKIP() << "under AddressSanitizer every block is the heap's";
    std::thread([] {
        constexpr std::size_t kBurst = 400;
        const auto make = [](std::size_t count) {
            std::vector<void*> blocks(count);
            for (void*& block : blocks) {
                block = allocate_block(kBytes);
                std::memset(block, 1, kBytes);
            }
            for (void* block : blocks) free_block(block, kBytes);
        };
        make(1);
        const std::size_t before = in_use();
        make(kBurst);
        EXPECT_GT(in_use(), before + kBurst * kBytes / 2) << "they are kept for the next burst";
        for (int i = 0; i < 12; ++i) {
            sweep_blocks();
            make(2);  // what is always needed
        }
        EXPECT_LT(in_use(), before + 16 * kBytes);
    }).join();
}

TEST(BlockPool, LargeOnesAreTheHeaps) {
    void* block = allocate_block(64UL * 1024);
    std::memset(block, 1, 64UL * 1024);
    free_block(block, 64UL * 1024);
    sweep_blocks();
}

}  // namespace
}  // namespace datapunk::mesh::core
