#include "io/heap_trim.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <thread>
#include <vector>

namespace datapunk::mesh::io {
namespace {

constexpr std::uint64_t kMiB = 1024UL * 1024;

HeapUse mib(std::uint64_t resident, std::uint64_t in_use) {
    return {.resident_bytes = resident * kMiB, .in_use_bytes = in_use * kMiB};
}

TEST(HeapTrim, IsDueOnceABurstIsOver) {
    HeapTrim rule;
    EXPECT_FALSE(rule.is_due(mib(3, 2)));
    EXPECT_FALSE(rule.is_due(mib(23, 22))) << "it is needed";
    EXPECT_TRUE(rule.is_due(mib(23, 2)));
    rule.trimmed(mib(4, 2));
    EXPECT_FALSE(rule.is_due(mib(4, 2)));
}

TEST(HeapTrim, WaitsWhileTheHeapGrows) {
    HeapTrim rule;
    EXPECT_FALSE(rule.is_due(mib(20, 1)));
    EXPECT_FALSE(rule.is_due(mib(40, 10)));
    EXPECT_FALSE(rule.is_due(mib(40, 12)));
    EXPECT_TRUE(rule.is_due(mib(40, 12)));
}

// Pages with one small thing in use stay: asking for them again and again would be for nothing.
TEST(HeapTrim, DoesNotTryAgainForWhatWasLeft) {
    HeapTrim rule;
    EXPECT_FALSE(rule.is_due(mib(3, 2)));
    EXPECT_TRUE(rule.is_due(mib(23, 2)));
    rule.trimmed(mib(13, 2));
    EXPECT_FALSE(rule.is_due(mib(13, 2)));
    EXPECT_TRUE(rule.is_due(mib(14, 2))) << "there is more than was left";
}

TEST(HeapTrim, WhatTheSystemTookBackMeanwhileIsNotLeft) {
    HeapTrim rule;
    EXPECT_FALSE(rule.is_due(mib(23, 2)));
    EXPECT_FALSE(rule.is_due(mib(4, 2)));
    EXPECT_TRUE(rule.is_due(mib(6, 2)));
}

TEST(HeapTrim, LessInUseThanResidentMayBeUnknown) {
    HeapTrim rule;
    EXPECT_FALSE(rule.is_due(mib(2, 3)));  // part of it is swapped out
    EXPECT_FALSE(rule.is_due(mib(2, 3)));
}

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
// As a worker leaves it: much that was freed, beneath a little that was not.
TEST(HeapTrim, GivesBackWhatAThreadHasFreed) {
    HeapTrim rule;
    trim_heap_if_due(rule);
    std::unique_ptr<char[]> above;
    std::thread([&] {
        std::vector<std::unique_ptr<char[]>> burst;
        for (std::size_t i = 0; i < 32 * 1024; ++i) {
            burst.push_back(std::make_unique<char[]>(1024));
            std::memset(burst.back().get(), 1, 1024);
        }
        above = std::make_unique<char[]>(1024);
        above[0] = 1;
        trim_heap_if_due(rule);
        EXPECT_GT(read_heap_use().in_use_bytes, 32 * kMiB);
    }).join();
    const HeapUse before = read_heap_use();
    trim_heap_if_due(rule);
    trim_heap_if_due(rule);
    EXPECT_LT(read_heap_use().resident_bytes, before.resident_bytes - 24 * kMiB);
}
#endif

TEST(ForgetStartPages, TheProgramGoesOn) {
    forget_start_pages();
    EXPECT_STREQ(std::string(40, 'x').c_str(), "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
}

}  // namespace
}  // namespace datapunk::mesh::io
