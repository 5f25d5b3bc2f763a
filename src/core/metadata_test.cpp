#include "core/metadata.h"

#include <datapunk/mesh/filter.h>
#include <gmock/gmock.h>

namespace datapunk::mesh {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

ServiceConfig web() {
    return {
        .name = "web",
        .host = "10.0.0.1",
        .port = 80,
        .version = "1.4.2+build~5",
        .environment = "production",
        .region = "eu-west",
        .zone = "eu-west-1a",
        .capabilities = {"http/2", "grpc"},
        .dependencies = {"db", "user_service"},
    };
}

std::string problem_of(ServiceConfig config) {
    const auto verdict = checked(std::move(config));
    return verdict ? std::string() : verdict.error().what;
}

TEST(Metadata, FieldsStandInTheMetadataAndAreReadBack) {
    const auto good = checked(web());
    ASSERT_TRUE(good) << good.error().what;
    EXPECT_EQ(good->meta.at("version"), "1.4.2+build~5");
    EXPECT_EQ(good->meta.at("capabilities"), "http/2,grpc");
    EXPECT_EQ(good->meta.at("dependencies"), "db,user_service");
    const auto again = checked(*good);
    ASSERT_TRUE(again);
    EXPECT_EQ(*again, *good);

    const ServiceConfig bare{.name = "web", .host = "h", .port = 1, .meta = good->meta};
    const auto read = checked(bare);
    ASSERT_TRUE(read);
    EXPECT_EQ(read->zone, "eu-west-1a");
    EXPECT_THAT(read->capabilities, ElementsAre("http/2", "grpc"));

    const ServiceEndpoint endpoint{.metadata = good->meta};
    EXPECT_EQ(endpoint.version(), "1.4.2+build~5");
    EXPECT_EQ(endpoint.environment(), "production");
    EXPECT_EQ(endpoint.region(), "eu-west");
    EXPECT_EQ(endpoint.zone(), "eu-west-1a");
    EXPECT_THAT(endpoint.capabilities(), ElementsAre("http/2", "grpc"));
    EXPECT_TRUE(endpoint.has_capability("grpc"));
    EXPECT_FALSE(endpoint.has_capability("grp"));
    EXPECT_FALSE(endpoint.has_capability("http/2,grpc"));
    EXPECT_THAT(endpoint.dependencies(), ElementsAre("db", "user_service"));
    EXPECT_THAT(ServiceEndpoint{}.capabilities(), IsEmpty());
}

TEST(Metadata, TheTwoPlacesMayNotDisagree) {
    ServiceConfig config = web();
    config.meta = {{"zone", "eu-west-1a"}};
    EXPECT_EQ(problem_of(config), "");
    config.meta = {{"zone", "other"}};
    EXPECT_THAT(problem_of(config), HasSubstr(R"(zone is "eu-west-1a", but "other")"));
}

TEST(Metadata, HoldsBothSidesOfEachLimit) {
    const auto with = [](auto change) {
        ServiceConfig config = web();
        change(config);
        return problem_of(std::move(config));
    };
    EXPECT_EQ(with([](auto& c) { c.version = std::string(64, '1'); }), "");
    EXPECT_THAT(with([](auto& c) { c.version = std::string(65, '1'); }), HasSubstr("version"));
    EXPECT_THAT(with([](auto& c) { c.version = "1 2"; }), HasSubstr("1..64 of"));
    EXPECT_EQ(with([](auto& c) { c.zone = std::string(63, 'z'); }), "");
    EXPECT_THAT(with([](auto& c) { c.zone = std::string(64, 'z'); }), HasSubstr("zone"));
    EXPECT_THAT(with([](auto& c) { c.region = "eu/west"; }), HasSubstr("region"));
    EXPECT_THAT(with([](auto& c) { c.environment = "täst"; }), HasSubstr("environment"));
    EXPECT_THAT(with([](auto& c) { c.capabilities = {"a,b"}; }), HasSubstr("without commas"));
    EXPECT_THAT(with([](auto& c) { c.capabilities = {""}; }), HasSubstr("capabilities"));
    EXPECT_THAT(with([](auto& c) { c.capabilities = {"a b"}; }), HasSubstr("capabilities"));
    EXPECT_THAT(with([](auto& c) { c.dependencies = {"Db"}; }), HasSubstr("dependencies"));
    // All of a list fits into one value.
    const auto many = [](std::size_t words) {
        return [words](auto& c) { c.capabilities.assign(words, std::string(15, 'c')); };
    };
    EXPECT_EQ(with(many(32)), "");  // 32 * 16 - 1 = 511
    EXPECT_THAT(with(many(33)), HasSubstr("512"));
    // With the fields there are at most 64 pairs.
    const auto pairs = [](int n) {
        return [n](auto& c) {
            for (int i = 0; i < n; ++i) c.meta.emplace("k" + std::to_string(i), "v");
        };
    };
    EXPECT_EQ(with(pairs(58)), "");
    EXPECT_THAT(with(pairs(59)), HasSubstr("65 metadata pairs"));
}

TEST(DiscoveryFilter, EverythingThatIsSetMustHold) {
    const ServiceEndpoint endpoint{
        .tags = {"v1", "canary"},
        .metadata = checked(web())->meta,
        .health = Health::warning,
    };
    EXPECT_TRUE(DiscoveryFilter{}.empty());
    EXPECT_TRUE(DiscoveryFilter{}.matches(endpoint));
    const DiscoveryFilter all{
        .tags = {"canary", "v1"},
        .metadata = {{"region", "eu-west"}},
        .version = "1.4.2+build~5",
        .environment = "production",
        .region = "eu-west",
        .zone = "eu-west-1a",
        .capabilities = {"grpc"},
        .healthy = true,
    };
    EXPECT_FALSE(all.empty());
    EXPECT_TRUE(all.matches(endpoint));
    const auto fails = [&](auto change) {
        DiscoveryFilter one = all;
        change(one);
        return !one.matches(endpoint);
    };
    EXPECT_TRUE(fails([](auto& f) { f.tags.push_back("v2"); }));
    EXPECT_TRUE(fails([](auto& f) { f.metadata["region"] = "eu"; }));
    EXPECT_TRUE(fails([](auto& f) { f.metadata["none"] = ""; }));
    EXPECT_TRUE(fails([](auto& f) { f.version = "1.4"; }));
    EXPECT_TRUE(fails([](auto& f) { f.environment = "test"; }));
    EXPECT_TRUE(fails([](auto& f) { f.region = "us"; }));
    EXPECT_TRUE(fails([](auto& f) { f.zone = "eu-west-1b"; }));
    EXPECT_TRUE(fails([](auto& f) { f.capabilities.push_back("http/3"); }));
    ServiceEndpoint ill = endpoint;
    ill.health = Health::critical;
    EXPECT_FALSE(all.matches(ill));
}

TEST(DiscoveryFilter, WhatNothingCanMatchIsAnError) {
    EXPECT_TRUE(check(DiscoveryFilter{.tags = {"v1"}, .zone = "a"}));
    EXPECT_FALSE(check(DiscoveryFilter{.zone = "a b"}));
    EXPECT_FALSE(check(DiscoveryFilter{.tags = {""}}));
    EXPECT_FALSE(check(DiscoveryFilter{.capabilities = {"a,b"}}));
    EXPECT_FALSE(check(DiscoveryFilter{.metadata = {{"zone", "b"}}, .zone = "a"}));
    EXPECT_TRUE(check(DiscoveryFilter{.tags = std::vector<std::string>(64, "t")}));
    EXPECT_FALSE(check(DiscoveryFilter{.tags = std::vector<std::string>(65, "t")}));
    EXPECT_EQ(
        to_string(DiscoveryFilter{.tags = {"v1"}, .metadata = {{"k", "v"}}, .healthy = true}),
        "tag=v1 k=v healthy"
    );
}

}  // namespace
}  // namespace datapunk::mesh
