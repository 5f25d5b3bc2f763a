// PUT /v1/txn: what a real Consul 1.16.4 answered, word for word but for indexes; and what it
// promises: all or nothing, and one index.

#include <fmt/format.h>

#include <regex>

#include "server/test_server.h"

namespace datapunk::mesh::server {
namespace {

constexpr const char* kReadTail =
    R"("Index":1,"LastContact":0,"KnownLeader":true,"ConsistencyLevel":"","NotModified":false,"Backend":0,"ResultsFilteredByACLs":false})";

class TxnTest : public ServerTest {
  public:
    http::Response txn(std::string body) { return desk_->ask("PUT", "/v1/txn", std::move(body)); }

    static std::string without_indexes(const std::string& text) {
        static const std::regex kIndex(R"re("(CreateIndex|ModifyIndex)":[1-9]\d*)re");
        return std::regex_replace(text, kIndex, R"("$1":9)");
    }

    void expect(std::string body, int status, std::string answer) {
        const http::Response response = txn(body);
        EXPECT_EQ(response.status, status) << body;
        EXPECT_EQ(without_indexes(response.body), answer) << body;
        const bool is_json = status == 200 || status == 409;
        EXPECT_EQ(
            response.header("content-type"),
            is_json ? "application/json" : "text/plain; charset=utf-8"
        );
        const bool is_read = answer.ends_with(kReadTail);
        EXPECT_EQ(response.header("X-Consul-Knownleader"), is_read ? "true" : "");
        EXPECT_EQ(response.header("X-Consul-Index"), "");
    }

    void expect_conflict(std::string body, std::size_t op, std::string what, bool is_read = false) {
        for (std::size_t at = 0; (at = what.find('"', at)) != std::string::npos; at += 2) {
            what.insert(at, 1, '\\');
        }
        std::string answer =
            fmt::format(R"({{"Results":null,"Errors":[{{"OpIndex":{},"What":"{}"}}])", op, what);
        answer += is_read ? std::string(",") + kReadTail : "}";
        expect(std::move(body), 409, std::move(answer));
    }
};

TEST_F(TxnTest, KeysAsRecorded) {
    expect(
        R"([{"KV":{"Verb":"set","Key":"t1","Value":"aGk=","Flags":7}},{"KV":{"Verb":"get","Key":"t1"}}])",
        200,
        R"({"Results":[{"KV":{"LockIndex":0,"Key":"t1","Flags":7,"Value":null,"CreateIndex":9,"ModifyIndex":9}},{"KV":{"LockIndex":0,"Key":"t1","Flags":7,"Value":"aGk=","CreateIndex":9,"ModifyIndex":9}}],"Errors":null})"
    );
    expect_conflict(
        R"([{"KV":{"Verb":"get","Key":"absent"}}])", 0, R"(key "absent" doesn't exist)", true
    );
    expect(
        R"([{"KV":{"Verb":"get-or-empty","Key":"absent"}}])",
        200,
        std::string(
            R"({"Results":[{"KV":{"LockIndex":0,"Key":"absent","Flags":0,"Value":null,"CreateIndex":0,"ModifyIndex":0}}],"Errors":null,)"
        ) + kReadTail
    );
    expect_conflict(
        R"([{"KV":{"Verb":"cas","Key":"t1","Value":"aGk=","Index":1}},{"KV":{"Verb":"set","Key":"t2","Value":"aGk="}}])",
        0,
        R"(failed to set key "t1", index is stale)"
    );
    EXPECT_EQ(desk_->ask("GET", "/v1/kv/t2").status, 404) << "nothing of it has happened";
    const std::uint64_t index = desk_->index("/v1/kv/t1");
    expect_conflict(
        R"([{"KV":{"Verb":"get-tree","Key":"t"}},{"KV":{"Verb":"check-index","Key":"t1","Index":1}}])",
        1,
        fmt::format(R"(failed index check for key "t1", current modify index {} != 1)", index),
        true
    );
    expect_conflict(
        R"([{"KV":{"Verb":"check-not-exists","Key":"t1"}}])", 0, R"(key "t1" exists)", true
    );
    expect_conflict(
        R"([{"KV":{"Verb":"bogus","Key":"t1"}}])", 0, R"(unknown KV verb "bogus")", true
    );
    expect("[]", 200, std::string(R"({"Results":[],"Errors":null,)") + kReadTail);
}

TEST_F(TxnTest, WhatCannotBeDecodedAsRecorded) {
    expect("x", 400, "Failed to parse body: invalid character 'x' looking for beginning of value");
    expect(
        R"([{"KV":{"Verb":"set","Key":"t1","Value":"not base64!"}}])",
        400,
        "Failed to parse body: illegal base64 data at input byte 3"
    );
    const http::Response method = desk_->ask("GET", "/v1/txn");
    EXPECT_EQ(method.status, 405);
    EXPECT_EQ(method.header("Allow"), "OPTIONS,PUT");
    EXPECT_EQ(method.body, "method GET not allowed");
}

TEST_F(TxnTest, NodesServicesAndChecksAsRecorded) {
    expect(
        R"([{"Node":{"Verb":"set","Node":{"Node":"tn","Address":"192.0.2.9"}}},{"Service":{"Verb":"set","Node":"tn","Service":{"ID":"ts","Service":"ts","Port":1}}},{"Check":{"Verb":"set","Check":{"Node":"tn","CheckID":"c","Name":"c","Status":"passing","ServiceID":"ts"}}}])",
        200,
        R"({"Results":[{"Node":{"ID":"","Node":"tn","Address":"192.0.2.9","Datacenter":"dc1","TaggedAddresses":null,"Meta":null,"CreateIndex":9,"ModifyIndex":9}},{"Service":{"ID":"ts","Service":"ts","Tags":null,"Address":"","Meta":null,"Port":1,"Weights":{"Passing":1,"Warning":1},"EnableTagOverride":false,"Proxy":{"Mode":"","MeshGateway":{},"Expose":{}},"Connect":{},"PeerName":"","CreateIndex":9,"ModifyIndex":9}},{"Check":{"Node":"tn","CheckID":"c","Name":"c","Status":"passing","Notes":"","Output":"","ServiceID":"ts","ServiceName":"ts","ServiceTags":null,"Type":"","Interval":"","Timeout":"","ExposedPort":0,"Definition":{},"CreateIndex":9,"ModifyIndex":9}}],"Errors":null})"
    );
    EXPECT_EQ(desk_->index("/v1/catalog/service/ts"), desk_->index("/v1/health/service/ts"));
    expect(
        R"([{"Node":{"Verb":"delete","Node":{"Node":"tn"}}}])",
        200,
        R"({"Results":[],"Errors":null})"
    );
    EXPECT_EQ(desk_->get("/v1/catalog/service/ts"), "[]");
    expect_conflict(
        R"([{"Service":{"Verb":"set","Node":"tn","Service":{"ID":"ts","Service":"ts"}}}])",
        0,
        "Missing node registration"
    );
    expect_conflict(
        R"([{"Service":{"Verb":"get","Node":"tn","Service":{"ID":"ts"}}}])",
        0,
        R"(service "ts" on node "tn" doesn't exist)",
        true
    );
    expect_conflict(
        R"([{"Node":{"Verb":"cas","Node":{"Node":"ref1","Address":"127.0.0.2","ModifyIndex":1}}}])",
        0,
        R"(failed to set node "ref1", index is stale)"
    );
}

TEST_F(TxnTest, LocksAndTheirHolders) {
    desk_->put("/v1/kv/a", "1");
    const std::string created = desk_->ask("PUT", "/v1/session/create").body;
    const std::string id = created.substr(7, 36);
    const auto op = [&](std::string verb, std::string key = "a") {
        return fmt::format(
            R"({{"KV":{{"Verb":"{}","Key":"{}","Value":"aGk=","Session":"{}"}}}})", verb, key, id
        );
    };
    EXPECT_EQ(txn("[" + op("lock") + "," + op("check-session") + "]").status, 200);
    EXPECT_EQ(txn("[" + op("unlock") + "," + op("lock") + "," + op("lock", "b") + "]").status, 200);
    EXPECT_THAT(desk_->get("/v1/kv/a"), testing::HasSubstr(R"([{"LockIndex":2,"Key":"a")"));
    expect_conflict(
        R"([{"KV":{"Verb":"lock","Key":"a","Session":"nobody"}}])", 0, R"(invalid session "nobody")"
    );
    const std::string other = desk_->ask("PUT", "/v1/session/create").body.substr(7, 36);
    expect_conflict(
        fmt::format(R"([{{"KV":{{"Verb":"lock","Key":"a","Session":"{}"}}}}])", other),
        0,
        R"(failed to lock key "a", lock is already held)"
    );
    expect_conflict(
        fmt::format(R"([{{"KV":{{"Verb":"unlock","Key":"a","Session":"{}"}}}}])", other),
        0,
        R"(failed to unlock key "a", lock isn't held, or is held by another session)"
    );
    expect_conflict(
        fmt::format(R"([{{"KV":{{"Verb":"check-session","Key":"a","Session":"{}"}}}}])", other),
        0,
        fmt::format(R"(failed session check for key "a", current session "{}" != "{}")", id, other),
        true
    );
    EXPECT_EQ(
        txn(fmt::format(R"([{{"Session":{{"Verb":"delete","Session":{{"ID":"{}"}}}}}}])", id))
            .status,
        200
    );
    expect_conflict(
        fmt::format(R"([{{"KV":{{"Verb":"lock","Key":"a","Session":"{}"}}}}])", other),
        0,
        R"(failed to lock key "a" due to lock delay)"
    );
}

TEST_F(TxnTest, HasLimits) {
    const auto body = [](std::size_t ops) {
        std::string out = "[";
        for (std::size_t i = 0; i < ops; ++i) {
            out += fmt::format(
                R"({}{{"KV":{{"Verb":"set","Key":"k{}","Value":"aGk="}}}})", i == 0 ? "" : ",", i
            );
        }
        return out + "]";
    };
    EXPECT_EQ(txn(body(128)).status, 200);
    EXPECT_EQ(desk_->index("/v1/kv/k0"), desk_->index("/v1/kv/k127"));
    expect(body(129), 413, "Transaction contains too many operations (129 > 128)");
    const std::string large =
        R"([{"KV":{"Verb":"set","Key":"big","Value":")" + std::string(524'288, 'A') + R"("}}])";
    expect(
        large,
        413,
        fmt::format(
            "Request body({} bytes) too large, max size: 524288 bytes. See "
            "https://www.consul.io/docs/agent/config/config-files#txn_max_req_len.",
            large.size()
        )
    );
}

TEST_F(TxnTest, ReadsNoMoreThanTheWholeStoreOnce) {
    for (int i = 0; i < 33; ++i) {
        desk_->put(fmt::format("/v1/kv/big/{}", i), std::string(500'000, 'x'));
    }
    const std::string tree = R"({"KV":{"Verb":"get-tree","Key":"big/"}})";
    EXPECT_EQ(txn("[" + tree + "," + tree + "," + tree + "," + tree + "]").status, 200);
    expect_conflict(
        "[" + tree + "," + tree + "," + tree + "," + tree + "," + tree + "]",
        4,
        "the transaction reads more than 67108864 bytes",
        true
    );
}

TEST_F(TxnTest, WakesOnceForEachKeyAndNotForWhatFailed) {
    desk_->put("/v1/kv/a", "1");
    const std::uint64_t index = desk_->index("/v1/kv/a");
    PendingAsk waiting(*server_, fmt::format("/v1/kv/a?index={}", index));
    loop_.run_for(std::chrono::milliseconds(1));
    EXPECT_EQ(
        txn(R"([{"KV":{"Verb":"set","Key":"a","Value":"Mg=="}},{"KV":{"Verb":"get","Key":"no"}}])")
            .status,
        409
    );
    loop_.run_for(std::chrono::milliseconds(1));
    EXPECT_FALSE(waiting.ended());
    EXPECT_EQ(txn(R"([{"KV":{"Verb":"set","Key":"a","Value":"Mg=="}}])").status, 200);
    loop_.run_for(std::chrono::milliseconds(1));
    ASSERT_TRUE(waiting.ended());
    EXPECT_THAT(waiting.response().body, testing::HasSubstr("Mg=="));
}

class TxnAccess : public TxnTest {
  public:
    TxnAccess() {
        config_.acl = {.enabled = true, .is_default_allow = false, .initial_management = "root"};
        start();
        const auto make = [&](const char* target, const char* body) {
            const http::Response made = desk_->ask_as("root", "PUT", target, body);
            EXPECT_EQ(made.status, 200) << made.body;
            return made.body;
        };
        make(
            "/v1/acl/policy",
            R"({"Name":"web","Rules":"service \"web\" { policy = \"write\" } key_prefix \"cfg/\" { policy = \"read\" } key_prefix \"own/\" { policy = \"write\" }"})"
        );
        const std::string token =
            make("/v1/acl/token", R"({"SecretID":"web","Policies":[{"Name":"web"}]})");
        const auto at = token.find("\"AccessorID\"");
        accessor_ = token.substr(token.find('"', at + 13) + 1, 36);
    }

    http::Response ask(std::string body) {
        return desk_->ask_as("web", "PUT", "/v1/txn", std::move(body));
    }

    std::string lacks(std::string right) const {
        return fmt::format(
            R"("What":"Permission denied: token with AccessorID '{}' lacks permission {}"}})",
            accessor_,
            right
        );
    }

    std::string accessor_;
};

TEST_F(TxnAccess, EveryOperationNeedsItsRight) {
    const http::Response denied = ask(R"([{"KV":{"Verb":"set","Key":"no","Value":"YQ=="}}])");
    EXPECT_EQ(denied.status, 409);
    EXPECT_EQ(
        denied.body,
        R"({"Results":null,"Errors":[{"OpIndex":0,)" + lacks(R"('key:write' on \"no\")") + "]}"
    );
    const std::string own = R"({"KV":{"Verb":"set","Key":"own/a","Value":"YQ=="}})";
    EXPECT_EQ(ask("[" + own + "]").status, 200);
    for (const std::string op : {
             R"({"KV":{"Verb":"set","Key":"cfg/a","Value":"YQ=="}})",
             R"({"KV":{"Verb":"lock","Key":"cfg/a","Session":"x"}})",
             R"({"KV":{"Verb":"delete","Key":"cfg/a"}})",
             R"({"KV":{"Verb":"delete-tree","Key":"own"}})",
             R"({"KV":{"Verb":"check-not-exists","Key":"other"}})",
             R"({"Node":{"Verb":"set","Node":{"Node":"ref1","Address":"127.0.0.1"}}})",
             R"({"Node":{"Verb":"delete","Node":{"Node":"ref1"}}})",
             R"({"Service":{"Verb":"set","Node":"ref1","Service":{"ID":"x","Service":"x"}}})",
             R"({"Check":{"Verb":"delete","Check":{"Node":"ref1","CheckID":"serfHealth"}}})",
         }) {
        const http::Response answer = ask("[" + own + "," + op + "]");
        EXPECT_EQ(answer.status, 409) << op;
        EXPECT_THAT(answer.body, testing::HasSubstr("\"OpIndex\":1")) << op;
        EXPECT_THAT(answer.body, testing::HasSubstr("Permission denied")) << op;
    }
    EXPECT_EQ(
        ask(R"([{"Service":{"Verb":"set","Node":"ref1","Service":{"ID":"w","Service":"web"}}}])")
            .status,
        200
    );
    EXPECT_EQ(ask(R"([{"KV":{"Verb":"delete-tree","Key":"own/"}}])").status, 200);
}

TEST_F(TxnAccess, WhatMayNotBeReadIsLeftOut) {
    for (const char* key : {"cfg/a", "secret"}) {
        desk_->ask_as("root", "PUT", std::string("/v1/kv/") + key, "v");
    }
    const http::Response answer =
        ask(R"([{"KV":{"Verb":"get","Key":"cfg/a"}},{"KV":{"Verb":"get","Key":"secret"}}])");
    EXPECT_EQ(answer.status, 200);
    EXPECT_THAT(answer.body, testing::HasSubstr("\"cfg/a\""));
    EXPECT_THAT(answer.body, testing::Not(testing::HasSubstr("\"secret\"")));
    EXPECT_THAT(answer.body, testing::HasSubstr("\"ResultsFilteredByACLs\":true"));
    EXPECT_EQ(desk_->ask("PUT", "/v1/txn", "[]").status, 200) << "the anonymous token may ask";
}

}  // namespace
}  // namespace datapunk::mesh::server
