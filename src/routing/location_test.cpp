#include "routing/location.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace datapunk::mesh::routing {
namespace {

using testing::HasSubstr;

std::string by_prefix(std::string prefix, std::string to, std::string_view target) {
    Route route{.path_prefix = std::move(prefix)};
    route.rewrite = Rewrite{.prefix = std::move(to)};
    return rewritten(route, Pattern(), target).value();
}

TEST(Rewrite, ReplacesTheMatchedPartAndKeepsTheRest) {
    EXPECT_EQ(by_prefix("/api", "/v2", "/api/x?q=1"), "/v2/x?q=1");
    EXPECT_EQ(by_prefix("/api/", "/v2/", "/api/x"), "/v2/x");
    EXPECT_EQ(by_prefix("/api", "/", "/api/x"), "/x");
    EXPECT_EQ(by_prefix("/api", "/", "/api"), "/");
    EXPECT_EQ(by_prefix("/api", "/", "/api?q"), "/?q");
    EXPECT_EQ(by_prefix("/", "/v2", "/x"), "/v2/x");
    EXPECT_EQ(by_prefix("/", "/", "/x"), "/x");
    EXPECT_EQ(by_prefix("/", "/v2", "*"), "*") << "OPTIONS * is of no path";
    Route exact{.path_exact = "/a/"};
    exact.rewrite = Rewrite{.prefix = "/b/"};
    EXPECT_EQ(rewritten(exact, Pattern(), "/a/?q").value(), "/b/?q");
    EXPECT_EQ(rewritten({.path_prefix = "/a"}, Pattern(), "/a/x").value(), "/a/x");
}

TEST(Rewrite, PutsAWholePathInItsPlace) {
    Route route;
    route.rewrite = Rewrite{.path = "/index.html"};
    EXPECT_EQ(rewritten(route, Pattern(), "/a/b?c=/d").value(), "/index.html?c=/d");
}

Result<std::string> by_regex(std::string regex, std::string substitution, std::string_view target) {
    Route route;
    route.rewrite = Rewrite{.regex = regex, .substitution = std::move(substitution)};
    return rewritten(route, Pattern::create(regex).value(), target);
}

TEST(Rewrite, ReplacesWhatAnExpressionMatchesInThePathAlone) {
    EXPECT_EQ(by_regex("^/users/([0-9]+)$", "/u?id=\\1", "/users/7").ok(), false) << "a query";
    EXPECT_EQ(
        by_regex("^/users/([0-9]+)", "/u/\\1", "/users/7/x?/users/8").value(), "/u/7/x?/users/8"
    );
    EXPECT_EQ(by_regex("_", "-", "/a_b_c").value(), "/a-b-c") << "every part";
    EXPECT_EQ(by_regex("x+", "[\\0]", "/y").value(), "/y");
}

TEST(Rewrite, WhatIsNoPathAnyMoreIsAnError) {
    EXPECT_FALSE(by_regex("/", "", "/a"));
    EXPECT_FALSE(by_regex("a", " ", "/a"));
    EXPECT_FALSE(by_regex("a", "#", "/a"));
    EXPECT_TRUE(by_regex("a", std::string(256, 'b'), "/" + std::string(30, 'a')));
    EXPECT_FALSE(by_regex("a", std::string(256, 'b'), "/" + std::string(40, 'a'))) << "too long";
}

std::string location(const Redirect& redirect, const AskedUrl& asked, std::string prefix = "/") {
    Route route{.path_prefix = std::move(prefix)};
    route.redirect = redirect;
    const auto made = location_of(route, asked);
    return made ? *made : "no: " + made.error().what;
}

TEST(Location, KeepsWhatIsNotSaid) {
    const AskedUrl asked{"http", "a.example:8080", "/x/y?q=1"};
    EXPECT_EQ(location({.path = "/z"}, asked), "http://a.example:8080/z?q=1");
    EXPECT_EQ(location({.path = "/z", .strip_query = true}, asked), "http://a.example:8080/z");
    EXPECT_EQ(location({.scheme = "https"}, asked), "https://a.example/x/y?q=1");
    EXPECT_EQ(location({.scheme = "https", .port = 8443}, asked), "https://a.example:8443/x/y?q=1");
    EXPECT_EQ(location({.scheme = "https", .port = 443}, asked), "https://a.example/x/y?q=1");
    EXPECT_EQ(location({.host = "b.example"}, asked), "http://b.example/x/y?q=1");
    EXPECT_EQ(location({.port = 81}, asked), "http://a.example:81/x/y?q=1");
    EXPECT_EQ(location({.prefix = "/w"}, asked, "/x"), "http://a.example:8080/w/y?q=1");
    EXPECT_EQ(location({.prefix = "/"}, asked, "/x"), "http://a.example:8080/y?q=1");
}

TEST(Location, KnowsAddressesOfIPv6) {
    EXPECT_EQ(location({.scheme = "https"}, {"http", "[::1]:80", "/"}), "https://[::1]/");
    EXPECT_EQ(location({.path = "/a"}, {"http", "[::1]:81", "/"}), "http://[::1]:81/a");
    EXPECT_EQ(location({.path = "/a"}, {"http", "[::1]", "/"}), "http://[::1]/a");
}

// Without a host "//evil.example" would be one.
TEST(Location, IsAlwaysAWholeUrlOfAKnownHost) {
    EXPECT_EQ(
        location({.scheme = "https"}, {"http", "a", "//evil.example/x"}),
        "https://a//evil.example/x"
    );
    EXPECT_THAT(location({.scheme = "https"}, {"http", "", "//evil.example"}), HasSubstr("no: "));
    EXPECT_EQ(location({.host = "b"}, {"http", "", "/"}), "http://b/");
    EXPECT_EQ(location({.scheme = "https"}, {"http", "a", "*"}), "https://a/");
}

}  // namespace
}  // namespace datapunk::mesh::routing
