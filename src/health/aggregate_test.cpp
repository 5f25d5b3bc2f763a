#include "health/aggregate.h"

#include <gtest/gtest.h>

#include <vector>

namespace datapunk::mesh::health {
namespace {

using Checks = std::vector<CheckView>;

TEST(Aggregate, NoChecksAtAllArePassing) {
    const Aggregate sum = aggregate({}, {});
    EXPECT_EQ(sum, Aggregate{});
    EXPECT_EQ(reason(sum), "passing");
    EXPECT_EQ(http_status(sum), 200);
}

TEST(Aggregate, TheWorstCheckOfNodeAndServiceDecides) {
    const Checks node = {{"serfHealth", Health::passing}, {"disk", Health::warning}};
    const Checks good = {{"service:a", Health::passing}};
    const Checks bad = {{"service:a:1", Health::critical}, {"service:a:2", Health::critical}};
    EXPECT_EQ(aggregate(node, good).status, Health::warning);
    EXPECT_EQ(aggregate(node, good).decided_by, "disk");
    EXPECT_EQ(http_status(aggregate(node, good)), 429);
    EXPECT_EQ(aggregate(node, bad).status, Health::critical);
    EXPECT_EQ(aggregate(node, bad).decided_by, "service:a:1");
    EXPECT_EQ(http_status(aggregate(node, bad)), 503);
}

TEST(Aggregate, MaintenanceIsNamedEvenBesideOtherCriticalChecks) {
    const Checks node = {{"serfHealth", Health::critical}};
    const Checks service = {{"_service_maintenance:web-1", Health::critical}};
    const Aggregate sum = aggregate(node, service);
    EXPECT_TRUE(sum.maintenance);
    EXPECT_EQ(sum.decided_by, "_service_maintenance:web-1");
    EXPECT_EQ(reason(sum), "maintenance");
    EXPECT_EQ(http_status(sum), 503);
    EXPECT_TRUE(is_maintenance("_node_maintenance"));
    EXPECT_FALSE(is_maintenance("_service_maintenance"));
    EXPECT_FALSE(is_maintenance("node_maintenance"));
}

TEST(Aggregate, ConsulsPassingLeavesWarningsOut) {
    EXPECT_TRUE(keeps(Filter::passing, Health::passing));
    EXPECT_FALSE(keeps(Filter::passing, Health::warning));
    EXPECT_TRUE(keeps(Filter::not_critical, Health::warning));
    EXPECT_FALSE(keeps(Filter::not_critical, Health::critical));
    EXPECT_TRUE(keeps(Filter::all, Health::critical));
}

}  // namespace
}  // namespace datapunk::mesh::health
