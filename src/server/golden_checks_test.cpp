// What a real Consul 1.16.4 did with checks and with what others wrote about an agent's own
// (recorded; times in virtual time here).

#include <nlohmann/json.hpp>

#include "server/test_server.h"

namespace datapunk::mesh::server {
namespace {

using Json = nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

class GoldenChecks : public ServerTest {
  public:
    Json checks() { return Json::parse(desk_->get("/v1/agent/checks")); }

    Json health_check(const std::string& service) {
        const Json found = Json::parse(desk_->get("/v1/health/checks/" + service));
        return found.empty() ? Json() : found[0];
    }

    std::string refused(std::string target, std::string body) {
        const http::Response response = desk_->ask("PUT", std::move(target), std::move(body));
        EXPECT_EQ(response.status, 400) << response.body;
        return response.body;
    }
};

TEST_F(GoldenChecks, NoTimeIsWrittenInTwoWays) {
    desk_->put("/v1/agent/check/register", R"({"Name":"mem","TTL":"30s"})");
    EXPECT_EQ(
        checks()["mem"],
        Json::parse(
            R"({"Node":"ref1","CheckID":"mem","Name":"mem","Status":"critical","Notes":"","Output":"","ServiceID":"","ServiceName":"","ServiceTags":[],"Type":"ttl","Interval":"0s","Timeout":"0s","ExposedPort":0,"Definition":{},"CreateIndex":0,"ModifyIndex":0})"
        )
    );
    desk_->put(
        "/v1/agent/service/register",
        R"({"Name":"web","Check":{"CheckID":"with","TTL":"30s","Name":"mem"}})"
    );
    EXPECT_EQ(checks()["with"]["Interval"], "");
    EXPECT_EQ(checks()["with"]["Timeout"], "");
    desk_->put(
        "/v1/agent/check/register",
        R"({"Name":"page","ServiceID":"web","HTTP":"http://127.0.0.1:1/","Interval":"10s"})"
    );
    EXPECT_EQ(checks()["page"]["Interval"], "10s");
    EXPECT_EQ(checks()["page"]["Timeout"], "0s");
    EXPECT_EQ(health_check("web")["Timeout"], "0s");
}

TEST_F(GoldenChecks, AliasesByTheApi) {
    desk_->put("/v1/agent/service/register", R"({"ID":"db-1","Name":"db","Port":5432})");
    desk_->put(
        "/v1/agent/service/register",
        R"({"Name":"web","Check":{"Name":"as db","AliasService":"db-1"}})"
    );
    EXPECT_EQ(
        checks()["service:web"],
        Json::parse(
            R"({"Node":"ref1","CheckID":"service:web","Name":"as db","Status":"passing","Notes":"","Output":"No checks found.","ServiceID":"web","ServiceName":"web","ServiceTags":[],"Type":"alias","Interval":"","Timeout":"","ExposedPort":0,"Definition":{},"CreateIndex":0,"ModifyIndex":0})"
        )
    );
    desk_->put("/v1/agent/service/maintenance/db-1?enable=true");
    EXPECT_EQ(health_check("web")["Status"], "critical");
    EXPECT_EQ(desk_->get("/v1/health/service/web?passing"), "[]");
    desk_->put("/v1/agent/service/maintenance/db-1?enable=false");
    desk_->put("/v1/agent/service/deregister/db-1");
    EXPECT_EQ(health_check("web")["Output"], "Service db-1 could not be found on node ");
    desk_->put(
        "/v1/agent/check/register", R"({"Name":"node","ServiceID":"web","alias_node":"ref1"})"
    );
    EXPECT_EQ(checks()["node"]["Type"], "alias");
    EXPECT_EQ(checks()["node"]["Status"], "passing");
    EXPECT_EQ(checks()["node"]["Output"], "All checks passing.");
    EXPECT_EQ(
        desk_->ask("PUT", "/v1/agent/check/pass/node").body,
        "CheckID \"node\" does not have associated TTL"
    );
}

TEST_F(GoldenChecks, AliasesAreRefusedInConsulsWords) {
    EXPECT_EQ(
        refused("/v1/agent/check/register", R"({"Name":"x","AliasService":"a","TTL":"1s"})"),
        "Invalid check: TTL must be not be set for Alias checks"
    );
    EXPECT_EQ(
        refused(
            "/v1/agent/check/register",
            R"({"Name":"x","AliasNode":"a","TCP":"127.0.0.1:1","Interval":"1s"})"
        ),
        "Invalid check: Interval cannot be set for Alias checks"
    );
    for (const char* kind : {"H2PING", "OSService", "DockerContainerID"}) {
        EXPECT_THAT(
            refused(
                "/v1/agent/check/register",
                std::string(R"({"Name":"x","Interval":"1s",")") + kind + R"(":"127.0.0.1:1"})"
            ),
            testing::HasSubstr("not supported by this registry")
        ) << kind;
    }
}

// 06: "1s" was raised to a minute and the service gone after 90.2 s, "90s" after 120.3 s: Consul
// looks every 30 s, we at the time itself.
TEST_F(GoldenChecks, ACriticalServiceIsDeregisteredAfterItsTime) {
    desk_->put(
        "/v1/agent/service/register",
        R"({"ID":"dc1","Name":"dc1","Check":{"TTL":"10m","DeregisterCriticalServiceAfter":"1s"}})"
    );
    desk_->put(
        "/v1/agent/service/register",
        R"({"ID":"dc2","Name":"dc2","Check":{"TTL":"10m","DeregisterCriticalServiceAfter":"90s"}})"
    );
    const auto known = [&] { return Json::parse(desk_->get("/v1/agent/services")); };
    loop_.run_for(seconds(59));
    EXPECT_EQ(known().size(), 2U);
    loop_.run_for(milliseconds(31'200));
    EXPECT_FALSE(known().contains("dc1"));
    loop_.run_for(milliseconds(30'100));
    EXPECT_TRUE(known().empty());
    EXPECT_TRUE(checks().empty());
}

// 14: what anti-entropy comes to. The agent's own checks are as the agent says.
TEST_F(GoldenChecks, TheAgentsWordOnItsChecksStands) {
    desk_->put(
        "/v1/agent/service/register",
        R"({"ID":"w","Name":"web","Check":{"TTL":"10m","Status":"passing"}})"
    );
    desk_->put(
        "/v1/catalog/register",
        R"({"Node":"ref1","Address":"127.0.0.1","Check":{"CheckID":"service:w","ServiceID":"w","Name":"x","Status":"critical"}})"
    );
    EXPECT_EQ(health_check("web")["Status"], "passing");
    EXPECT_EQ(health_check("web")["Type"], "ttl");
    desk_->put("/v1/agent/check/warn/service:w?note=still+mine");
    EXPECT_EQ(health_check("web")["Status"], "warning");
    desk_->put(
        "/v1/catalog/register",
        R"({"Node":"ref1","Address":"127.0.0.1","Check":{"CheckID":"others","Name":"x","Status":"warning"}})"
    );
    EXPECT_EQ(checks()["others"]["Status"], "warning") << "a check of somebody else's";
}

// 14: "same ID registered twice with different names: first -> 0  second -> 1".
TEST_F(GoldenChecks, TheSameIdWithAnotherNameReplaces) {
    desk_->put("/v1/agent/service/register", R"({"ID":"same","Name":"first"})");
    desk_->put("/v1/agent/service/register", R"({"ID":"same","Name":"second"})");
    EXPECT_EQ(desk_->get("/v1/catalog/service/first"), "[]");
    EXPECT_EQ(Json::parse(desk_->get("/v1/catalog/service/second")).size(), 1U);
}

// Consul sorts by measured round trips: what is on the node itself comes first.
TEST_F(GoldenChecks, NearPutsTheNamedNodeFirst) {
    for (const char* node : {"a", "z"}) {
        desk_->put(
            "/v1/catalog/register",
            std::string(R"({"Node":")") + node +
                R"(","Address":"192.0.2.9","Service":{"Service":"web","Port":1},"Check":{"CheckID":"c","Name":"c","Status":"passing","ServiceID":"web"}})"
        );
    }
    desk_->put(
        "/v1/agent/service/register",
        R"({"Name":"web","Port":2,"Check":{"CheckID":"c","Name":"c","TTL":"1h","Status":"passing"}})"
    );
    const auto nodes = [&](const std::string& target) {
        const std::string body = desk_->get(target);
        std::string out;
        for (std::size_t at = 0; (at = body.find(R"("Node":")", at)) != std::string::npos;) {
            at += 8;
            const std::string name = body.substr(at, body.find('"', at) - at);
            if (out.empty() || !out.ends_with(name)) out += (out.empty() ? "" : " ") + name;
        }
        return out;
    };
    EXPECT_EQ(nodes("/v1/health/service/web"), "a ref1 z");
    EXPECT_EQ(nodes("/v1/health/service/web?near=_agent"), "ref1 a z");
    EXPECT_EQ(nodes("/v1/health/service/web?near=z"), "z a ref1");
    EXPECT_EQ(nodes("/v1/health/service/web?near=nosuchnode"), "a ref1 z");
    EXPECT_EQ(nodes("/v1/health/service/web"), "a ref1 z") << "an answer is not another's";
    EXPECT_EQ(nodes("/v1/health/checks/web?near=ref1"), "ref1 a z");
    EXPECT_EQ(nodes("/v1/catalog/service/web?near=z"), "z a ref1");
    EXPECT_EQ(nodes("/v1/catalog/nodes?near=_agent"), "ref1 a z");
    const http::Response made =
        desk_->ask("POST", "/v1/query", R"({"Name":"q","Service":{"Service":"web","Near":"z"}})");
    EXPECT_EQ(made.status, 200) << made.body;
    for (int i = 0; i < 10; ++i) {
        EXPECT_THAT(nodes("/v1/query/q/execute"), testing::StartsWith("z "));
        EXPECT_THAT(nodes("/v1/query/q/execute?near=_agent"), testing::StartsWith("ref1 "));
    }
}

// 14: "external tag change, EnableTagOverride=true: tags ['external']".
TEST_F(GoldenChecks, TagsOverriddenInTheCatalogStay) {
    desk_->put(
        "/v1/agent/service/register",
        R"({"ID":"t","Name":"tagged","Tags":["own"],"EnableTagOverride":true})"
    );
    desk_->put(
        "/v1/catalog/register",
        R"({"Node":"ref1","Address":"127.0.0.1","Service":{"ID":"t","Service":"tagged","Tags":["external"],"EnableTagOverride":true}})"
    );
    loop_.run_for(minutes(10));
    EXPECT_EQ(
        Json::parse(desk_->get("/v1/catalog/service/tagged"))[0]["ServiceTags"],
        Json::parse(R"(["external"])")
    );
}

// Check output alone is pushed after five minutes (check_update_interval), the agent shows it at
// once.
TEST_F(GoldenChecks, OutputAloneReachesTheCatalogLater) {
    desk_->put(
        "/v1/agent/service/register", R"({"Name":"web","Check":{"TTL":"1h","Status":"passing"}})"
    );
    const std::uint64_t index = desk_->index("/v1/health/checks/web");
    desk_->put("/v1/agent/check/pass/service:web?note=new");
    EXPECT_EQ(checks()["service:web"]["Output"], "new");
    loop_.run_for(minutes(5) - seconds(1));
    EXPECT_EQ(desk_->index("/v1/health/checks/web"), index);
    loop_.run_for(seconds(2));
    EXPECT_GT(desk_->index("/v1/health/checks/web"), index);
    EXPECT_EQ(health_check("web")["Output"], "new");
}

}  // namespace
}  // namespace datapunk::mesh::server
