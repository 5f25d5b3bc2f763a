// Access control, in the order of the recorded conversation with a Consul 1.16.4 that denies by
// default, and what it leaves out.

#include <nlohmann/json.hpp>

#include "server/acl/acl_bodies.h"
#include "server/test_server.h"

namespace datapunk::mesh::server {
namespace {

using Json = nlohmann::json;

constexpr const char* kWebRules =
    R"({"Name":"web","Rules":"service \"web\" { policy = \"write\" } node_prefix \"\" { policy = \"read\" } key_prefix \"cfg/\" { policy = \"read\" } session_prefix \"\" { policy=\"write\" }"})";
const std::string kAnonymousEnd =
    ". The anonymous token is used implicitly when a request does not specify a token.";

class Acl : public ServerTest {
  public:
    Acl() {
        config_.acl = {.enabled = true, .is_default_allow = false, .initial_management = {}};
        start();
    }

    // The secret of a new management token.
    std::string bootstrap() {
        const http::Response made = desk_->ask("PUT", "/v1/acl/bootstrap");
        EXPECT_EQ(made.status, 200) << made.body;
        return Json::parse(made.body).at("SecretID").get<std::string>();
    }

    Json put_as(const std::string& secret, std::string target, std::string body) {
        const http::Response made = desk_->ask_as(secret, "PUT", target, std::move(body));
        EXPECT_EQ(made.status, 200) << target << ": " << made.body;
        return Json::parse(made.body, nullptr, false);
    }

    // A token with the recording's policy "web".
    Json web_token(const std::string& management) {
        put_as(management, "/v1/acl/policy", kWebRules);
        return put_as(
            management,
            "/v1/acl/token",
            R"({"Description":"d","Policies":[{"Name":"web"}],"ExpirationTTL":"1h"})"
        );
    }

    void expect_denied(
        const std::string& secret,
        std::string method,
        std::string target,
        std::string body,
        std::string text
    ) {
        const http::Response answer = secret.empty() ? desk_->ask(method, target, body)
                                                     : desk_->ask_as(secret, method, target, body);
        EXPECT_EQ(answer.status, 403) << method << " " << target;
        EXPECT_EQ(answer.body, text) << method << " " << target;
        EXPECT_EQ(answer.header("X-Consul-Default-Acl-Policy"), "deny");
        EXPECT_EQ(answer.header("content-type"), "text/plain; charset=utf-8");
    }

    static std::string lacks(const std::string& accessor, const std::string& what) {
        return "Permission denied: token with AccessorID '" + accessor + "' lacks permission " +
               what;
    }
};

TEST_F(Acl, ListsAreEmptyForTheAnonymousTokenAndTheRestIsRefused) {
    for (const auto& [target, body] : std::vector<std::pair<std::string, std::string>>{
             {"/v1/catalog/nodes", "[]"},
             {"/v1/catalog/services", "{}"},
             {"/v1/health/service/consul", "[]"},
             {"/v1/health/state/any", "[]"},
             {"/v1/health/node/ref1", "[]"},
             {"/v1/catalog/node/ref1", "null"},
             {"/v1/catalog/node-services/ref1", R"({"Node":null,"Services":null})"},
             {"/v1/agent/services", "{}"},
             {"/v1/agent/checks", "{}"},
             {"/v1/agent/members", "[]"}
         }) {
        const http::Response answer = desk_->ask("GET", target);
        EXPECT_EQ(answer.status, 200) << target;
        EXPECT_EQ(answer.body, body) << target;
        EXPECT_EQ(answer.header("X-Consul-Default-Acl-Policy"), "deny");
        EXPECT_EQ(answer.header("X-Consul-Results-Filtered-By-Acls"), "")
            << "who shows no token is told nothing";
    }
    const auto anonymous = [](const std::string& what) {
        return "Permission denied: anonymous token lacks permission " + what + kAnonymousEnd;
    };
    expect_denied("", "GET", "/v1/agent/self", "", anonymous("'agent:read' on \"ref1\""));
    expect_denied(
        "",
        "PUT",
        "/v1/agent/service/register",
        R"({"Name":"web"})",
        anonymous("'service:write' on \"web\"")
    );
    expect_denied(
        "",
        "PUT",
        "/v1/catalog/register",
        R"({"Node":"n","Address":"1.2.3.4"})",
        anonymous("'node:write' on \"n\"")
    );
    expect_denied("", "GET", "/v1/acl/tokens", "", anonymous("'acl:read'"));
    EXPECT_EQ(desk_->ask("GET", "/v1/acl/tokens").header("X-Consul-Index"), "1");
    EXPECT_EQ(desk_->ask("GET", "/v1/acl/tokens").header("X-Consul-Knownleader"), "false");
    EXPECT_EQ(desk_->ask("GET", "/v1/status/leader").status, 200);
    const std::string unknown =
        "ACL system must be bootstrapped before making any requests that require authorization: "
        "ACL not found";
    expect_denied("bogus", "GET", "/v1/kv/a", "", unknown);
    EXPECT_EQ(desk_->ask_as("bogus", "GET", "/v1/kv/a").header("X-Consul-Index"), "");
    const http::Response nodes = desk_->ask("GET", "/v1/catalog/nodes?token=bogus");
    EXPECT_EQ(nodes.status, 403);
    EXPECT_EQ(nodes.body, unknown);
    EXPECT_EQ(nodes.header("X-Consul-Index"), "1");
    EXPECT_EQ(nodes.header("X-Consul-Knownleader"), "false");
    EXPECT_EQ(nodes.header("X-Consul-Query-Backend"), "blocking-query");
}

TEST_F(Acl, IsBootstrappedOnceAndTheTokenIsKnownInEveryForm) {
    const http::Response made = desk_->ask("PUT", "/v1/acl/bootstrap");
    const Json token = Json::parse(made.body);
    EXPECT_EQ(token["ID"], token["SecretID"]);
    EXPECT_EQ(token["Description"], "Bootstrap Token (Global Management)");
    EXPECT_EQ(
        token["Policies"],
        Json::parse(R"([{"ID":"00000000-0000-0000-0000-000000000001","Name":"global-management"}])")
    );
    EXPECT_EQ(token["Local"], false);
    for (const char* field : {"AccessorID", "CreateTime", "Hash", "CreateIndex", "ModifyIndex"}) {
        EXPECT_TRUE(token.contains(field)) << field;
    }
    EXPECT_FALSE(token.contains("ExpirationTime"));
    const http::Response again = desk_->ask("PUT", "/v1/acl/bootstrap");
    EXPECT_EQ(again.status, 403);
    EXPECT_EQ(
        again.body,
        "Permission denied: ACL bootstrap no longer allowed (reset index: " +
            std::to_string(token["CreateIndex"].get<int>()) + ")"
    );
    const std::string secret = token["SecretID"];
    http::Request bearer{.target = "/v1/acl/token/self"};
    bearer.headers.push_back({"Authorization", "Bearer " + secret});
    for (const http::Response& self :
         {desk_->ask_as(secret, "GET", "/v1/acl/token/self"),
          desk_->ask(std::move(bearer)),
          desk_->ask("GET", "/v1/acl/token/self?token=" + secret)}) {
        EXPECT_EQ(self.status, 200);
        EXPECT_EQ(Json::parse(self.body)["AccessorID"], token["AccessorID"]);
        EXPECT_FALSE(Json::parse(self.body).contains("ID"));
        EXPECT_EQ(self.header("X-Consul-Index"), std::to_string(token["CreateIndex"].get<int>()));
        EXPECT_EQ(self.header("X-Consul-Effective-Consistency"), "");
    }
    const http::Response nodes = desk_->ask("GET", "/v1/catalog/nodes?token=" + secret);
    EXPECT_EQ(Json::parse(nodes.body).size(), 1U);
    expect_denied("bogus", "GET", "/v1/kv/a", "", "ACL not found");
}

TEST_F(Acl, PoliciesAndTokensAsConsulShowsThem) {
    const std::string management = bootstrap();
    const Json policy = put_as(management, "/v1/acl/policy", kWebRules);
    EXPECT_EQ(policy["Name"], "web");
    EXPECT_EQ(policy["Rules"], Json::parse(kWebRules)["Rules"]);
    EXPECT_FALSE(policy.contains("Datacenters"));
    const http::Response bad =
        desk_->ask_as(management, "PUT", "/v1/acl/policy", R"({"Name":"bad","Rules":"bogus {"})");
    EXPECT_EQ(bad.status, 500);
    EXPECT_EQ(
        bad.body, "Failed to parse ACL rules: At 1:9: object expected closing RBRACE got: EOF"
    );
    const Json token = put_as(
        management,
        "/v1/acl/token",
        R"({"Description":"d","Policies":[{"Name":"web"}],"ExpirationTTL":"1h"})"
    );
    EXPECT_EQ(token["Policies"], Json::array({{{"ID", policy["ID"]}, {"Name", "web"}}}));
    const auto created = parse_rfc3339(token["CreateTime"].get<std::string>());
    const auto expires = parse_rfc3339(token["ExpirationTime"].get<std::string>());
    ASSERT_TRUE(created && expires);
    EXPECT_EQ(*expires - *created, std::chrono::hours(1));
    const Json identities = put_as(
        management,
        "/v1/acl/token",
        R"({"Description":"svcid","ServiceIdentities":[{"ServiceName":"api"}],"NodeIdentities":[{"NodeName":"acl1","Datacenter":"dc1"}]})"
    );
    EXPECT_EQ(identities["ServiceIdentities"], Json::parse(R"([{"ServiceName":"api"}])"));
    EXPECT_EQ(
        identities["NodeIdentities"], Json::parse(R"([{"NodeName":"acl1","Datacenter":"dc1"}])")
    );
    EXPECT_FALSE(identities.contains("Policies"));
    const Json listed = Json::parse(desk_->ask_as(management, "GET", "/v1/acl/policies").body);
    ASSERT_EQ(listed.size(), 3U);
    EXPECT_EQ(listed[0]["Name"], "builtin/global-read-only");
    EXPECT_EQ(listed[2]["Name"], "web");
    EXPECT_TRUE(listed[2]["Datacenters"].is_null());
    EXPECT_FALSE(listed[2].contains("Rules"));
    const Json tokens = Json::parse(desk_->ask_as(management, "GET", "/v1/acl/tokens").body);
    EXPECT_EQ(tokens.size(), 4U);
    const std::string accessor = token["AccessorID"];
    const http::Response one = desk_->ask_as(management, "GET", "/v1/acl/token/" + accessor);
    EXPECT_EQ(Json::parse(one.body), token);
    expect_denied(
        management,
        "GET",
        "/v1/acl/token/00000000-0000-0000-0000-00000000dead",
        "",
        "token does not exist: ACL not found"
    );
    EXPECT_EQ(
        Json::parse(desk_->ask_as(management, "GET", "/v1/acl/policy/name/web").body)["ID"],
        policy["ID"]
    );
    EXPECT_EQ(desk_->ask_as(management, "DELETE", "/v1/acl/token/" + accessor).body, "true");
    expect_denied(
        token["SecretID"], "GET", "/v1/acl/token/self", "", "token does not exist: ACL not found"
    );
    expect_denied(token["SecretID"], "GET", "/v1/catalog/nodes", "", "ACL not found");
    EXPECT_EQ(
        desk_->get("/v1/acl/replication"),
        R"({"Enabled":false,"Running":false,"SourceDatacenter":"","ReplicationType":"","ReplicatedIndex":0,"ReplicatedRoleIndex":0,"ReplicatedTokenIndex":0,"LastSuccess":"0001-01-01T00:00:00Z","LastError":"0001-01-01T00:00:00Z","LastErrorMessage":""})"
    );
}

TEST_F(Acl, ATokenMayDoWhatItsPolicySays) {
    const Json token = web_token(bootstrap());
    const std::string secret = token["SecretID"];
    const std::string accessor = token["AccessorID"];
    const std::string service = "/v1/agent/service/register";
    EXPECT_EQ(desk_->ask_as(secret, "PUT", service, R"({"Name":"web","Port":1})").status, 200);
    expect_denied(
        secret,
        "PUT",
        service,
        R"({"Name":"api","Port":1})",
        lacks(accessor, "'service:write' on \"api\"")
    );
    const http::Response health = desk_->ask_as(secret, "GET", "/v1/health/service/web");
    EXPECT_EQ(Json::parse(health.body).size(), 1U);
    EXPECT_EQ(health.header("X-Consul-Results-Filtered-By-Acls"), "");
    EXPECT_EQ(desk_->get("/v1/health/service/web"), "[]") << "an answer is not another's";
    EXPECT_EQ(Json::parse(desk_->ask_as(secret, "GET", "/v1/agent/services").body).size(), 1U);
    EXPECT_EQ(desk_->get("/v1/agent/services"), "{}");
    expect_denied(secret, "GET", "/v1/agent/self", "", lacks(accessor, "'agent:read' on \"ref1\""));
    expect_denied(
        "",
        "PUT",
        "/v1/agent/service/deregister/web",
        "",
        "Permission denied: anonymous token lacks permission 'service:write' on \"web\"" +
            kAnonymousEnd
    );
    EXPECT_EQ(
        desk_->ask_as(secret, "PUT", "/v1/agent/service/maintenance/web?enable=true").status, 200
    );
    EXPECT_EQ(desk_->ask_as(secret, "GET", "/v1/agent/health/service/name/web").status, 503);
    EXPECT_EQ(desk_->ask_as(secret, "PUT", "/v1/agent/service/deregister/web").status, 200);
}

TEST_F(Acl, KeysAndSessionsHaveRulesToo) {
    const std::string management = bootstrap();
    const Json token = web_token(management);
    const std::string secret = token["SecretID"];
    const std::string accessor = token["AccessorID"];
    const auto anonymous = [](const std::string& what) {
        return "Permission denied: anonymous token lacks permission " + what + kAnonymousEnd;
    };
    expect_denied("", "GET", "/v1/kv/a", "", anonymous("'key:read' on \"a\""));
    expect_denied("", "PUT", "/v1/kv/a", "x", anonymous("'key:write' on \"a\""));
    EXPECT_EQ(desk_->ask_as(secret, "GET", "/v1/kv/cfg/a").status, 404);
    expect_denied(secret, "GET", "/v1/kv/other", "", lacks(accessor, "'key:read' on \"other\""));
    expect_denied(secret, "PUT", "/v1/kv/cfg/a", "x", lacks(accessor, "'key:write' on \"cfg/a\""));
    desk_->ask_as(management, "PUT", "/v1/kv/other", "x");
    EXPECT_EQ(desk_->ask_as(secret, "GET", "/v1/kv/?recurse").status, 404);
    const http::Response none = desk_->ask_as(secret, "GET", "/v1/kv/?keys");
    EXPECT_EQ(none.status, 200);
    EXPECT_EQ(none.body, "[]");
    EXPECT_EQ(none.header("X-Consul-Results-Filtered-By-Acls"), "true");
    desk_->ask_as(management, "PUT", "/v1/kv/cfg/a", "x");
    EXPECT_EQ(desk_->ask_as(secret, "GET", "/v1/kv/?keys").body, R"(["cfg/a"])");
    EXPECT_EQ(Json::parse(desk_->ask_as(secret, "GET", "/v1/kv/?recurse").body).size(), 1U);
    EXPECT_EQ(desk_->ask_as(secret, "DELETE", "/v1/kv/cfg/a").status, 403);
    EXPECT_EQ(desk_->ask_as(secret, "DELETE", "/v1/kv/cfg/?recurse").status, 403);
    EXPECT_EQ(desk_->ask_as(secret, "DELETE", "/v1/kv/?recurse").status, 403);
    const http::Response session = desk_->ask_as(secret, "PUT", "/v1/session/create", "{}");
    EXPECT_EQ(session.status, 200);
    const std::string id = Json::parse(session.body)["ID"];
    EXPECT_EQ(desk_->ask_as(secret, "PUT", "/v1/kv/cfg/a?acquire=" + id, "x").status, 403);
    EXPECT_EQ(desk_->ask("PUT", "/v1/session/create", "{}").status, 403);
    EXPECT_EQ(desk_->ask("PUT", "/v1/session/destroy/" + id).status, 403);
    EXPECT_EQ(desk_->ask("PUT", "/v1/session/renew/" + id).status, 403);
    EXPECT_EQ(desk_->get("/v1/session/list"), "[]");
    EXPECT_EQ(desk_->get("/v1/session/info/" + id), "[]");
    EXPECT_EQ(Json::parse(desk_->ask_as(secret, "GET", "/v1/session/list").body).size(), 1U);
}

TEST_F(Acl, AnotherServicesIdIsNotForTheTaking) {
    const std::string management = bootstrap();
    const std::string secret = web_token(management)["SecretID"];
    const std::string service = "/v1/agent/service/register";
    ASSERT_EQ(
        desk_
            ->ask_as(
                management,
                "PUT",
                service,
                R"({"ID":"x","Name":"api","Check":{"CheckID":"c","TTL":"10s"}})"
            )
            .status,
        200
    );
    for (const auto& [target, body] : std::vector<std::pair<std::string, std::string>>{
             {service, R"({"ID":"x","Name":"web"})"},
             {"/v1/agent/service/deregister/x", ""},
             {"/v1/agent/service/maintenance/x?enable=true", ""},
             {"/v1/agent/check/pass/c", ""},
             {"/v1/agent/check/update/c", R"({"Status":"passing"})"},
             {"/v1/agent/check/deregister/c", ""},
             {"/v1/agent/check/register", R"({"Name":"n","TTL":"10s","ServiceID":"x"})"},
             {"/v1/agent/check/register", R"({"Name":"node","TTL":"10s"})"},
             {"/v1/agent/check/register", R"({"ID":"c","Name":"c","TTL":"10s","ServiceID":"x"})"},
             {"/v1/agent/maintenance?enable=true", ""},
             {"/v1/catalog/register",
              R"({"Node":"ref1","Address":"127.0.0.1","SkipNodeUpdate":true,"Service":{"ID":"x","Service":"web"}})"
             },
             {"/v1/catalog/register",
              R"({"Node":"ref1","Address":"127.0.0.1","SkipNodeUpdate":true,"Check":{"CheckID":"c","Status":"passing","ServiceID":"x"}})"
             },
             {"/v1/catalog/register",
              R"({"Node":"ref1","Address":"127.0.0.1","SkipNodeUpdate":true,"Check":{"CheckID":"n","Status":"passing"}})"
             },
             {"/v1/catalog/register", R"({"Node":"ref1","Address":"10.9.9.9"})"},
             {"/v1/catalog/deregister", R"({"Node":"ref1","ServiceID":"x"})"},
             {"/v1/catalog/deregister", R"({"Node":"ref1","CheckID":"c"})"},
             {"/v1/catalog/deregister", R"({"Node":"ref1"})"},
             {"/v1/acl/token", "{}"},
             {"/v1/acl/policy", R"({"Name":"p"})"}
         }) {
        EXPECT_EQ(desk_->ask_as(secret, "PUT", target, body).status, 403) << target << body;
    }
    EXPECT_EQ(desk_->ask_as(secret, "GET", "/v1/agent/service/x").status, 403);
    EXPECT_EQ(desk_->ask_as(secret, "GET", "/v1/agent/health/service/id/x").status, 403);
    EXPECT_EQ(desk_->ask_as(secret, "GET", "/v1/agent/health/service/name/api").status, 403);
    const http::Response services = desk_->ask_as(secret, "GET", "/v1/catalog/services");
    EXPECT_EQ(services.body, "{}");
    EXPECT_EQ(services.header("X-Consul-Results-Filtered-By-Acls"), "true");
    EXPECT_EQ(
        desk_->ask_as(secret, "GET", "/v1/health/service/api")
            .header("X-Consul-Results-Filtered-By-Acls"),
        "true"
    );
    EXPECT_EQ(desk_->ask_as(secret, "GET", "/v1/health/checks/api").body, "[]");
    EXPECT_EQ(desk_->ask_as(secret, "GET", "/v1/catalog/service/api").body, "[]");
    EXPECT_EQ(
        Json::parse(desk_->ask_as(secret, "GET", "/v1/catalog/node/ref1").body)["Services"],
        Json::object()
    );
    EXPECT_EQ(desk_->ask_as(management, "GET", "/v1/agent/service/x").status, 200);
}

TEST_F(Acl, AWatchEndsWithItsToken) {
    const std::string management = bootstrap();
    const Json token = web_token(management);
    const std::string secret = token["SecretID"];
    ASSERT_EQ(
        desk_->ask_as(secret, "PUT", "/v1/agent/service/register", R"({"Name":"web"})").status, 200
    );
    const std::string target = "/v1/health/service/web?token=" + secret;
    const std::string index(desk_->ask("GET", target).header("X-Consul-Index"));
    PendingAsk watch(*server_, target + "&index=" + index);
    desk_->ask_as(management, "DELETE", "/v1/acl/token/" + token["AccessorID"].get<std::string>());
    EXPECT_FALSE(watch.ended());
    desk_->ask_as(management, "PUT", "/v1/agent/service/register", R"({"Name":"web","Port":2})");
    loop_.run_for(std::chrono::milliseconds(1));
    ASSERT_TRUE(watch.ended());
    EXPECT_EQ(watch.response().status, 403) << "no answer for a token that is gone";
}

TEST_F(Acl, ATokenThatExpiresIsGone) {
    const std::string management = bootstrap();
    const Json token = web_token(management);
    const std::string secret = token["SecretID"];
    EXPECT_EQ(desk_->ask_as(secret, "GET", "/v1/catalog/nodes").status, 200);
    loop_.run_for(std::chrono::minutes(61));
    expect_denied(secret, "GET", "/v1/catalog/nodes", "", "ACL not found");
    expect_denied(
        management,
        "GET",
        "/v1/acl/token/" + token["AccessorID"].get<std::string>(),
        "",
        "token does not exist: ACL not found"
    );
    EXPECT_EQ(Json::parse(desk_->ask_as(management, "GET", "/v1/acl/tokens").body).size(), 2U);
    for (const char* body :
         {R"({"ExpirationTTL":"30s"})",
          R"({"ExpirationTTL":"25h"})",
          R"({"ExpirationTTL":"-1h"})",
          R"({"ExpirationTTL":"1h","ExpirationTime":"2030-01-01T00:00:00Z"})"}) {
        EXPECT_EQ(desk_->ask_as(management, "PUT", "/v1/acl/token", body).status, 500) << body;
    }
}

TEST_F(Acl, TokensAreChangedAndCloned) {
    const std::string management = bootstrap();
    const Json token = web_token(management);
    const std::string at = "/v1/acl/token/" + token["AccessorID"].get<std::string>();
    const Json changed = put_as(management, at, R"({"Description":"other"})");
    EXPECT_EQ(changed["Description"], "other");
    EXPECT_FALSE(changed.contains("Policies")) << "what is not said is taken away";
    EXPECT_EQ(changed["SecretID"], token["SecretID"]);
    EXPECT_EQ(changed["CreateTime"], token["CreateTime"]);
    EXPECT_EQ(changed["ExpirationTime"], token["ExpirationTime"]);
    EXPECT_EQ(
        desk_->ask_as(management, "PUT", at, R"({"SecretID":"mine"})").body,
        "Changing a token's SecretID is not permitted"
    );
    put_as(management, at, R"({"Description":"d","Policies":[{"Name":"web"}]})");
    const Json cloned = put_as(management, at + "/clone", R"({"Description":"copy"})");
    EXPECT_EQ(cloned["Description"], "copy");
    EXPECT_NE(cloned["SecretID"], token["SecretID"]);
    EXPECT_EQ(cloned["Policies"], token["Policies"]);
    EXPECT_EQ(
        desk_->ask_as(management, "PUT", "/v1/acl/token", R"({"Policies":[{"Name":"nope"}]})").body,
        "No such ACL policy with name \"nope\""
    );
    EXPECT_EQ(
        desk_->ask_as(management, "PUT", "/v1/acl/token", R"({"Roles":[{"Name":"r"}]})").status, 400
    );
    const Json self = Json::parse(desk_->ask_as(management, "GET", "/v1/acl/token/self").body);
    EXPECT_EQ(
        desk_
            ->ask_as(management, "DELETE", "/v1/acl/token/" + self["AccessorID"].get<std::string>())
            .status,
        500
    ) << "nobody locks himself out";
}

TEST_F(Acl, WhoMayOnlyReadSeesNoSecrets) {
    const std::string management = bootstrap();
    const Json reader = put_as(
        management, "/v1/acl/token", R"({"Policies":[{"Name":"builtin/global-read-only"}]})"
    );
    const std::string secret = reader["SecretID"];
    const http::Response tokens = desk_->ask_as(secret, "GET", "/v1/acl/tokens");
    EXPECT_EQ(tokens.body.find(management), std::string::npos);
    for (const Json& token : Json::parse(tokens.body)) {
        EXPECT_EQ(token["SecretID"], "<hidden>");
    }
    EXPECT_EQ(Json::parse(desk_->ask_as(secret, "GET", "/v1/catalog/nodes").body).size(), 1U);
    EXPECT_EQ(desk_->ask_as(secret, "PUT", "/v1/acl/token", "{}").status, 403);
    EXPECT_EQ(desk_->ask_as(secret, "PUT", "/v1/agent/maintenance?enable=true").status, 403);
}

TEST_F(Acl, IdentitiesStandForTheRulesAServiceNeeds) {
    const std::string management = bootstrap();
    const std::string secret = put_as(
        management, "/v1/acl/token", R"({"ServiceIdentities":[{"ServiceName":"api"}]})"
    )["SecretID"];
    const std::string service = "/v1/agent/service/register";
    EXPECT_EQ(desk_->ask_as(secret, "PUT", service, R"({"Name":"api"})").status, 200);
    EXPECT_EQ(desk_->ask_as(secret, "PUT", service, R"({"Name":"web"})").status, 403);
    EXPECT_EQ(Json::parse(desk_->ask_as(secret, "GET", "/v1/health/service/api").body).size(), 1U);
    const std::string elsewhere = put_as(
        management,
        "/v1/acl/token",
        R"({"ServiceIdentities":[{"ServiceName":"api","Datacenters":["dc9"]}]})"
    )["SecretID"];
    EXPECT_EQ(desk_->ask_as(elsewhere, "PUT", service, R"({"Name":"api"})").status, 403);
    const std::string node = put_as(
        management,
        "/v1/acl/token",
        R"({"NodeIdentities":[{"NodeName":"ref1","Datacenter":"dc1"}]})"
    )["SecretID"];
    EXPECT_EQ(desk_->ask_as(node, "PUT", "/v1/agent/maintenance?enable=true").status, 200);
}

TEST_F(Acl, TheConfiguredTokenNeedsNoBootstrap) {
    config_.acl.initial_management = "from-the-configuration";
    start();
    const http::Response tokens = desk_->ask_as("from-the-configuration", "GET", "/v1/acl/tokens");
    EXPECT_EQ(tokens.status, 200);
    EXPECT_EQ(tokens.body.find("from-the-configuration"), std::string::npos);
    EXPECT_EQ(desk_->ask("PUT", "/v1/acl/bootstrap").status, 403);
    expect_denied("<hidden>", "GET", "/v1/acl/tokens", "", "ACL not found");
}

TEST_F(Acl, AllowsByDefaultIfSaidSoButNotTheTablesThemselves) {
    config_.acl.is_default_allow = true;
    start();
    desk_->put("/v1/agent/service/register", R"({"Name":"web"})");
    EXPECT_EQ(desk_->ask("GET", "/v1/agent/self").status, 200);
    EXPECT_EQ(desk_->ask("GET", "/v1/acl/tokens").status, 403);
    EXPECT_EQ(
        desk_->ask("GET", "/v1/catalog/nodes").header("X-Consul-Default-Acl-Policy"), "allow"
    );
    const std::string management = bootstrap();
    put_as(
        management,
        "/v1/acl/policy",
        R"({"Name":"no-web","Rules":"service \"web\" { policy = \"deny\" }"})"
    );
    put_as(
        management,
        "/v1/acl/token/" + std::string(catalog::kAnonymousAccessor),
        R"({"Policies":[{"Name":"no-web"}]})"
    );
    EXPECT_EQ(desk_->get("/v1/health/service/web"), "[]");
    EXPECT_EQ(desk_->ask("PUT", "/v1/agent/service/deregister/web").status, 403);
}

TEST_F(Acl, OffEverythingIsAllowedAndItsPathsSaySo) {
    config_.acl.enabled = false;
    start();
    desk_->put("/v1/agent/service/register", R"({"Name":"web"})");
    EXPECT_EQ(desk_->ask_as("whatever", "GET", "/v1/catalog/nodes").status, 200);
    for (const char* target : {"/v1/acl/tokens", "/v1/acl/policies", "/v1/acl/token/self"}) {
        const http::Response off = desk_->ask("GET", target);
        EXPECT_EQ(off.status, 401) << target;
        EXPECT_EQ(off.body, "ACL support disabled");
    }
    EXPECT_EQ(desk_->ask("PUT", "/v1/acl/bootstrap").status, 401);
}

TEST_F(Acl, AnAliasOfANodeNeedsTheRightToReadIt) {
    const std::string management = bootstrap();
    put_as(
        management,
        "/v1/acl/policy",
        R"({"Name":"narrow","Rules":"service \"web\" { policy = \"write\" } node \"ours\" { policy = \"read\" }"})"
    );
    const std::string secret =
        put_as(management, "/v1/acl/token", R"({"Policies":[{"Name":"narrow"}]})")["SecretID"];
    const std::string register_web = "/v1/agent/service/register";
    const auto status = [&](const std::string& target, const std::string& body) {
        return desk_->ask_as(secret, "PUT", target, body).status;
    };
    EXPECT_EQ(status(register_web, R"({"Name":"web","Check":{"AliasNode":"ours"}})"), 200);
    EXPECT_EQ(status(register_web, R"({"Name":"web","Check":{"AliasNode":"theirs"}})"), 403);
    EXPECT_EQ(
        status(
            "/v1/agent/check/register", R"({"Name":"x","ServiceID":"web","AliasNode":"theirs"})"
        ),
        403
    );
}

TEST_F(Acl, ABackupIsRefusedBeforeItIsSent) {
    const std::string management = bootstrap();
    const std::string secret = web_token(management)["SecretID"];
    const auto refusal = [&](const std::string& token, std::string target) {
        http::Request head{.method = "PUT", .target = std::move(target)};
        if (!token.empty()) head.headers.push_back({"X-Consul-Token", token});
        auto refused = server_->refuse_unread(head);
        return refused ? refused->status : 0;
    };
    EXPECT_EQ(refusal("", "/v1/snapshot"), 403);
    EXPECT_EQ(refusal(secret, "/v1/snapshot?stale"), 403);
    EXPECT_EQ(refusal("nonsense", "/v1/snapshot"), 403);
    EXPECT_EQ(refusal(management, "/v1/snapshot"), 0);
    EXPECT_EQ(refusal("", "/v1/kv/a"), 0) << "small bodies are read and judged whole";
}

TEST(Rfc3339, ReadsWhatItWrites) {
    EXPECT_EQ(format_rfc3339(std::chrono::seconds(0)), "1970-01-01T00:00:00Z");
    for (const char* text :
         {"2026-11-21T03:24:48.008413391Z", "2026-11-21T04:24:48.1Z", "2000-02-29T23:59:59Z"}) {
        const auto time = parse_rfc3339(text);
        ASSERT_TRUE(time) << text;
        EXPECT_EQ(format_rfc3339(*time), text);
    }
    EXPECT_EQ(parse_rfc3339("2026-11-21T04:24:48+01:00"), parse_rfc3339("2026-11-21T03:24:48Z"));
    for (const char* text :
         {"",
          "2026-11-21",
          "2026-02-30T00:00:00Z",
          "2026-11-21T25:00:00Z",
          "2026-11-21T00:00:00",
          "2026-11-21T00:00:00.Z",
          "2026-11-21T00:00:00+1:00"}) {
        EXPECT_FALSE(parse_rfc3339(text)) << text;
    }
}

}  // namespace
}  // namespace datapunk::mesh::server
