#include "server/filter/filter.h"

#include <gtest/gtest.h>

#include "server/filter/filter_rows.h"

namespace datapunk::mesh::server {
namespace {

class FilterTest : public testing::Test {
  public:
    FilterTest() {
        node_.row = {
            .name = "n1",
            .id = "u-1",
            .address = "10.0.0.1",
            .tagged_addresses = {{"lan", "10.0.0.1"}},
            .meta = {{"rack", "r1"}},
            .index = {}
        };
        node_.checks["serfHealth"] = {
            .id = "serfHealth", .name = "Serf", .status = Health::passing
        };
        instance_.row.id = "web-1";
        instance_.row.name = "web";
        instance_.row.tags = {"v1", "eu"};
        instance_.row.meta = {{"version", "1.2.3"}};
        instance_.row.port = 8080;
        instance_.row.enable_tag_override = true;
        instance_.row.weights = {10, 2};
        instance_.row.tagged_addresses = {{"lan", {"10.0.0.9", 81}}};
        instance_.checks["c"] = {
            .id = "c", .name = "ttl", .status = Health::warning, .output = "slow"
        };
    }

    bool holds(std::string_view text) { return asks(text, health_schema()); }

    bool asks(std::string_view text, const FilterSchema& schema) {
        const auto filter = Filter::compile(text, schema);
        EXPECT_TRUE(filter) << text << ": " << filter.error().what;
        const InstanceView view{{&node_, &instance_}, "dc1"};
        return filter && filter->matches(&view);
    }

    static std::string refusal(
        std::string_view text, const FilterSchema& schema = health_schema()
    ) {
        const auto filter = Filter::compile(text, schema);
        return filter ? "accepted" : filter.error().what;
    }

    catalog::CatalogNode node_;
    catalog::Instance instance_;
};

TEST_F(FilterTest, ComparesTextNumbersAndTruth) {
    EXPECT_TRUE(holds("Service.Service == web"));
    EXPECT_FALSE(holds("Service.Service != web"));
    EXPECT_TRUE(holds("Service.Port == 8080"));
    EXPECT_TRUE(holds("Service.Port == `0x1F90`"));
    EXPECT_TRUE(holds("Service.Port != 80"));
    EXPECT_TRUE(holds("Service.EnableTagOverride == true"));
    EXPECT_FALSE(holds("Service.EnableTagOverride == f"));
    EXPECT_TRUE(holds("Service.Weights.Passing == 10 and Service.Weights.Warning == 2"));
    EXPECT_TRUE(holds("Node.Datacenter == dc1 and Node.Address == `10.0.0.1`"));
    EXPECT_TRUE(holds("we in Service.Service"));  // of a text: a part of it
}

TEST_F(FilterTest, LooksIntoListsAndMaps) {
    EXPECT_TRUE(holds("v1 in Service.Tags and Service.Tags contains eu"));
    EXPECT_FALSE(holds("v in Service.Tags"));
    EXPECT_TRUE(holds("v2 not in Service.Tags and Service.Tags is not empty"));
    EXPECT_TRUE(holds("Service.Meta.version == `1.2.3`"));
    EXPECT_TRUE(holds("version in Service.Meta and color not in Service.Meta"));
    EXPECT_TRUE(holds("Node.Meta[\"rack\"] == r1 and Node.TaggedAddresses.lan == `10.0.0.1`"));
    EXPECT_TRUE(holds("Service.TaggedAddresses.lan.Port == 81 and lan in Service.TaggedAddresses"));
    EXPECT_TRUE(holds("Service.TaggedAddresses is not empty"));
}

TEST_F(FilterTest, AKeyThatIsNotThereIsUnequalToEverything) {
    EXPECT_FALSE(holds("Service.Meta.nope == x"));
    EXPECT_TRUE(holds("Service.Meta.nope != x"));
    EXPECT_FALSE(holds("x in Service.Meta.nope"));
    EXPECT_FALSE(holds("Service.TaggedAddresses.wan.Port == 81"));
    EXPECT_TRUE(holds("Service.TaggedAddresses.wan.Port != 81"));
}

TEST_F(FilterTest, ARecordOfAListIsEnough) {
    EXPECT_TRUE(holds("Checks.Status == warning"));
    EXPECT_TRUE(holds("Checks.Status == passing"));
    EXPECT_TRUE(holds("Checks.Status != warning"));  // one of them is
    EXPECT_FALSE(holds("not Checks.Status == warning"));
    EXPECT_FALSE(holds("Checks.Status == critical"));
    EXPECT_TRUE(holds("Checks is not empty and v1 in Checks.ServiceTags"));
    EXPECT_TRUE(holds("Checks.Output == slow"));
}

TEST_F(FilterTest, MatchesPatternsAnywhereInTheText) {
    EXPECT_TRUE(holds("Service.ID matches `^web-[0-9]+$`"));
    EXPECT_TRUE(holds("Service.ID matches eb"));
    EXPECT_TRUE(holds("Service.ID not matches `^[0-9]`"));
    EXPECT_EQ(
        refusal("Service.ID matches `(`"),
        "Failed to compile regular expression \"(\": error parsing regexp: missing closing ): `(`"
    );
}

// What ends engines that backtrack: linear here, and a pattern that would take much memory is
// refused.
TEST_F(FilterTest, NoPatternTakesLong) {
    instance_.row.id = std::string(5000, 'a') + "!";
    EXPECT_FALSE(holds("Service.ID matches `^(a+)+$`"));
    EXPECT_FALSE(holds("Service.ID matches `^(a|aa)+$`"));
    EXPECT_NE(refusal("Service.ID matches `((a{100}){100}){100}`"), "accepted");
}

TEST_F(FilterTest, TheCatalogsNamesAreOthers) {
    EXPECT_TRUE(asks("ServiceName == web and ServicePort == 8080", catalog_service_schema()));
    EXPECT_TRUE(asks("NodeMeta.rack == r1 and Node == n1", catalog_service_schema()));
    EXPECT_TRUE(asks("ServiceTaggedAddresses.lan.Address == `10.0.0.9`", catalog_service_schema()));
    EXPECT_EQ(
        refusal("Service.Port == 1", catalog_service_schema()), "Selector \"Service\" is not valid"
    );
}

TEST_F(FilterTest, RefusesInConsulsWords) {
    EXPECT_EQ(refusal("Bogus == 1"), "Selector \"Bogus\" is not valid");
    EXPECT_EQ(refusal("Service.Nope.Deep == 1"), "Selector \"Service.Nope\" is not valid");
    EXPECT_EQ(refusal("Service.Port.x == 1"), "Selector \"Service.Port.x\" is not valid");
    EXPECT_EQ(
        refusal("Service.Tags == v1"),
        "Invalid match operator \"Equal\" for selector \"Service.Tags\""
    );
    EXPECT_EQ(
        refusal("Service.Port matches 8"),
        "Invalid match operator \"Matches\" for selector \"Service.Port\""
    );
    EXPECT_EQ(refusal("Node == n1"), "Invalid match operator \"Equal\" for selector \"Node\"");
    EXPECT_EQ(
        refusal("Service.Port == abc"),
        "Failed to coerce value \"abc\" for selector \"Service.Port\": strconv.ParseInt: parsing "
        "\"abc\": invalid syntax"
    );
    EXPECT_EQ(
        refusal("Service.Port == 99999999999999999999"),
        "Failed to coerce value \"99999999999999999999\" for selector \"Service.Port\": "
        "strconv.ParseInt: parsing \"99999999999999999999\": value out of range"
    );
    EXPECT_EQ(
        refusal("Service.EnableTagOverride == 2"),
        "Failed to coerce value \"2\" for selector \"Service.EnableTagOverride\": "
        "strconv.ParseBool: parsing \"2\": invalid syntax"
    );
}

}  // namespace
}  // namespace datapunk::mesh::server
