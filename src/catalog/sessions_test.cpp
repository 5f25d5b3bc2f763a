// Sessions and locks, as Consul 1.16.4 was seen to treat them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "catalog/catalog.h"
#include "catalog/limits.h"
#include "catalog/test_support.h"

namespace datapunk::mesh::catalog {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

class SessionsTest : public testing::Test {
  protected:
    SessionsTest() { run(local_node()); }

    Applied run(Command command) {
        Result<Applied> outcome = catalog.apply(std::move(command));
        EXPECT_TRUE(outcome.ok()) << outcome.error().what;
        return outcome ? *std::move(outcome) : Applied{};
    }

    std::string refusal(Command command) {
        const Result<Applied> outcome = catalog.apply(std::move(command));
        return outcome ? "accepted" : outcome.error().what;
    }

    static CreateSession session(std::string id, std::vector<std::string> checks = {"serfHealth"}) {
        CreateSession command;
        command.session.id = std::move(id);
        command.session.node = "ref1";
        command.session.node_checks = std::move(checks);
        return command;
    }

    bool acquire(std::string key, std::string id, std::string value = "v") {
        return run(KvAcquire{std::move(key), std::move(value), 0, std::move(id)}).accepted;
    }

    bool release(std::string key, std::string id) {
        return run(KvRelease{std::move(key), "r", 0, std::move(id)}).accepted;
    }

    const KvRow& row(std::string_view key) {
        const KvRow* found = catalog.kv_get(key).data;
        EXPECT_NE(found, nullptr);
        static const KvRow kNone;
        return found == nullptr ? kNone : *found;
    }

    std::vector<std::string> ids() {
        std::vector<std::string> out;
        for (const SessionRow* s : catalog.sessions().data) out.push_back(s->id);
        return out;
    }

    Catalog catalog;
};

TEST_F(SessionsTest, ALockIndexCountsAcquisitionsByNewHolders) {
    run(session("s"));
    EXPECT_TRUE(acquire("lock", "s", "me"));
    EXPECT_EQ(row("lock").lock_index, 1U);
    EXPECT_EQ(row("lock").session, "s");
    EXPECT_TRUE(acquire("lock", "s", "me2"));  // again, by the holder
    EXPECT_EQ(row("lock").lock_index, 1U);
    EXPECT_EQ(row("lock").value, "me2");
    EXPECT_TRUE(release("lock", "s"));
    EXPECT_EQ(row("lock").session, "");
    EXPECT_EQ(row("lock").lock_index, 1U);
    EXPECT_EQ(row("lock").value, "r");
    EXPECT_TRUE(acquire("lock", "s"));
    EXPECT_EQ(row("lock").lock_index, 2U);
}

TEST_F(SessionsTest, OneHolderAtATime) {
    run(session("s1"));
    run(session("s2"));
    EXPECT_TRUE(acquire("lock", "s1"));
    EXPECT_FALSE(acquire("lock", "s2"));
    EXPECT_FALSE(release("lock", "s2"));
    EXPECT_FALSE(release("none", "s2"));
    EXPECT_TRUE(release("lock", "s1"));
    EXPECT_TRUE(acquire("lock", "s2"));
    EXPECT_EQ(
        refusal(KvAcquire{"lock", "v", 0, "s9"}), "raft apply failed: invalid session \"s9\""
    );
    EXPECT_EQ(refusal(KvAcquire{"lock", "v", 0, ""}), "raft apply failed: missing session");
}

TEST_F(SessionsTest, PlainWritesLeaveTheLockWhereItIs) {
    run(session("s1"));
    acquire("lock", "s1");
    run(KvPut{.key = "lock", .value = "other"});
    EXPECT_EQ(row("lock").session, "s1");
    EXPECT_EQ(row("lock").lock_index, 1U);
    run(KvDelete{.key = "lock"});
    run(KvPut{.key = "lock", .value = "new"});
    EXPECT_EQ(row("lock").session, "");
    EXPECT_EQ(row("lock").lock_index, 0U);
    run(DestroySession{"s1"});
    EXPECT_EQ(row("lock").value, "new");
}

TEST_F(SessionsTest, TheEndReleasesAndTheLockDelayKeepsOthersAway) {
    run(session("s1"));
    run(session("s2"));
    acquire("a", "s1");
    acquire("b", "s1");
    const Applied ended = run(DestroySession{"s1"});
    EXPECT_THAT(ended.lock_delays, ElementsAre("a", "b"));
    EXPECT_EQ(row("a").session, "");
    EXPECT_EQ(row("a").index.modified, ended.index);
    EXPECT_FALSE(acquire("a", "s2"));
    run(KvPut{.key = "a", .value = "plain writes may"});
    const std::uint64_t before = catalog.index();
    EXPECT_EQ(run(EndLockDelays{{"a"}}).index, before);  // nobody can see it
    EXPECT_TRUE(acquire("a", "s2"));
    EXPECT_FALSE(acquire("b", "s2"));
    EXPECT_FALSE(run(DestroySession{"s1"}).changed);
}

TEST_F(SessionsTest, NoLockDelayNoWait) {
    CreateSession command = session("s1");
    command.session.lock_delay = 0s;
    run(command);
    run(session("s2"));
    acquire("a", "s1");
    run(DestroySession{"s1"});
    EXPECT_TRUE(acquire("a", "s2"));
}

TEST_F(SessionsTest, AMinuteIsTheLongestDelay) {
    CreateSession command = session("s1");
    command.session.lock_delay = 70s;
    run(command);
    EXPECT_EQ(catalog.session("s1").data->lock_delay, 70s);
    acquire("a", "s1");
    run(DestroySession{"s1"});
    EXPECT_EQ(catalog.lock_delays().at("a"), 60s);
}

TEST_F(SessionsTest, DeleteTakesTheKeysAlong) {
    CreateSession command = session("s1");
    command.session.behavior = SessionBehavior::erase;
    run(command);
    acquire("eph", "s1");
    run(KvPut{.key = "other", .value = "v"});
    const Applied ended = run(DestroySession{"s1"});
    EXPECT_EQ(catalog.kv_get("eph").data, nullptr);
    EXPECT_EQ(catalog.kv_get("eph").index, ended.index);
    EXPECT_NE(catalog.kv_get("other").data, nullptr);
}

TEST_F(SessionsTest, ACriticalCheckEndsItsSessions) {
    run(with_check(web("w1"), ttl_check("c1")));
    EXPECT_EQ(refusal(session("s1", {"c1"})), "apply failed: Check 'c1' is in critical state");
    run(status("c1", Health::passing));
    run(session("s1", {"c1", "serfHealth"}));
    run(session("s2"));
    acquire("a", "s1");
    run(status("c1", Health::warning));
    EXPECT_THAT(ids(), ElementsAre("s1", "s2"));
    const Applied flipped = run(status("c1", Health::critical));
    EXPECT_THAT(ids(), ElementsAre("s2"));
    EXPECT_THAT(flipped.sessions, ElementsAre("s1"));
    EXPECT_EQ(row("a").session, "");
}

TEST_F(SessionsTest, ARemovedCheckServiceOrNodeEndsItsSessions) {
    CheckRegistration passing = ttl_check("c1");
    passing.check.status = Health::passing;
    passing.has_status = true;
    run(with_check(web("w1"), passing));
    CreateSession of_service = session("s1", {});
    of_service.session.service_checks = {{"c1", ""}};
    run(of_service);
    run(DeregisterService{"w1"});
    EXPECT_THAT(ids(), IsEmpty());
    run(with_check(web("w1"), passing));
    CreateSession old_name = session("s2", {});
    old_name.session.checks = {"c1"};
    run(old_name);
    run(DeregisterCheck{"c1"});
    EXPECT_THAT(ids(), IsEmpty());
    run(CatalogRegister{.node = {.name = "ext", .address = "192.0.2.5"}});
    CreateSession external = session("s3", {});
    external.session.node = "ext";
    run(external);
    EXPECT_EQ(catalog.node_sessions("ext").data.size(), 1U);
    run(CatalogDeregister{"ext", "", ""});
    EXPECT_THAT(ids(), IsEmpty());
}

TEST_F(SessionsTest, RefusesWithConsulsWords) {
    CreateSession command = session("s1");
    command.session.node = "nope";
    EXPECT_EQ(refusal(command), "apply failed: Missing node registration");
    EXPECT_EQ(refusal(session("s1", {"x"})), "apply failed: Missing check 'x' registration");
    command = session("s1");
    for (const auto& [ttl, answer] : std::map<std::string, std::string>{
             {"5s", "Invalid Session TTL '5000000000', must be between [10s=24h0m0s]"},
             {"90000s", "Invalid Session TTL '90000000000000', must be between [10s=24h0m0s]"},
             {"abc", "Session TTL 'abc' invalid: time: invalid duration \"abc\""},
             {"10s", "accepted"},
             {"0s", "accepted"},
             {"86400s", "accepted"},
         }) {
        command.session.ttl = ttl;
        EXPECT_EQ(refusal(command), answer);
        run(DestroySession{"s1"});
    }
    EXPECT_EQ(refusal(RenewSession{"s1"}), "Session id 's1' not found");
    command.session.node_checks.assign(kSessionChecksMax + 1, "serfHealth");
    EXPECT_EQ(refusal(command), "65 checks, at most 64 a session");
}

TEST_F(SessionsTest, ASnapshotKeepsHoldersAndDelays) {
    run(session("s1"));
    run(session("s2"));
    acquire("a", "s1");
    acquire("b", "s2");
    run(DestroySession{"s2"});
    Result<Catalog> restored = Catalog::decode_state(catalog.encode_state());
    ASSERT_TRUE(restored.ok()) << restored.error().what;
    catalog = std::move(restored).value();
    EXPECT_EQ(row("a").session, "s1");
    EXPECT_EQ(catalog.lock_delays().at("b"), 15s);
    run(DestroySession{"s1"});
    EXPECT_EQ(row("a").session, "");
}

}  // namespace
}  // namespace datapunk::mesh::catalog
