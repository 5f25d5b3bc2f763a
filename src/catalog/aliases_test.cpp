// Alias checks, in the words of Consul's agent/checks/alias.go.

#include "catalog/aliases.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "catalog/test_support.h"
#include "core/rng.h"

namespace datapunk::mesh::catalog {
namespace {

CheckRegistration alias_of(std::string service, std::string node = {}, std::string id = "alias") {
    CheckRegistration registration;
    registration.check.id = registration.check.name = std::move(id);
    registration.check.definition.alias_service = std::move(service);
    registration.check.definition.alias_node = std::move(node);
    return registration;
}

CheckRegistration named(CheckRegistration registration, std::string name) {
    registration.check.name = std::move(name);
    return registration;
}

class AliasTest : public testing::Test {
  protected:
    AliasTest() { run(local_node()); }

    Applied run(Command command) {
        Result<Applied> outcome = catalog.apply(std::move(command));
        EXPECT_TRUE(outcome.ok()) << outcome.error().what;
        return outcome ? *std::move(outcome) : Applied{};
    }

    // As the check "alias" of the service "front".
    void follow(CheckRegistration alias) {
        RegisterService front = with_check(web("front"), std::move(alias));
        front.service.name = "front";
        run(front);
    }

    void add_db() { run(with_check(web("db"), named(ttl_check("c1"), "db ttl"))); }

    const CheckRow& alias(std::string_view id = "alias") { return *catalog.agent_check(id).check; }

    void expect(Health health, std::string_view output) {
        EXPECT_EQ(alias().status, health);
        EXPECT_EQ(alias().output, output);
    }

    Catalog catalog;
};

TEST_F(AliasTest, FollowsAServiceOfItsNodeThroughItsLife) {
    follow(alias_of("db"));
    EXPECT_EQ(alias().definition.kind, CheckKind::alias);
    expect(Health::critical, "Service db could not be found on node ");
    run(web("db"));
    expect(Health::passing, "No checks found.");
    add_db();
    expect(Health::critical, "Aliased check \"db ttl\" failing: ");
    run(status("c1", Health::passing, "fine"));
    expect(Health::passing, "All checks passing.");
    run(status("c1", Health::warning, "slow"));
    expect(Health::warning, "Aliased check \"db ttl\" failing: slow");
    run(DeregisterCheck{"c1"});
    expect(Health::passing, "No checks found.");
    run(DeregisterService{"db"});
    expect(Health::critical, "Service db could not be found on node ");
}

TEST_F(AliasTest, TakesTheWorstOfAllChecksAndMaintenanceToo) {
    add_db();
    RegisterCheck second{named(ttl_check("c2"), "second")};
    second.check.check.service_id = "db";
    run(second);
    follow(alias_of("db"));
    run(status("c1", Health::warning, "w"));
    run(status("c2", Health::passing));
    expect(Health::warning, "Aliased check \"db ttl\" failing: w");
    run(status("c2", Health::critical, "c"));
    expect(Health::critical, "Aliased check \"second\" failing: c");
    run(status("c2", Health::passing));
    run(status("c1", Health::passing));
    expect(Health::passing, "All checks passing.");
    run(ServiceMaintenance{"db", true, "why"});
    expect(Health::critical, "Aliased check \"Service Maintenance Mode\" failing: ");
    run(ServiceMaintenance{"db", false, ""});
    EXPECT_EQ(alias().status, Health::passing);
}

TEST_F(AliasTest, TheChecksOfItsNodeCount) {
    add_db();
    run(status("c1", Health::passing));
    follow(alias_of("db"));
    run(RegisterCheck{named(ttl_check("disk"), "disk")});
    expect(Health::critical, "Aliased check \"disk\" failing: ");
    run(status("disk", Health::passing));
    expect(Health::passing, "All checks passing.");
}

TEST_F(AliasTest, FollowsAServiceOfAnotherNode) {
    follow(alias_of("es", "ext"));
    expect(Health::critical, "Service es could not be found on node ext");
    CatalogRegister ext = {
        .node = {.name = "ext", .address = "192.0.2.5"},
        .service = ServiceRow{.id = "es", .name = "es"},
        .checks = {}
    };
    run(ext);
    expect(Health::passing, "No checks found.");
    ext.checks = {{.id = "k", .name = "k", .status = Health::warning, .service_id = "es"}};
    run(ext);
    expect(Health::warning, "Aliased check \"k\" failing: ");
    ext.checks = {{.id = "n", .name = "n", .status = Health::critical}};
    run(ext);
    expect(Health::critical, "Aliased check \"n\" failing: ");
    run(CatalogDeregister{"ext", "", ""});
    expect(Health::critical, "Service es could not be found on node ext");
}

TEST_F(AliasTest, FollowsANodeAndNotItsServices) {
    follow(alias_of("", "ext"));
    EXPECT_EQ(alias().status, Health::critical) << "there is no such node";
    CatalogRegister ext = {
        .node = {.name = "ext", .address = "192.0.2.5"},
        .service = ServiceRow{.id = "es", .name = "es"},
        .checks =
            {{.id = "n", .name = "n", .status = Health::passing},
             {.id = "k", .name = "k", .status = Health::critical, .service_id = "es"}}
    };
    run(ext);
    expect(Health::passing, "All checks passing.");
    ext.checks[0].status = Health::warning;
    run(ext);
    expect(Health::warning, "Aliased check \"n\" failing: ");
}

TEST_F(AliasTest, ItsOwnNodeByNameIncludesTheServersWord) {
    run(web("db"));
    follow(alias_of("db", "ref1"));
    expect(Health::passing, "All checks passing.");
}

TEST_F(AliasTest, ChangesInTheSameStepAndWakesWhoWaits) {
    add_db();
    run(status("c1", Health::passing));
    follow(alias_of("db"));
    const Applied flip = run(status("c1", Health::critical));
    EXPECT_THAT(flip.local_checks, testing::UnorderedElementsAre("c1", "alias"));
    EXPECT_EQ(alias().index.modified, flip.index);
    EXPECT_THAT(flip.touched, testing::Contains(WatchKey{WatchTopic::health_service, "front"}));
    EXPECT_EQ(catalog.index_of({WatchTopic::health_service, "front"}), flip.index);
    const std::uint64_t before = catalog.index();
    run(status("c1", Health::critical, "still"));
    EXPECT_EQ(catalog.index(), before);
}

TEST_F(AliasTest, ChainsAndSessionsFollow) {
    add_db();
    run(status("c1", Health::passing));
    follow(alias_of("db"));
    RegisterService edge = with_check(web("edge"), alias_of("front", "", "edge alias"));
    run(edge);
    CreateSession session;
    session.session = {.id = "s", .node = "ref1", .node_checks = {"edge alias"}};
    run(session);
    run(status("c1", Health::critical));
    EXPECT_EQ(alias("edge alias").status, Health::critical);
    EXPECT_TRUE(catalog.sessions().data.empty());
}

TEST_F(AliasTest, OfItselfOrInARingEnds) {
    follow(alias_of("front"));
    expect(Health::passing, "No checks found.");
    run(with_check(web("a"), alias_of("b", "", "a follows b")));
    run(with_check(web("b"), alias_of("a", "", "b follows a")));
    EXPECT_EQ(alias("a follows b").status, alias("b follows a").status);
}

TEST_F(AliasTest, CatalogWritesDoNotOverruleAnAgentsCheck) {
    add_db();
    run(status("c1", Health::passing, "fine"));
    follow(alias_of("db"));
    CatalogRegister other = {
        .node = {.name = "ref1", .address = "127.0.0.1"}, .skip_node_update = true
    };
    other.checks = {
        {.id = "alias", .name = "x", .status = Health::critical, .service_id = "front"},
        {.id = "c1", .name = "x", .status = Health::critical, .service_id = "db"}
    };
    EXPECT_FALSE(run(other).changed);
    expect(Health::passing, "All checks passing.");
    EXPECT_EQ(alias("c1").definition.kind, CheckKind::ttl);
}

TEST_F(AliasTest, SurvivesASnapshot) {
    add_db();
    follow(alias_of("db"));
    Result<Catalog> restored = Catalog::decode_state(catalog.encode_state());
    ASSERT_TRUE(restored.ok());
    catalog = *std::move(restored);
    run(status("c1", Health::passing));
    expect(Health::passing, "All checks passing.");
    follow(named(ttl_check("alias"), "no alias any more"));
    run(status("alias", Health::warning));
    run(status("c1", Health::critical));
    EXPECT_EQ(alias().status, Health::warning);
}

TEST_F(AliasTest, IsRefusedWithWhatBelongsToOtherKinds) {
    const auto refusal = [&](CheckRegistration check) {
        const Result<Applied> outcome = catalog.apply(with_check(web("front"), std::move(check)));
        return outcome ? std::string() : outcome.error().what;
    };
    CheckRegistration with_ttl = alias_of("db");
    with_ttl.check.definition.ttl = std::chrono::seconds(1);
    EXPECT_EQ(refusal(with_ttl), "Invalid check: TTL must be not be set for Alias checks");
    CheckRegistration with_http = alias_of("db");
    with_http.check.definition.kind = CheckKind::http;
    with_http.check.definition.interval = std::chrono::seconds(1);
    EXPECT_EQ(refusal(with_http), "Invalid check: Interval cannot be set for Alias checks");
    CheckRegistration of_nothing;
    of_nothing.check.definition.kind = CheckKind::alias;
    EXPECT_THAT(refusal(of_nothing), testing::HasSubstr("needs AliasService or AliasNode"));
}

// Said once more, as plainly as possible, without the order in which checks are looked at.
Health worst_followed(const Catalog& catalog, const CheckRow& alias) {
    const CheckDefinition& d = alias.definition;
    const std::string node = d.alias_node.empty() ? "ref1" : d.alias_node;
    Health worst = Health::passing;
    bool is_known = false;
    for (const CheckRef& ref : catalog.health_state("any").data) {
        const bool is_self = ref.node->row.name == "ref1" && ref.check->id == alias.id;
        if (ref.node->row.name != node || is_self) continue;
        if (d.alias_node.empty() && ref.check->id == "serfHealth") continue;
        const std::string& service = ref.check->service_id;
        if (!service.empty() && service != d.alias_service) continue;
        if (d.alias_service == service) is_known = true;
        worst = std::max(worst, ref.check->status);
    }
    for (const CatalogNode* at : catalog.nodes().data) {
        if (at->row.name == node && at->services.contains(d.alias_service)) is_known = true;
    }
    return is_known ? worst : Health::critical;
}

Command random_command(core::Rng& rng) {
    const auto id = [&] { return fmt::format("i{}", rng.below(4)); };
    const auto check_id = [&] { return fmt::format("c{}", rng.below(4)); };
    const std::string node = rng.chance(0.5) ? "ref1" : "n0";
    const auto health = [&] { return static_cast<Health>(rng.below(3)); };
    const auto check = [&] {
        if (rng.chance(0.5)) {
            // Higher ids follow lower ones: rings hold each other, see above.
            const std::uint64_t follower = 1 + rng.below(3);
            const std::string target = fmt::format("i{}", rng.below(follower));
            const std::string where = rng.chance(0.3) ? node : "";
            RegisterCheck out{alias_of(target, where, fmt::format("a{}", follower))};
            out.check.check.service_id = fmt::format("i{}", follower);
            return out;
        }
        RegisterCheck out{named(ttl_check(check_id()), "ttl")};
        if (rng.chance(0.8)) out.check.check.service_id = id();
        return out;
    };
    switch (rng.below(9)) {
        case 0:
        case 1:
            return web(id());
        case 2:
        case 3:
            return check();
        case 4:
            return DeregisterService{id()};
        case 5:
            return DeregisterCheck{rng.chance(0.5) ? check_id() : fmt::format("a{}", rng.below(4))};
        case 6:
            return ServiceMaintenance{id(), rng.chance(0.5), ""};
        case 7: {
            CatalogRegister c{.node = {.name = node, .address = "10.0.0.1"}};
            c.service = ServiceRow{.id = id(), .name = "web"};
            c.checks.push_back({.id = check_id(), .name = "k", .status = health()});
            if (rng.chance(0.5)) c.checks[0].service_id = c.service->id;
            return c;
        }
        default:
            return rng.chance(0.2) ? Command(CatalogDeregister{"n0", "", ""})
                                   : Command(status(check_id(), health()));
    }
}

TEST(AliasProperty, AtEveryStepAnAliasIsWhatItFollows) {
    const char* given = std::getenv("SEED");
    const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : 20261121;
    SCOPED_TRACE(fmt::format("SEED={}", seed));
    core::Rng rng(seed);
    Catalog catalog;
    ASSERT_TRUE(catalog.apply(local_node()).ok());
    std::size_t looked = 0;
    for (int step = 0; step < 6000; ++step) {
        const Command command = random_command(rng);
        const std::uint64_t before = catalog.index();
        const Result<Applied> outcome = catalog.apply(command);
        ASSERT_EQ(catalog.index(), before + (outcome.ok() && outcome->changed ? 1 : 0));
        for (const std::string& id : catalog.local_checks()) {
            const CheckRow& check = *catalog.agent_check(id).check;
            if (check.definition.kind != CheckKind::alias) continue;
            ASSERT_EQ(check.status, worst_followed(catalog, check))
                << "step " << step << " kind " << command.index() << " check " << id;
            ++looked;
        }
        if (rng.chance(0.05)) {
            Result<Catalog> restored = Catalog::decode_state(catalog.encode_state());
            ASSERT_TRUE(restored.ok());
            catalog = *std::move(restored);
        }
    }
    EXPECT_GT(looked, 5000U);
}

}  // namespace
}  // namespace datapunk::mesh::catalog
