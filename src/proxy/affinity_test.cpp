#include "proxy/affinity.h"

#include <gtest/gtest.h>

#include "core/hash.h"

namespace datapunk::mesh::proxy {
namespace {

using wire::http1::Header;
using wire::http1::RequestHead;
using Kind = AffinityConfig::Kind;

RequestHead request_with(std::string_view name, std::string_view value) {
    RequestHead request;
    request.fields.push_back({.name = name, .value = value, .id = wire::http1::header_of(name)});
    return request;
}

std::optional<std::uint64_t> of_cookie(std::string_view header) {
    return affinity_hash({Kind::cookie, "sid"}, request_with("Cookie", header), "10.0.0.1");
}

TEST(Affinity, NoneIsNothing) {
    EXPECT_FALSE(affinity_hash({}, request_with("X-User", "ann"), "10.0.0.1"));
}

TEST(Affinity, AHeaderInAnyCase) {
    const AffinityConfig by_user{Kind::header, "x-user"};
    EXPECT_EQ(affinity_hash(by_user, request_with("X-User", "ann"), ""), core::hash64("ann"));
    EXPECT_FALSE(affinity_hash(by_user, request_with("X-Other", "ann"), ""));
}

TEST(Affinity, TheCallersAddress) {
    EXPECT_EQ(affinity_hash({Kind::address, ""}, {}, "10.0.0.1"), core::hash64("10.0.0.1"));
}

TEST(Affinity, ACookieByItsWholeName) {
    const auto expected = core::hash64("42");
    EXPECT_EQ(of_cookie("sid=42"), expected);
    EXPECT_EQ(of_cookie("a=b; sid=42; c=d"), expected);
    EXPECT_EQ(of_cookie("a=b;sid=42"), expected);
    EXPECT_EQ(of_cookie("sid=42; sid=43"), expected);
    EXPECT_EQ(of_cookie("xsid=1; sid=42"), expected);
    EXPECT_EQ(of_cookie("sid=a=b"), core::hash64("a=b"));
    EXPECT_FALSE(of_cookie("xsid=42"));
    EXPECT_FALSE(of_cookie("SID=42"));
    EXPECT_FALSE(of_cookie("sid"));
    EXPECT_FALSE(of_cookie(""));
    EXPECT_FALSE(of_cookie(";;; ; "));
}

}  // namespace
}  // namespace datapunk::mesh::proxy
