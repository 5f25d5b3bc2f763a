#include "routing/host.h"

#include <gtest/gtest.h>

namespace datapunk::mesh::routing {
namespace {

TEST(Host, IsLoweredAndLosesPortAndFinalDot) {
    EXPECT_EQ(normal_host("API.Example.com"), "api.example.com");
    EXPECT_EQ(normal_host("api.example.com:8080"), "api.example.com");
    EXPECT_EQ(normal_host("api.example.com.:8080"), "api.example.com");
    EXPECT_EQ(normal_host("api:"), "api");
    EXPECT_EQ(normal_host("[::1]:80"), "[::1]");
    EXPECT_EQ(normal_host("[2001:DB8::1]"), "[2001:db8::1]");
}

TEST(Host, WhatIsNoHostIsRefused) {
    for (const std::string_view text :
         {"", ".", ":80", "a:b", "a:1:2", "[::1", "[::1]x", "a/b", "u@h", "a b", "*", "a\x01"}) {
        EXPECT_FALSE(normal_host(text)) << text;
    }
    EXPECT_TRUE(normal_host(std::string(kHostBytesMax, 'a')));
    EXPECT_FALSE(normal_host(std::string(kHostBytesMax + 1, 'a')));
}

TEST(Host, Patterns) {
    for (const std::string_view good : {"*", "a", "a.b", "*.b", "*.a.b", "[::1]"}) {
        EXPECT_TRUE(is_host_pattern(good)) << good;
    }
    for (const std::string_view bad : {"", "*.", "*b", "a.*", "*.*.b", "a:80", "a."}) {
        EXPECT_FALSE(is_host_pattern(bad)) << bad;
    }
}

}  // namespace
}  // namespace datapunk::mesh::routing
