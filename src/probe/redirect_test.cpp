#include "probe/redirect.h"

#include <gtest/gtest.h>

namespace datapunk::mesh::probe {
namespace {

std::string target(std::string_view location) {
    const auto from = wire::parse_url("http://a.example:8080/b/c?d=e");
    const auto to = redirect_target(*from, location);
    if (!to) return "error";
    const wire::HostPort place{.host = to->host, .port = to->port};
    return to->scheme + "://" + place.text() + to->path +
           (to->query.empty() ? "" : "?" + to->query);
}

TEST(Redirect, LocationsAreResolvedAsBrowsersDo) {
    EXPECT_EQ(target("https://x.example/y?z#f"), "https://x.example:443/y?z");
    EXPECT_EQ(target("//x.example/y"), "http://x.example:80/y");
    EXPECT_EQ(target("/y"), "http://a.example:8080/y");
    EXPECT_EQ(target("y?q"), "http://a.example:8080/b/y?q");
    EXPECT_EQ(target("../y"), "http://a.example:8080/y");
    EXPECT_EQ(target("../../../y/./z/.."), "http://a.example:8080/y/");
    EXPECT_EQ(target("/b/../.."), "http://a.example:8080/");
    EXPECT_EQ(target("?n"), "http://a.example:8080/b/c?n");
    EXPECT_EQ(target("#f"), "http://a.example:8080/b/c?d=e");
    EXPECT_EQ(target("y?u=http://z"), "http://a.example:8080/b/y?u=http://z");
}

TEST(Redirect, WhatCannotBeAskedIsAnError) {
    EXPECT_EQ(target("ftp://x/"), "error");
    EXPECT_EQ(target("http://user:secret@x/"), "error");
    EXPECT_EQ(target("http://"), "error");
    EXPECT_EQ(target("http://x:99999/"), "error");
    EXPECT_EQ(target(std::string(10'000, 'x')), "error");
}

TEST(Redirect, FiveStatusesAre) {
    for (int status = 100; status < 600; ++status) {
        const bool is =
            status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
        EXPECT_EQ(is_redirect(status), is);
    }
}

}  // namespace
}  // namespace datapunk::mesh::probe
