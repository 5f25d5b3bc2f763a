#include "core/kept.h"

#include <gtest/gtest.h>

#include <memory>

namespace datapunk::mesh::core {
namespace {

TEST(Kept, GivesBackTheLatestFirst) {
    Kept<int> kept(3);
    kept.put(1);
    kept.put(2);
    EXPECT_EQ(kept.take(), 2);
    EXPECT_EQ(kept.take(), 1);
    EXPECT_TRUE(kept.empty());
}

TEST(Kept, IsFullAtItsLimit) {
    Kept<int> kept(2);
    kept.put(1);
    EXPECT_FALSE(kept.full());
    kept.put(2);
    EXPECT_TRUE(kept.full());
}

TEST(Kept, WhatNobodyNeedsGoesByHalves) {
    Kept<std::unique_ptr<int>> kept(8);
    for (int i = 0; i < 8; ++i) kept.put(std::make_unique<int>(i));
    kept.sweep();  // they have only just come
    EXPECT_EQ(kept.size(), 8U);
    kept.sweep();
    EXPECT_EQ(kept.size(), 4U);
    kept.sweep();
    kept.sweep();
    EXPECT_EQ(kept.size(), 1U);
    kept.sweep();
    EXPECT_TRUE(kept.empty()) << "the last one too";
}

TEST(Kept, WhatIsNeededNowAndThenStays) {
    Kept<int> kept(8);
    for (int i = 0; i < 4; ++i) kept.put(i);
    for (int round = 0; round < 10; ++round) {
        kept.sweep();
        const int one = kept.take();
        const int two = kept.take();
        kept.put(two);
        kept.put(one);
    }
    EXPECT_GE(kept.size(), 2U);
    EXPECT_LE(kept.size(), 3U);
}

}  // namespace
}  // namespace datapunk::mesh::core
