// Prepared queries, beside the recorded answers of a Consul 1.16.4.

#include <nlohmann/json.hpp>

#include "server/test_server.h"

namespace datapunk::mesh::server {
namespace {

using Json = nlohmann::json;

class Query : public ServerTest {
  public:
    void register_api() {
        for (const char* body :
             {R"({"ID":"a1","Name":"api","Port":81,"Tags":["v1"],"Meta":{"m":"1"},"Check":{"TTL":"600s","Status":"passing"}})",
              R"({"ID":"a2","Name":"api","Port":82,"Tags":["v2"],"Check":{"CheckID":"warns","TTL":"600s","Status":"warning"}})",
              R"({"ID":"a3","Name":"api","Port":83,"Tags":["v1","v2"],"Check":{"CheckID":"fails","TTL":"600s"}})"
             }) {
            desk_->put("/v1/agent/service/register", body);
        }
    }

    std::string create(const std::string& body) {
        const http::Response made = desk_->ask("POST", "/v1/query", body);
        EXPECT_EQ(made.status, 200) << made.body;
        return Json::parse(made.body).at("ID").get<std::string>();
    }

    std::vector<std::string> ids(const std::string& target) {
        std::vector<std::string> out;
        const Json answer = Json::parse(desk_->get(target));
        for (const Json& entry : answer["Nodes"]) out.push_back(entry["Service"]["ID"]);
        std::sort(out.begin(), out.end());
        return out;
    }

    std::vector<std::string> run(const std::string& service) {
        const std::string id = create(R"({"Service":)" + service + "}");
        return ids("/v1/query/" + id + "/execute");
    }
};

using Ids = std::vector<std::string>;

TEST_F(Query, IsStoredListedAndExecutedAsConsulDoes) {
    register_api();
    const std::string id = create(
        R"({"Name":"q1","Service":{"Service":"api","OnlyPassing":true,"Tags":["v1"]},"DNS":{"TTL":"7s"}})"
    );
    Json row = Json::parse(desk_->get("/v1/query"))[0];
    EXPECT_EQ(row["ID"], id);
    EXPECT_EQ(row["CreateIndex"], row["ModifyIndex"]);
    row["ID"] = "";
    row["CreateIndex"] = row["ModifyIndex"] = 0;
    EXPECT_EQ(
        row,
        Json::parse(
            R"({"ID":"","Name":"q1","Session":"","Token":"","Template":{"Type":"","Regexp":"","RemoveEmptyTags":false},"Service":{"Service":"api","SamenessGroup":"","Failover":{"NearestN":0,"Datacenters":null,"Targets":null},"OnlyPassing":true,"IgnoreCheckIDs":null,"Near":"","Tags":["v1"],"NodeMeta":null,"ServiceMeta":null,"Connect":false,"Peer":""},"DNS":{"TTL":"7s"},"CreateIndex":0,"ModifyIndex":0})"
        )
    );
    const http::Response executed = desk_->ask("GET", "/v1/query/q1/execute");
    EXPECT_EQ(executed.header("X-Consul-Index"), "1");
    EXPECT_EQ(executed.header("X-Consul-Effective-Consistency"), "leader");
    Json answer = Json::parse(executed.body);
    ASSERT_EQ(answer["Nodes"].size(), 1U);
    const Json instance = answer["Nodes"][0];
    EXPECT_EQ(instance["Service"]["ID"], "a1");
    EXPECT_EQ(instance["Node"]["Node"], "ref1");
    EXPECT_EQ(instance["Checks"].size(), 2U);
    EXPECT_TRUE(instance["Checks"][0]["ServiceTags"].is_null()) << "serfHealth's, only here";
    answer["Nodes"] = Json::array();
    EXPECT_EQ(
        answer,
        Json::parse(
            R"({"Service":"api","Nodes":[],"DNS":{"TTL":"7s"},"Datacenter":"dc1","PeerName":"","Failovers":0,"Index":1,"LastContact":0,"KnownLeader":true,"ConsistencyLevel":"leader","NotModified":false,"Backend":0,"ResultsFilteredByACLs":false})"
        )
    );
    EXPECT_EQ(
        Json::parse(desk_->get("/v1/query/q1/explain"))["Query"]["Service"]["Service"], "api"
    );
    EXPECT_EQ(Json::parse(desk_->get("/v1/query/" + id))[0]["Name"], "q1");
}

TEST_F(Query, UnknownOnesAreNotFoundInConsulsWords) {
    for (const char* target :
         {"/v1/query/nope/execute",
          "/v1/query/nope/explain",
          "/v1/query/aaaaaaaa-0000-0000-0000-000000000000"}) {
        const http::Response none = desk_->ask("GET", target);
        EXPECT_EQ(none.status, 404) << target;
        EXPECT_EQ(none.body, "Query not found");
        EXPECT_EQ(none.header("X-Consul-Index"), "1");
        EXPECT_EQ(none.header("X-Consul-Knownleader"), "false");
    }
    const http::Response odd = desk_->ask("GET", "/v1/query/nope");
    EXPECT_EQ(odd.status, 500);
    EXPECT_EQ(odd.body, "failed prepared query lookup: index error: UUID must be 36 characters");
    EXPECT_EQ(desk_->ask("DELETE", "/v1/query/nope").status, 404);
}

TEST_F(Query, LeavesOutWhatIsCriticalAndWhatDoesNotFit) {
    register_api();
    EXPECT_EQ(run(R"({"Service":"api"})"), (Ids{"a1", "a2"}));
    EXPECT_EQ(run(R"({"Service":"api","OnlyPassing":true})"), (Ids{"a1"}));
    EXPECT_EQ(run(R"({"Service":"api","IgnoreCheckIDs":["fails"]})"), (Ids{"a1", "a2", "a3"}));
    EXPECT_EQ(
        run(R"({"Service":"api","OnlyPassing":true,"IgnoreCheckIDs":["fails","warns"]})"),
        (Ids{"a1", "a2", "a3"})
    );
    EXPECT_EQ(run(R"({"Service":"api","Tags":["V1"]})"), (Ids{"a1"}));
    EXPECT_EQ(run(R"({"Service":"api","Tags":["!v1"]})"), (Ids{"a2"}));
    EXPECT_EQ(run(R"({"Service":"api","ServiceMeta":{"m":"1"}})"), (Ids{"a1"}));
    EXPECT_EQ(run(R"({"Service":"api","NodeMeta":{"rack":"r2"}})"), (Ids{}));
    EXPECT_EQ(run(R"({"Service":"api","Near":"_agent"})"), (Ids{"a1", "a2"}));
    EXPECT_EQ(run(R"({"Service":"nope"})"), (Ids{}));
    const std::string id = create(R"({"Service":{"Service":"api"}})");
    EXPECT_EQ(ids("/v1/query/" + id + "/execute?limit=1").size(), 1U);
    EXPECT_EQ(ids("/v1/query/" + id + "/execute?limit=0").size(), 2U);
    EXPECT_EQ(desk_->ask("GET", "/v1/query/" + id + "/execute?limit=x").status, 400);
}

TEST_F(Query, IsChangedAndDeleted) {
    const std::string id = create(R"({"Name":"q","Service":{"Service":"api"}})");
    desk_->put("/v1/query/" + id, R"({"Name":"r","Service":{"Service":"web"}})");
    EXPECT_EQ(desk_->ask("GET", "/v1/query/q/execute").status, 404);
    EXPECT_EQ(Json::parse(desk_->get("/v1/query/r/execute"))["Service"], "web");
    EXPECT_EQ(
        desk_->ask("POST", "/v1/query", R"({"Name":"r","Service":{"Service":"x"}})").status, 500
    );
    EXPECT_EQ(desk_->ask("DELETE", "/v1/query/" + id).status, 200);
    EXPECT_EQ(desk_->get("/v1/query"), "[]");
}

TEST_F(Query, RefusesWhatItCannotDo) {
    const std::vector<std::tuple<std::string, int, std::string>> cases = {
        {R"({"Service":{}})", 500, "Must provide a Service name to query"},
        {R"({"Service":{"Service":"a"},"DNS":{"TTL":"x"}})", 500, "Bad DNS TTL 'x'"},
        {R"({"Service":{"Service":"a"},"DNS":{"TTL":"-1s"}})", 500, "must be >=0"},
        {R"({"Service":{"Service":"a"},"Nope":1})", 400, "unknown field \"Nope\""},
        {R"({"Template":{"Type":"name_prefix_match"},"Service":{"Service":"a"}})", 501, "Template"},
        {R"({"Session":"x","Service":{"Service":"a"}})", 501, "Session"},
        {R"({"Service":{"Service":"a","Failover":{"NearestN":2}}})", 501, "Failover"},
        {R"({"Service":{"Service":"a","Failover":{"Datacenters":["dc2"]}}})", 501, "Failover"},
        {R"({"Service":{"Service":"a","Connect":true}})", 501, "Connect"},
    };
    for (const auto& [body, status, text] : cases) {
        const http::Response refused = desk_->ask("POST", "/v1/query", body);
        EXPECT_EQ(refused.status, status) << body << ": " << refused.body;
        EXPECT_THAT(refused.body, testing::HasSubstr(text)) << body;
    }
    // What says nothing is accepted.
    create(
        R"({"Session":"","Template":{"Type":"","Regexp":""},"Service":{"Service":"a","Failover":{"NearestN":0,"Datacenters":null},"Connect":false}})"
    );
}

TEST_F(Query, BelongsToWhomARuleForItsNameAllows) {
    config_.acl = {.enabled = true, .is_default_allow = false, .initial_management = "management"};
    start();
    const auto put = [&](std::string target, std::string body) {
        return Json::parse(desk_->ask_as("management", "PUT", target, std::move(body)).body);
    };
    desk_->ask_as("management", "PUT", "/v1/agent/service/register", R"({"Name":"web"})");
    put("/v1/acl/policy", R"({"Name":"q","Rules":"query_prefix \"my-\" { policy = \"write\" }"})");
    const std::string secret = put("/v1/acl/token", R"({"Policies":[{"Name":"q"}]})")["SecretID"];
    const auto post = [&](std::string body) {
        return desk_->ask_as(secret, "POST", "/v1/query", std::move(body));
    };
    EXPECT_EQ(post(R"({"Name":"other","Service":{"Service":"web"}})").status, 403);
    const http::Response made =
        post(R"({"Name":"my-q","Token":"management","Service":{"Service":"web"}})");
    ASSERT_EQ(made.status, 200) << made.body;
    const http::Response listed = desk_->ask_as(secret, "GET", "/v1/query");
    EXPECT_EQ(Json::parse(listed.body)[0]["Token"], "<hidden>");
    EXPECT_EQ(desk_->get("/v1/query"), "[]");
    // It runs with its own token's rights, whoever asks.
    EXPECT_EQ(Json::parse(desk_->get("/v1/query/my-q/execute"))["Nodes"].size(), 1U);
    const std::string at = "/v1/query/" + Json::parse(made.body)["ID"].get<std::string>();
    EXPECT_EQ(desk_->ask("DELETE", at).status, 403);
    desk_->ask_as(secret, "PUT", at, R"({"Name":"my-q","Service":{"Service":"web"}})");
    EXPECT_EQ(Json::parse(desk_->get("/v1/query/my-q/execute"))["Nodes"].size(), 0U);
    EXPECT_EQ(desk_->ask_as(secret, "DELETE", at).status, 200);
}

}  // namespace
}  // namespace datapunk::mesh::server
