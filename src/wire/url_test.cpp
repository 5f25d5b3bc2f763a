#include "wire/url.h"

#include <gmock/gmock.h>

#include <string>

namespace datapunk::mesh::wire {
namespace {

TEST(Percent, DecodesAndEncodes) {
    EXPECT_EQ(percent_decode("a%20b%2Fc%2f+"), "a b/c/+");
    EXPECT_EQ(percent_decode("%00"), std::string(1, '\0'));
    EXPECT_FALSE(percent_decode("%"));
    EXPECT_FALSE(percent_decode("%4"));
    EXPECT_FALSE(percent_decode("%4g"));
    EXPECT_FALSE(percent_decode("%+1"));
    EXPECT_EQ(percent_encode("a b/\xc3\xa9~"), "a%20b%2F%C3%A9~");
    std::string all;
    for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
    EXPECT_EQ(percent_decode(percent_encode(all)), all);
}

TEST(HostPort, ReadsNamesAddressesAndPorts) {
    EXPECT_EQ(*parse_host_port("a"), (HostPort{"a", std::nullopt}));
    EXPECT_EQ(*parse_host_port("api_service.x:80"), (HostPort{"api_service.x", 80}));
    EXPECT_EQ(*parse_host_port("10.0.0.1:0"), (HostPort{"10.0.0.1", 0}));
    EXPECT_EQ(*parse_host_port("[::1]"), (HostPort{"::1", std::nullopt}));
    EXPECT_EQ(*parse_host_port("[fe80::1]:65535"), (HostPort{"fe80::1", 65535}));
    for (const std::string_view text : {"a:80", "[::1]:80", "a", "[::1]"})
        EXPECT_EQ(parse_host_port(text)->text(), text);
}

TEST(HostPort, RefusesTheRestWithAReason) {
    for (const std::string_view text :
         {"",
          ":80",
          "a:",
          "a:65536",
          "a:-1",
          "a:+1",
          "a:8x",
          "a b",
          "a/b",
          "u@a",
          "::1",
          "fe80::1:80",
          "[::1",
          "[]",
          "[a]",
          "[::1]x",
          "[::1]:",
          "a:1:2"}) {
        const Result<HostPort> result = parse_host_port(text);
        ASSERT_FALSE(result) << text;
        EXPECT_EQ(result.error().code, Code::invalid);
    }
    EXPECT_THAT(parse_host_port("::1").error().what, testing::HasSubstr("no host"));
    EXPECT_THAT(parse_host_port("a:1:2").error().what, testing::HasSubstr("[address]:port"));
}

TEST(Url, ReadsItsParts) {
    EXPECT_EQ(*parse_url("HTTP://A:81/x/y?z=1&w#f"), (Url{"http", "a", 81, "/x/y", "z=1&w"}));
    EXPECT_EQ(*parse_url("http://a"), (Url{"http", "a", 80, "/", ""}));
    EXPECT_EQ(*parse_url("https://[::1]?q"), (Url{"https", "::1", 443, "/", "q"}));
    EXPECT_EQ(*parse_url("redis://r:6379/0"), (Url{"redis", "r", 6379, "/0", ""}));
    EXPECT_EQ(parse_url("etcd://r")->port, 0);
}

TEST(Url, RefusesTheRest) {
    for (const std::string_view text :
         {"",
          "a",
          "a:80",
          "/x",
          "://a",
          "http://",
          "http:///x",
          "http://a b/",
          "http://u:p@a/",
          "http://a:x/",
          "ht_tp://a",
          "http://a/\n"})
        EXPECT_FALSE(parse_url(text)) << text;
    EXPECT_THAT(
        parse_url("http://u:secret@a/").error().what, testing::Not(testing::HasSubstr("secret"))
    );
    EXPECT_TRUE(parse_url("http://a/" + std::string(8192 - 9, 'x')));
    EXPECT_FALSE(parse_url("http://a/" + std::string(8192 - 8, 'x')));
}

TEST(PathQuery, SplitsAtTheFirstMark) {
    EXPECT_EQ(split_path_query("/a?b?c").path, "/a");
    EXPECT_EQ(split_path_query("/a?b?c").query, "b?c");
    EXPECT_EQ(split_path_query("/a").query, "");
    EXPECT_EQ(split_path_query("/a#?b").path, "/a");
}

TEST(Query, KeepsRepeatedKeysAndKeysWithoutValue) {
    const Result<Query> query = Query::parse("tag=v1&tag=v%202&passing&dc=&&x=a=b&n+m=1+2");
    ASSERT_TRUE(query);
    EXPECT_THAT(query->values("tag"), testing::ElementsAre("v1", "v 2"));
    EXPECT_TRUE(query->has("passing"));
    EXPECT_FALSE(query->parameters()[2].has_value);
    EXPECT_EQ(query->value("dc"), "");
    EXPECT_EQ(query->value("x"), "a=b");
    EXPECT_EQ(query->value("n m"), "1 2");
    EXPECT_FALSE(query->has("nothing"));
    EXPECT_TRUE(Query::parse("")->parameters().empty());
}

TEST(Query, RefusesBadEscapesAndTooMany) {
    EXPECT_THAT(Query::parse("a=1&b=%zz").error().what, testing::HasSubstr("b=%zz"));
    std::string many = "k";
    for (int i = 1; i < 256; ++i) many += "&k";
    EXPECT_TRUE(Query::parse(many));
    EXPECT_FALSE(Query::parse(many + "&k"));
}

}  // namespace
}  // namespace datapunk::mesh::wire
