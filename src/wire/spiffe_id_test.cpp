#include "wire/spiffe_id.h"

#include <gtest/gtest.h>

namespace datapunk::mesh::wire {
namespace {

TEST(SpiffeId, HasATrustDomainAndAPath) {
    const auto id = parse_spiffe_id("spiffe://mesh.example/prod/web-1");
    ASSERT_TRUE(id.has_value());
    EXPECT_EQ(id->trust_domain, "mesh.example");
    EXPECT_EQ(id->path, "/prod/web-1");
    const auto domain = parse_spiffe_id("spiffe://mesh.example");
    ASSERT_TRUE(domain.has_value());
    EXPECT_EQ(domain->path, "");
}

TEST(SpiffeId, IsRefusedUnlessItIsWrittenToTheLetter) {
    for (const std::string_view bad :
         {"",
          "spiffe:",
          "spiffe://",
          "spiffe:///web",
          "SPIFFE://mesh/web",
          "https://mesh/web",
          "spiffe://Mesh/web",
          "spiffe://mesh:80/web",
          "spiffe://user@mesh/web",
          "spiffe://mesh/",
          "spiffe://mesh/web/",
          "spiffe://mesh//web",
          "spiffe://mesh/./web",
          "spiffe://mesh/../web",
          "spiffe://mesh/w%65b",
          "spiffe://mesh/web?a",
          "spiffe://mesh/web#a",
          "spiffe://mesh/w b",
          "spiffe://mesh/w;b",
          "spiffe://m\xc3\xa9sh/web"}) {
        EXPECT_FALSE(parse_spiffe_id(bad).has_value()) << bad;
    }
    EXPECT_FALSE(parse_spiffe_id(std::string("spiffe://mesh/a\0b", 17)).has_value());
    const std::string prefix = "spiffe://mesh/";
    EXPECT_TRUE(parse_spiffe_id(prefix + std::string(2048 - prefix.size(), 'a')).has_value());
    EXPECT_FALSE(parse_spiffe_id(prefix + std::string(2049 - prefix.size(), 'a')).has_value());
    EXPECT_TRUE(parse_spiffe_id("spiffe://" + std::string(255, 'a') + "/b").has_value());
    EXPECT_FALSE(parse_spiffe_id("spiffe://" + std::string(256, 'a') + "/b").has_value());
}

TEST(SpiffePattern, IsAnIdOrAllBelowOne) {
    EXPECT_TRUE(check_spiffe_pattern("spiffe://mesh/web").ok());
    EXPECT_TRUE(check_spiffe_pattern("spiffe://mesh/*").ok());
    EXPECT_TRUE(check_spiffe_pattern("spiffe://mesh/prod/*").ok());
    for (const std::string_view bad :
         {"",
          "*",
          "/*",
          "spiffe://*",
          "spiffe://mesh",
          "spiffe://mesh/w*",
          "spiffe://mesh/*/web",
          "spiffe://mesh//*",
          "web"})
        EXPECT_FALSE(check_spiffe_pattern(bad).ok()) << bad;
}

TEST(SpiffePattern, MatchesWholeSegmentsOnly) {
    EXPECT_TRUE(spiffe_matches("spiffe://mesh/web", "spiffe://mesh/web"));
    EXPECT_FALSE(spiffe_matches("spiffe://mesh/web", "spiffe://mesh/web2"));
    EXPECT_FALSE(spiffe_matches("spiffe://mesh/web", "spiffe://mesh/web/a"));
    EXPECT_TRUE(spiffe_matches("spiffe://mesh/*", "spiffe://mesh/web/a"));
    EXPECT_FALSE(spiffe_matches("spiffe://mesh/*", "spiffe://mesh2/web"));
    EXPECT_FALSE(spiffe_matches("spiffe://mesh/*", "spiffe://mesh"));
    EXPECT_FALSE(spiffe_matches("spiffe://mesh/prod/*", "spiffe://mesh/production/web"));
    EXPECT_FALSE(spiffe_matches("spiffe://mesh/*", "")) << "nobody is never meant";
    EXPECT_FALSE(spiffe_matches_any({}, "spiffe://mesh/web"));
    EXPECT_TRUE(spiffe_matches_any({"spiffe://mesh/a", "spiffe://mesh/b"}, "spiffe://mesh/b"));
}

}  // namespace
}  // namespace datapunk::mesh::wire
