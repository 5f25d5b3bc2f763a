#include "policy/load_pool.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <set>
#include <vector>

namespace datapunk::mesh::policy {
namespace {

TEST(LoadPool, LinesOfManyLieOnFewPages) {
    constexpr std::size_t kCells = 10'000;
    LoadPool pool;
    std::set<std::uintptr_t> lines;
    std::set<std::uintptr_t> pages;
    for (std::size_t i = 0; i < kCells; ++i) {
        const auto address = reinterpret_cast<std::uintptr_t>(&pool.take());
        EXPECT_EQ(address % balance::kCacheLineBytes, 0U);
        lines.insert(address);
        pages.insert(address / 4096);
    }
    EXPECT_EQ(lines.size(), kCells);
    EXPECT_LE(pages.size(), kCells * balance::kCacheLineBytes / 4096 + 40);
}

TEST(LoadPool, FewTakeLittle) {
    LoadPool pool;
    for (int i = 0; i < 3; ++i) pool.take();
    EXPECT_EQ(pool.size(), 4U);
}

TEST(LoadPool, WhatIsGivenBackIsTakenAgainAsNew) {
    LoadPool pool;
    std::vector<balance::EndpointLoad*> taken;
    for (int i = 0; i < 100; ++i) taken.push_back(&pool.take());
    const std::size_t size = pool.size();
    for (balance::EndpointLoad* load : taken) {
        load->in_flight = 3;
        load->latency_ns = 1e6;
        load->owner_word = 5;
        load->owner_number = 9;
        pool.give_back(*load);
    }
    std::set<balance::EndpointLoad*> again;
    for (std::size_t i = 0; i < taken.size(); ++i) {
        balance::EndpointLoad& load = pool.take();
        EXPECT_EQ(load.in_flight.load(), 0U);
        EXPECT_EQ(load.latency_ns.load(), 0.0);
        EXPECT_EQ(load.owner_word.load(), 0U);
        EXPECT_EQ(load.owner_number, 0U);
        EXPECT_TRUE(load.available(Instant{}));
        again.insert(&load);
    }
    EXPECT_EQ(again.size(), taken.size());
    EXPECT_EQ(pool.size(), size);
}

}  // namespace
}  // namespace datapunk::mesh::policy
