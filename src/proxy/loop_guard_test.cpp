#include "proxy/loop_guard.h"

#include <gtest/gtest.h>

namespace datapunk::mesh::proxy {
namespace {

io::SocketAddress at(const char* ip, std::uint16_t port) {
    return *io::parse_ip(ip, port);
}

TEST(LoopGuard, FindsAConnectionThatComesBackWhicheverEndIsSeenFirst) {
    LoopGuard guard;
    const auto us = at("10.0.0.1", 40'000);
    const auto there = at("10.0.0.7", 80);
    {
        const auto made = guard.made(us, there);
        ASSERT_TRUE(made);
        EXPECT_FALSE(guard.captured(us, there));
    }
    {
        const auto captured = guard.captured(us, there);
        ASSERT_TRUE(captured) << "the one before is over";
        EXPECT_FALSE(guard.has_come_back(*captured));
        EXPECT_FALSE(guard.made(us, there));
        EXPECT_TRUE(guard.has_come_back(*captured));
    }
    {
        const auto captured = guard.captured(us, there);
        EXPECT_FALSE(guard.has_come_back(*captured)) << "another with the same ends";
    }
    EXPECT_TRUE(guard.made(us, there));
}

TEST(LoopGuard, LeavesOthersAlone) {
    LoopGuard guard;
    const auto there = at("10.0.0.7", 80);
    auto made = guard.made(at("10.0.0.1", 40'000), there);
    EXPECT_TRUE(guard.captured(at("10.0.0.1", 40'001), there)) << "another port";
    EXPECT_TRUE(guard.captured(at("10.0.0.2", 40'000), there)) << "another caller";
    EXPECT_TRUE(guard.captured(at("10.0.0.1", 40'000), at("10.0.0.8", 80))) << "elsewhere";
    EXPECT_TRUE(guard.captured(at("fd00::1", 40'000), at("fd00::7", 80)));
    auto moved = std::move(made);
    EXPECT_FALSE(guard.captured(at("10.0.0.1", 40'000), there)) << "held by whom it was given to";
    moved.reset();
    EXPECT_TRUE(guard.captured(at("10.0.0.1", 40'000), there));
}

}  // namespace
}  // namespace datapunk::mesh::proxy
