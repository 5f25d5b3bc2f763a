// Sessions and locks over the API: what a real Consul 1.16.4 answered to the same requests, word
// for word but for ids and indexes.

#include <fmt/format.h>

#include <regex>

#include "server/test_server.h"

namespace datapunk::mesh::server {
namespace {

using namespace std::chrono_literals;

constexpr const char* kNobody = "00000000-0000-0000-0000-000000000000";

class Sessions : public ServerTest {
  public:
    // The id of a new session.
    std::string create(std::string body = {}) {
        const http::Response response = desk_->ask("PUT", "/v1/session/create", std::move(body));
        EXPECT_EQ(response.status, 200) << response.body;
        std::smatch found;
        static const std::regex kId(
            R"re(\{"ID":"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"\})re"
        );
        EXPECT_TRUE(std::regex_match(response.body, found, kId)) << response.body;
        return found[1];
    }

    static std::string without_indexes(const std::string& text) {
        static const std::regex kIndex(R"re("(CreateIndex|ModifyIndex)":\d+)re");
        return std::regex_replace(text, kIndex, R"("$1":0)");
    }

    void expect(
        std::string method, std::string target, std::string body, int status, std::string answer
    ) {
        const http::Response response = desk_->ask(method, target, std::move(body));
        EXPECT_EQ(response.status, status) << method << " " << target;
        EXPECT_EQ(without_indexes(response.body), answer) << method << " " << target;
        const bool is_json = status == 200;
        if (!answer.empty()) {
            EXPECT_EQ(
                response.header("content-type"),
                is_json ? "application/json" : "text/plain; charset=utf-8"
            ) << target;
        }
    }

    void expect_key(std::string key, std::string row) {
        expect("GET", "/v1/kv/" + key, "", 200, "[" + std::move(row) + "]");
    }
};

TEST_F(Sessions, CreateListRenewDestroy) {
    const std::string id =
        create(R"({"Name":"s","TTL":"10s","LockDelay":"15s","Behavior":"release"})");
    const std::string row =
        R"({"ID":")" + id +
        R"(","Name":"s","Node":"ref1","LockDelay":15000000000,"Behavior":"release","TTL":"10s","NodeChecks":["serfHealth"],"ServiceChecks":null,"CreateIndex":0,"ModifyIndex":0})";
    expect("GET", "/v1/session/info/" + id, "", 200, "[" + row + "]");
    expect("GET", "/v1/session/list", "", 200, "[" + row + "]");
    expect("GET", "/v1/session/node/ref1", "", 200, "[" + row + "]");
    expect("GET", "/v1/session/node/nope", "", 200, "[]");
    expect("GET", "/v1/session/info/abc", "", 200, "[]");
    expect("GET", std::string("/v1/session/info/") + kNobody, "", 200, "[]");
    expect("PUT", "/v1/session/renew/" + id, "", 200, "[" + row + "]");
    expect(
        "PUT",
        std::string("/v1/session/renew/") + kNobody,
        "",
        404,
        std::string("Session id '") + kNobody + "' not found"
    );
    const std::string second = create();
    EXPECT_NE(second, id);
    EXPECT_EQ(desk_->index("/v1/session/list"), desk_->index("/v1/session/info/" + id));
    expect("PUT", "/v1/session/destroy/" + id, "", 200, "true");
    expect("PUT", "/v1/session/destroy/" + id, "", 200, "true");
    expect("GET", "/v1/session/info/" + id, "", 200, "[]");
    for (const char* verb : {"destroy", "renew", "info"}) {
        const std::string method = std::string(verb) == "info" ? "GET" : "PUT";
        expect(method, std::string("/v1/session/") + verb + "/", "", 400, "Missing session");
    }
    expect("GET", "/v1/session/node/", "", 400, "Missing node name");
}

TEST_F(Sessions, TheBodyHasConsulsDefaultsAndOldNames) {
    const auto fields = [&](const std::string& body) {
        const std::string list = desk_->get("/v1/session/info/" + create(body));
        const auto from = list.find("\"LockDelay\"");
        return without_indexes(list.substr(from, list.find(",\"CreateIndex\"") - from));
    };
    EXPECT_EQ(
        fields("{}"),
        R"("LockDelay":15000000000,"Behavior":"release","TTL":"","NodeChecks":["serfHealth"],"ServiceChecks":null)"
    );
    EXPECT_EQ(
        fields(R"({"Behavior":"delete","LockDelay":"0s"})"),
        R"("LockDelay":0,"Behavior":"delete","TTL":"","NodeChecks":["serfHealth"],"ServiceChecks":null)"
    );
    // Small numbers are seconds, large ones nanoseconds.
    EXPECT_THAT(fields(R"({"LockDelay":5})"), testing::HasSubstr("\"LockDelay\":5000000000,"));
    EXPECT_THAT(fields(R"({"LockDelay":1000})"), testing::HasSubstr("\"LockDelay\":1000,"));
    EXPECT_THAT(fields(R"({"LockDelay":"70s"})"), testing::HasSubstr("\"LockDelay\":70000000000,"));
    // python-consul's and patroni's form.
    EXPECT_EQ(
        fields(R"({"checks":[],"lockdelay":"1s","behavior":"delete","ttl":"10s","name":"p"})"),
        R"("LockDelay":1000000000,"Behavior":"delete","TTL":"10s","NodeChecks":[],"ServiceChecks":null)"
    );
    EXPECT_THAT(fields(R"({"NodeChecks":[]})"), testing::HasSubstr("\"NodeChecks\":[]"));
    desk_->put(
        "/v1/agent/service/register",
        R"({"Name":"web","Check":{"CheckID":"c1","TTL":"60s","Status":"passing"}})"
    );
    EXPECT_THAT(
        fields(R"({"ServiceChecks":[{"ID":"c1","Namespace":""}]})"),
        testing::HasSubstr(R"("ServiceChecks":[{"ID":"c1","Namespace":""}])")
    );
    EXPECT_THAT(
        fields(R"({"Checks":["c1"]})"),
        testing::EndsWith(R"("NodeChecks":["serfHealth"],"ServiceChecks":null,"Checks":["c1"])")
    );
}

TEST_F(Sessions, RefusesWithConsulsWords) {
    const auto refused = [&](std::string body, int status, std::string answer) {
        expect("PUT", "/v1/session/create", std::move(body), status, std::move(answer));
    };
    refused(
        R"({"TTL":"5s"})", 500, "Invalid Session TTL '5000000000', must be between [10s=24h0m0s]"
    );
    refused(
        R"({"TTL":"90000s"})",
        500,
        "Invalid Session TTL '90000000000000', must be between [10s=24h0m0s]"
    );
    refused(R"({"TTL":"abc"})", 500, R"(Session TTL 'abc' invalid: time: invalid duration "abc")");
    refused(R"({"Behavior":"bogus"})", 500, "Invalid Behavior setting 'bogus'");
    refused(R"({"Node":"nope"})", 500, "apply failed: Missing node registration");
    refused(
        R"({"NodeChecks":["nosuch"]})", 500, "apply failed: Missing check 'nosuch' registration"
    );
    refused(R"({"Bogus":1})", 400, R"(Request decode failed: json: unknown field "Bogus")");
    refused(
        R"({"LockDelay":"abc"})", 400, R"(Request decode failed: time: invalid duration "abc")"
    );
    refused(
        "x", 400, "Request decode failed: invalid character 'x' looking for beginning of value"
    );
    const http::Response method = desk_->ask("GET", "/v1/session/create");
    EXPECT_EQ(method.status, 405);
    EXPECT_EQ(method.header("Allow"), "OPTIONS,PUT");
    expect("PUT", "/v1/session/create?dc=nope", "", 500, "No path to datacenter");
}

TEST_F(Sessions, Locks) {
    const std::string id = create();
    const std::string lock = "/v1/kv/lock?acquire=" + id;
    expect("PUT", lock, "me", 200, "true");
    const std::string held = R"("Session":")" + id + R"(","CreateIndex":0,"ModifyIndex":0})";
    expect_key("lock", R"({"LockIndex":1,"Key":"lock","Flags":0,"Value":"bWU=",)" + held);
    expect("PUT", lock, "me2", 200, "true");
    expect_key("lock", R"({"LockIndex":1,"Key":"lock","Flags":0,"Value":"bWUy",)" + held);
    const std::string nobody = kNobody;
    expect(
        "PUT",
        "/v1/kv/lock?acquire=" + nobody,
        "x",
        500,
        "raft apply failed: invalid session \"" + nobody + "\""
    );
    expect("PUT", "/v1/kv/lock?acquire=", "x", 500, "raft apply failed: missing session");
    expect("PUT", "/v1/kv/lock?release=" + nobody, "x", 200, "false");
    expect(
        "PUT",
        "/v1/kv/lock?acquire=" + id + "&release=" + id,
        "x",
        400,
        "Conflicting flags: acquire=" + id + "&release=" + id
    );
    expect(
        "PUT",
        "/v1/kv/lock?cas=1&acquire=" + id,
        "x",
        400,
        "Conflicting flags: acquire=" + id + "&cas=1"
    );
    expect("PUT", "/v1/kv/lock?flags=7&release=" + id, "rel", 200, "true");
    const std::string free = R"("CreateIndex":0,"ModifyIndex":0})";
    expect_key("lock", R"({"LockIndex":1,"Key":"lock","Flags":7,"Value":"cmVs",)" + free);
    expect("PUT", lock, "me3", 200, "true");
    expect("PUT", "/v1/session/destroy/" + id, "", 200, "true");
    expect_key("lock", R"({"LockIndex":2,"Key":"lock","Flags":0,"Value":"bWUz",)" + free);
    const std::string second = create(R"({"Name":"s2"})");
    expect("PUT", "/v1/kv/lock?acquire=" + second, "during-lock-delay", 200, "false");
    loop_.run_for(15s + 10ms);
    expect("PUT", "/v1/kv/lock?acquire=" + second, "after it", 200, "true");
}

TEST_F(Sessions, DeleteBehaviorTakesTheKey) {
    const std::string id = create(R"({"Name":"s3","Behavior":"delete","LockDelay":"0s"})");
    expect("PUT", "/v1/kv/eph?acquire=" + id, "e", 200, "true");
    expect("PUT", "/v1/session/destroy/" + id, "", 200, "true");
    expect("GET", "/v1/kv/eph", "", 404, "");
}

TEST_F(Sessions, TwiceTheTtlWithoutARenewalIsTheEnd) {
    const std::string id = create(R"({"TTL":"10s"})");
    const std::string url = "/v1/session/info/" + id;
    expect("PUT", "/v1/kv/lock?acquire=" + id, "me", 200, "true");
    loop_.run_for(19s);
    EXPECT_NE(desk_->get(url), "[]");
    EXPECT_EQ(desk_->ask("PUT", "/v1/session/renew/" + id).status, 200);
    loop_.run_for(19s);
    EXPECT_NE(desk_->get(url), "[]");
    PendingAsk lock(*server_, fmt::format("/v1/kv/lock?index={}", desk_->index("/v1/kv/lock")));
    PendingAsk list(
        *server_, fmt::format("/v1/session/list?index={}", desk_->index("/v1/session/list"))
    );
    loop_.run_for(2s);
    EXPECT_EQ(desk_->get(url), "[]");
    EXPECT_EQ(desk_->ask("PUT", "/v1/session/renew/" + id).status, 404);
    ASSERT_TRUE(lock.ended() && list.ended());
    EXPECT_THAT(lock.response().body, testing::Not(testing::HasSubstr("Session")));
    EXPECT_EQ(list.response().body, "[]");
}

TEST_F(Sessions, BlockingQueriesWakeForTheirOwnSessions) {
    const std::string id = create();
    const std::uint64_t index = desk_->index("/v1/session/info/" + id);
    PendingAsk info(*server_, fmt::format("/v1/session/info/{}?index={}", id, index));
    PendingAsk node(*server_, fmt::format("/v1/session/node/ref1?index={}", index));
    PendingAsk other(*server_, fmt::format("/v1/session/node/n2?index={}", index));
    loop_.run_for(1ms);
    create();
    loop_.run_for(1ms);
    EXPECT_FALSE(info.ended());
    EXPECT_TRUE(node.ended());
    EXPECT_FALSE(other.ended());
    desk_->put("/v1/session/destroy/" + id);
    loop_.run_for(1ms);
    ASSERT_TRUE(info.ended());
    EXPECT_EQ(info.response().body, "[]");
    EXPECT_FALSE(other.ended());
}

TEST_F(Sessions, ADeadServiceLosesItsLock) {
    desk_->put(
        "/v1/agent/service/register",
        R"({"Name":"web","Check":{"CheckID":"c1","TTL":"10s","Status":"passing"}})"
    );
    const std::string id = create(R"({"NodeChecks":["serfHealth","c1"],"Behavior":"delete"})");
    expect("PUT", "/v1/kv/leader?acquire=" + id, "web", 200, "true");
    loop_.run_for(11s);  // nobody passes the check
    expect("GET", "/v1/kv/leader", "", 404, "");
    expect("GET", "/v1/session/info/" + id, "", 200, "[]");
    expect(
        "PUT",
        "/v1/session/create",
        R"({"NodeChecks":["c1"]})",
        500,
        "apply failed: Check 'c1' is in critical state"
    );
}

}  // namespace
}  // namespace datapunk::mesh::server
