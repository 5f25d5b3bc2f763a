#include "catalog/catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "catalog/limits.h"
#include "catalog/test_support.h"

namespace datapunk::mesh::catalog {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

class CatalogTest : public testing::Test {
  protected:
    CatalogTest() { run(local_node()); }

    Applied run(Command command) {
        Result<Applied> outcome = catalog.apply(std::move(command));
        EXPECT_TRUE(outcome.ok()) << outcome.error().what;
        return outcome.ok() ? *outcome : Applied{};
    }

    std::pair<std::string, unsigned> refused(Command command) {
        const std::string before = catalog.encode_state();
        const Result<Applied> outcome = catalog.apply(command);
        EXPECT_EQ(catalog.encode_state(), before);
        if (outcome.ok()) return {"accepted", 200};
        return {outcome.error().what, http_status(command, outcome.error())};
    }

    // Would a query that has just been answered be woken by the command?
    bool wakes(const WatchKey& key, Command command) {
        WaiterTable waiters;
        const auto subscribed = waiters.subscribe(catalog, key, catalog.index_of(key), 1);
        EXPECT_EQ(*subscribed, WaiterTable::Subscribed::waiting);
        const Applied outcome = run(std::move(command));
        return !waiters.wake(catalog, outcome.touched).empty();
    }

    std::vector<std::string> keys(std::string_view prefix, std::string_view separator = {}) {
        return catalog.kv_keys(prefix, separator).data;
    }

    Catalog catalog;
};

TEST_F(CatalogTest, StartsWithItsOwnHealthyNode) {
    const CatalogNode& node = *catalog.local();
    EXPECT_EQ(node.row.tagged_addresses.at("lan_ipv4"), "127.0.0.1");
    EXPECT_EQ(node.checks.at("serfHealth").status, Health::passing);
    EXPECT_EQ(node.checks.at("serfHealth").output, "Agent alive and reachable");
    EXPECT_FALSE(run(local_node()).changed);
    EXPECT_EQ(refused(SetLocalNode{{.name = "other", .address = "::1"}}).second, 500U);
}

TEST_F(CatalogTest, NeedsItsNodeBeforeAnyAgentCommand) {
    Catalog empty;
    EXPECT_EQ(empty.apply(web("w")).error().code, Code::unavailable);
    EXPECT_EQ(empty.apply(NodeMaintenance{true, ""}).error().code, Code::unavailable);
}

TEST_F(CatalogTest, IdenticalRegistrationMovesNothing) {
    run(with_check(web("w1"), ttl_check("")));
    run(status("service:w1", Health::passing, "fine"));
    const std::string before = catalog.encode_state();
    EXPECT_FALSE(run(with_check(web("w1"), ttl_check(""))).changed);
    EXPECT_EQ(catalog.encode_state(), before);
    EXPECT_TRUE(run(with_check(web("w1", 81), ttl_check(""))).changed);
    EXPECT_EQ(catalog.agent_check("service:w1").check->status, Health::passing);
}

TEST_F(CatalogTest, SameIdWithAnotherNameMoves) {
    run(with_check(web("w1"), ttl_check("")));
    RegisterService renamed = with_check(web("w1"), ttl_check(""));
    renamed.service.name = "shop";
    run(renamed);
    EXPECT_THAT(catalog.service("web").data, IsEmpty());
    EXPECT_EQ(catalog.service("shop").data.size(), 1U);
    EXPECT_EQ(catalog.health_checks("shop").data.at(0).service->name, "shop");
}

TEST_F(CatalogTest, ReplaceExistingChecksKeepsOnlyTheNewOnesAndMaintenance) {
    RegisterService two = with_check(web("w1"), ttl_check("a"));
    run(with_check(two, ttl_check("b")));
    run(ServiceMaintenance{"w1", true, ""});
    run(two);
    EXPECT_EQ(catalog.agent_service("w1")->checks.size(), 3U);
    two.replace_existing_checks = true;
    run(two);
    const CheckMap& left = catalog.agent_service("w1")->checks;
    EXPECT_TRUE(left.contains("a") && left.contains("_service_maintenance:w1"));
    EXPECT_EQ(left.size(), 2U);
}

TEST_F(CatalogTest, AnswersUnknownIdsInConsulsWords) {
    using Indexed = std::pair<std::string, unsigned>;
    EXPECT_EQ(
        refused(DeregisterService{"nope"}),
        Indexed(
            "Unknown service ID \"nope\". Ensure that the service ID is passed, not the service "
            "name.",
            404
        )
    );
    EXPECT_EQ(
        refused(DeregisterCheck{"nope"}),
        Indexed(
            "Unknown check ID \"nope\". Ensure that the check ID is passed, not the check name.",
            404
        )
    );
    EXPECT_EQ(refused(ServiceMaintenance{"nope", true, ""}).second, 404U);
    RegisterCheck orphan{ttl_check("x")};
    orphan.check.check.name = "x";
    orphan.check.check.service_id = "nosuch";
    EXPECT_EQ(refused(orphan), Indexed("ServiceID \"nosuch\" does not exist", 404));
    UpdateCheck update = status("serfHealth", Health::passing);
    update.ttl_only = true;
    EXPECT_EQ(refused(update), Indexed("CheckID \"serfHealth\" does not have associated TTL", 500));
    CatalogRegister bad{.node = {.name = "ext", .address = "192.0.2.5"}};
    bad.checks.push_back({.id = "c2", .name = "c2", .service_id = "nosuch"});
    EXPECT_EQ(refused(bad), Indexed("Unknown service ID 'nosuch' for check ID 'c2'", 500));
}

TEST_F(CatalogTest, PassingMeansEveryCheckOfNodeAndInstance) {
    run(with_check(web("w1"), ttl_check("c1")));
    EXPECT_THAT(catalog.health_service("web", {.passing_only = true}).data, IsEmpty());
    run(status("c1", Health::warning));
    EXPECT_THAT(catalog.health_service("web", {.passing_only = true}).data, IsEmpty());
    run(status("c1", Health::passing));
    EXPECT_EQ(catalog.health_service("web", {.passing_only = true}).data.size(), 1U);
    run(NodeMaintenance{true, "r"});
    EXPECT_EQ(catalog.health_service("web").data.at(0).health(), Health::critical);
    EXPECT_EQ(catalog.agent_check("_node_maintenance").check->notes, "r");
    run(NodeMaintenance{false, ""});
    EXPECT_EQ(catalog.health_service("web").data.at(0).health(), Health::passing);
}

TEST_F(CatalogTest, FiltersByAllTagsAndNodeMeta) {
    RegisterService both = web("w1");
    both.service.tags = {"v1", "v2"};
    RegisterService one = web("w2");
    one.service.tags = {"v1"};
    run(both);
    run(one);
    EXPECT_EQ(catalog.service("web", {.tags = {"v1"}}).data.size(), 2U);
    EXPECT_EQ(catalog.service("web", {.tags = {"v1", "v2"}}).data.size(), 1U);
    EXPECT_THAT(catalog.service("web", {.node_meta = {{"rack", "r1"}}}).data, IsEmpty());
    EXPECT_THAT(catalog.services().data.at("web"), ElementsAre("v1", "v2"));
}

TEST_F(CatalogTest, OutputAloneWakesNobodyUnlessItIsTimeToSync) {
    run(with_check(web("w1"), ttl_check("c1")));
    UpdateCheck update = status("c1", Health::critical, "bbb");
    EXPECT_FALSE(run(update).changed);
    EXPECT_EQ(catalog.agent_check("c1").check->output, "bbb");
    update.output = "ccc";
    update.sync_output = true;
    EXPECT_TRUE(run(update).changed);
    EXPECT_FALSE(run(update).changed);
}

// Recorded with Consul 1.16.4 (04-timing, 05-timing-catalog).
TEST_F(CatalogTest, WakesWhomConsulWakes) {
    run(with_check(web("w1"), ttl_check("c1")));
    const WatchKey health{WatchTopic::health_service, "web"};
    const WatchKey service{WatchTopic::service, "web"};
    RegisterService other = web("o1");
    other.service.name = "other";
    EXPECT_FALSE(wakes(health, other));
    EXPECT_FALSE(wakes(health, KvPut{.key = "k", .value = "v"}));
    EXPECT_FALSE(wakes({WatchTopic::health_service, "ghost"}, DeregisterService{"o1"}));
    EXPECT_TRUE(wakes({WatchTopic::services, ""}, other));
    EXPECT_TRUE(wakes(health, status("c1", Health::passing)));
    EXPECT_FALSE(wakes(service, status("c1", Health::critical)));
    EXPECT_FALSE(wakes({WatchTopic::services, ""}, status("c1", Health::passing)));
    EXPECT_TRUE(wakes({WatchTopic::health_checks, "web"}, status("c1", Health::critical)));
    EXPECT_FALSE(wakes({WatchTopic::nodes, ""}, web("w2")));
    EXPECT_TRUE(
        wakes({WatchTopic::nodes, ""}, CatalogRegister{.node = {.name = "n", .address = "::1"}})
    );
    EXPECT_TRUE(wakes({WatchTopic::nodes, ""}, CatalogDeregister{.node = "n"}));
    RegisterCheck node_check{ttl_check("mem")};
    node_check.check.check.name = "mem";
    EXPECT_TRUE(wakes(health, node_check));
    EXPECT_FALSE(wakes({WatchTopic::health_state, "warning"}, status("c1", Health::passing)));
    EXPECT_TRUE(wakes({WatchTopic::health_state, "passing"}, status("c1", Health::critical)));
    EXPECT_FALSE(wakes(health, with_check(web("w1"), ttl_check("c1"))));
}

TEST_F(CatalogTest, LastInstanceGoneGivesAHigherIndex) {
    run(web("w1"));
    const std::uint64_t before = catalog.health_service("web").index;
    EXPECT_TRUE(wakes({WatchTopic::health_service, "web"}, DeregisterService{"w1"}));
    EXPECT_THAT(catalog.health_service("web").data, IsEmpty());
    EXPECT_GT(catalog.health_service("web").index, before);
    EXPECT_EQ(catalog.health_service("web").index, catalog.index());
    EXPECT_TRUE(wakes({WatchTopic::service, "web"}, web("w1")));
}

TEST_F(CatalogTest, IndexesAreNeverBelowOne) {
    Catalog empty;
    EXPECT_EQ(empty.services().index, 1U);
    EXPECT_EQ(empty.health_service("nope").index, 1U);
    EXPECT_EQ(empty.node("nope").index, 1U);
    EXPECT_EQ(empty.kv_get("nope").index, 1U);
    EXPECT_EQ(empty.kv_list("").index, 1U);
    EXPECT_EQ(empty.health_state("any").index, 1U);
}

TEST_F(CatalogTest, ExternalNodesComeAndGoInOneWrite) {
    CatalogRegister ext{.node = {.name = "ext", .address = "192.0.2.5"}};
    ext.service = ServiceRow{.id = "es", .name = "extsvc", .tags = {"t"}, .port = 99};
    ext.checks.push_back(
        {.id = "service:es", .name = "c", .status = Health::passing, .service_id = "es"}
    );
    const std::uint64_t before = catalog.index();
    run(ext);
    EXPECT_EQ(catalog.index(), before + 1);
    const InstanceRef instance = catalog.health_service("extsvc").data.at(0);
    EXPECT_EQ(instance.node->row.index, (RowIndex{before + 1, before + 1}));
    EXPECT_EQ(instance.instance->row.index, (RowIndex{before + 1, before + 1}));
    EXPECT_EQ(instance.instance->checks.at("service:es").index, (RowIndex{before + 1, before + 1}));
    EXPECT_FALSE(run(ext).changed);
    EXPECT_FALSE(run(CatalogDeregister{.node = "ext", .check_id = "nosuch"}).changed);
    EXPECT_FALSE(run(CatalogDeregister{.node = "neverexisted"}).changed);
    run(CatalogDeregister{.node = "ext"});
    EXPECT_EQ(catalog.node("ext").data, nullptr);
    EXPECT_THAT(catalog.service("extsvc").data, IsEmpty());
    EXPECT_FALSE(run(CatalogDeregister{.node = "ref1"}).changed);
}

TEST_F(CatalogTest, AbsentNodeIsOlderThanItsRemoval) {
    run(CatalogRegister{.node = {.name = "n", .address = "::1"}});
    const std::uint64_t seen = catalog.node("n").index;
    run(CatalogDeregister{.node = "n"});
    WaiterTable waiters;
    EXPECT_EQ(
        *waiters.subscribe(catalog, {WatchTopic::node, "n"}, seen, 1),
        WaiterTable::Subscribed::ready
    );
}

TEST_F(CatalogTest, KeysBehaveAsRecorded) {
    run(KvPut{.key = "a", .value = "hello"});
    const std::uint64_t created = catalog.index();
    EXPECT_EQ(catalog.kv_get("none").index, created);
    run(KvPut{.key = "a", .value = "v2", .flags = 42});
    EXPECT_FALSE(run(KvPut{.key = "a", .value = "v2", .flags = 42}).changed);
    EXPECT_EQ(catalog.kv_get("a").data->index, (RowIndex{created, created + 1}));
    EXPECT_FALSE(run(KvPut{.key = "a", .value = "x", .cas = 0}).accepted);
    EXPECT_TRUE(run(KvPut{.key = "newcas", .value = "x", .cas = 0}).accepted);
    EXPECT_FALSE(run(KvPut{.key = "newcas", .value = "x", .cas = 999999}).accepted);
    EXPECT_FALSE(run(KvDelete{.key = "newcas", .cas = 1}).accepted);
    EXPECT_FALSE(run(KvDelete{.key = "newcas", .cas = 0}).accepted);
    EXPECT_TRUE(run(KvDelete{.key = "newcas", .cas = catalog.index()}).accepted);
    EXPECT_TRUE(run(KvDelete{.key = "none"}).accepted);
    for (const char* key : {"d/1", "d/2/x", "d/2/y", "d/"}) run(KvPut{.key = key});
    EXPECT_THAT(keys("d/"), ElementsAre("d/", "d/1", "d/2/x", "d/2/y"));
    EXPECT_THAT(keys("d/", "/"), ElementsAre("d/", "d/1", "d/2/"));
    EXPECT_THAT(keys("zz"), IsEmpty());
    run(KvDelete{.key = "d/2", .recurse = true});
    EXPECT_THAT(keys(""), ElementsAre("a", "d/", "d/1"));
    EXPECT_EQ(catalog.kv_list("d/2").index, catalog.index());
}

TEST_F(CatalogTest, KeyWatchesWakeForTheirOwnKeysOnly) {
    run(KvPut{.key = "kk", .value = "1"});
    EXPECT_FALSE(wakes({WatchTopic::kv_key, "kk"}, KvPut{.key = "other"}));
    EXPECT_FALSE(wakes({WatchTopic::kv_key, "absent"}, KvPut{.key = "other2"}));
    EXPECT_TRUE(wakes({WatchTopic::kv_key, "absent"}, KvPut{.key = "absent"}));
    EXPECT_TRUE(wakes({WatchTopic::kv_key, "kk"}, KvDelete{.key = "kk"}));
    EXPECT_FALSE(wakes({WatchTopic::kv_prefix, "pre/"}, KvPut{.key = "pr"}));
    EXPECT_TRUE(wakes({WatchTopic::kv_prefix, "pre/"}, KvPut{.key = "pre/a"}));
    run(KvPut{.key = "pre/b"});
    EXPECT_TRUE(wakes({WatchTopic::kv_prefix, "pre/"}, KvDelete{.key = "pre/a"}));
    EXPECT_TRUE(wakes({WatchTopic::kv_key, "pre/b"}, KvDelete{.key = "p", .recurse = true}));
    EXPECT_TRUE(wakes({WatchTopic::kv_prefix, ""}, KvPut{.key = "anything"}));
}

TEST_F(CatalogTest, ADeletionUnderAPrefixIsSeenAfterwardsToo) {
    run(KvPut{.key = "p/a"});
    run(KvPut{.key = "p/b"});
    const std::uint64_t seen = catalog.kv_list("p/").index;
    run(KvDelete{.key = "p/a"});
    EXPECT_GT(catalog.kv_list("p/").index, seen);
    const std::uint64_t gone = catalog.kv_list("p/").index;
    run(KvPut{.key = "q"});
    EXPECT_EQ(catalog.kv_list("p/").index, gone);
}

TEST_F(CatalogTest, OldTombstonesBecomeAFloorThatHidesNothing) {
    run(KvPut{.key = "p/a"});
    run(KvPut{.key = "p/b"});
    const std::uint64_t seen = catalog.kv_list("p/").index;
    run(KvDelete{.key = "p/a"});
    for (std::size_t i = 0; i <= kTombstonesMax; ++i) {
        run(KvPut{.key = "t" + std::to_string(i)});
        run(KvDelete{.key = "t" + std::to_string(i)});
    }
    EXPECT_GT(catalog.kv_list("p/").index, seen);
}

TEST_F(CatalogTest, TheFutureWaitsAndTheWaitersAreBounded) {
    WaiterTable waiters;
    const WatchKey nodes{WatchTopic::nodes, ""};
    EXPECT_EQ(*waiters.subscribe(catalog, nodes, 1'000'000, 1), WaiterTable::Subscribed::waiting);
    const Applied outcome = run(CatalogRegister{.node = {.name = "n", .address = "::1"}});
    EXPECT_THAT(waiters.wake(catalog, outcome.touched), IsEmpty());
    EXPECT_TRUE(waiters.unsubscribe(1));
    EXPECT_FALSE(waiters.unsubscribe(1));
    for (WaitToken token = 0; token < kWaitersMax; ++token) {
        ASSERT_TRUE(waiters.subscribe(catalog, nodes, 1'000'000, token).ok());
    }
    EXPECT_EQ(
        waiters.subscribe(catalog, nodes, 1'000'000, kWaitersMax).error().code, Code::exhausted
    );
    EXPECT_EQ(waiters.wake_all().size(), kWaitersMax);
    EXPECT_EQ(waiters.size(), 0U);
}

TEST_F(CatalogTest, ChecksOfAServiceAreBounded) {
    run(web("w1"));
    for (std::size_t i = 0; i < kChecksPerServiceMax; ++i) {
        RegisterCheck check{ttl_check("c" + std::to_string(i))};
        check.check.check.name = "c";
        check.check.check.service_id = "w1";
        run(check);
    }
    RegisterCheck more{ttl_check("more")};
    more.check.check.name = "more";
    more.check.check.service_id = "w1";
    EXPECT_EQ(refused(more).second, 429U);
}

}  // namespace
}  // namespace datapunk::mesh::catalog
