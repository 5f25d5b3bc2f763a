// Answers of a real Consul 1.16.4 (recorded with curl), compared field for field. Indexes are
// compared where they are the same by construction, else replaced by 0.

#include <nlohmann/json.hpp>

#include "server/test_server.h"

namespace datapunk::mesh::server {
namespace {

using Json = nlohmann::json;

Json without_indexes(Json json) {
    if (json.is_object()) {
        for (const char* name : {"CreateIndex", "ModifyIndex"}) {
            if (json.contains(name)) json[name] = 0;
        }
        if (json.contains("ContentHash")) json["ContentHash"] = "";
    }
    for (auto& child : json) {
        if (child.is_structured()) child = without_indexes(child);
    }
    return json;
}

class Golden : public ServerTest {
  public:
    void expect_same(std::string target, const std::string& consul, int status = 200) {
        const http::Response response = desk_->ask("GET", target);
        EXPECT_EQ(response.status, status) << target;
        EXPECT_EQ(response.header("content-type"), "application/json");
        EXPECT_EQ(response.header("X-Consul-Default-Acl-Policy"), "allow");
        EXPECT_EQ(response.header("Vary"), "Accept-Encoding");
        const Json ours = Json::parse(response.body, nullptr, false);
        EXPECT_EQ(without_indexes(ours), without_indexes(Json::parse(consul)))
            << target << "\nours:   " << response.body << "\nconsul: " << consul;
    }

    void expect_refused(
        std::string method, std::string target, std::string body, int status, std::string text
    ) {
        const http::Response response = desk_->ask(method, target, body);
        EXPECT_EQ(response.status, status) << method << " " << target << " " << body;
        EXPECT_EQ(response.body, text) << method << " " << target << " " << body;
        EXPECT_EQ(response.header("content-type"), "text/plain; charset=utf-8");
    }

    void register_web() {
        desk_->put("/v1/agent/service/register", R"({"Name":"web"})");
        desk_->put(
            "/v1/agent/service/register",
            R"({"ID":"web-1","Name":"web","Tags":["primary","v1"],"Address":"10.0.0.1","Port":8080,"Meta":{"a":"b"},"TaggedAddresses":{"wan":{"Address":"1.2.3.4","Port":80},"lan":{"Address":"10.0.0.9","Port":8081}},"Weights":{"Passing":10,"Warning":2},"EnableTagOverride":true,"Check":{"Name":"web ttl","TTL":"10s","DeregisterCriticalServiceAfter":"90m","Notes":"n"}})"
        );
        desk_->put(
            "/v1/agent/service/register",
            R"({"ID":"web-2","Name":"web","Port":8082,"Checks":[{"TTL":"15s","Status":"passing"},{"CheckID":"mytcp","Name":"tcp","TCP":"127.0.0.1:1","Interval":"10s","Timeout":"1s"},{"HTTP":"http://127.0.0.1:8500/v1/status/leader","Interval":"5s","Method":"GET","Header":{"X-A":["1"]},"SuccessBeforePassing":2,"FailuresBeforeCritical":3}]})"
        );
    }

    void register_api() {
        desk_->put(
            "/v1/agent/service/register",
            R"({"ID":"a1","Name":"api","Port":81,"Tags":["v1"],"Check":{"TTL":"600s","Status":"passing"}})"
        );
        desk_->put(
            "/v1/agent/service/register",
            R"({"ID":"a2","Name":"api","Port":82,"Tags":["v2"],"Check":{"TTL":"600s","Status":"warning"}})"
        );
        desk_->put(
            "/v1/agent/service/register",
            R"({"ID":"a3","Name":"api","Port":83,"Tags":["v1","v2"],"Check":{"TTL":"600s"}})"
        );
    }
};

TEST_F(Golden, AgentServices) {
    register_web();
    expect_same(
        "/v1/agent/services",
        R"({"web":{"ID":"web","Service":"web","Tags":[],"Meta":{},"Port":0,"Address":"","Weights":{"Passing":1,"Warning":1},"EnableTagOverride":false,"Datacenter":"dc1"},"web-1":{"ID":"web-1","Service":"web","Tags":["primary","v1"],"Meta":{"a":"b"},"Port":8080,"Address":"10.0.0.1","TaggedAddresses":{"lan":{"Address":"10.0.0.9","Port":8081},"lan_ipv4":{"Address":"10.0.0.1","Port":8080},"wan":{"Address":"1.2.3.4","Port":80},"wan_ipv4":{"Address":"10.0.0.1","Port":8080}},"Weights":{"Passing":10,"Warning":2},"EnableTagOverride":true,"Datacenter":"dc1"},"web-2":{"ID":"web-2","Service":"web","Tags":[],"Meta":{},"Port":8082,"Address":"","Weights":{"Passing":1,"Warning":1},"EnableTagOverride":false,"Datacenter":"dc1"}})"
    );
    expect_same(
        "/v1/agent/service/web",
        R"({"ID":"web","Service":"web","Tags":[],"Meta":{},"Port":0,"Address":"","Weights":{"Passing":1,"Warning":1},"EnableTagOverride":false,"ContentHash":"f2137234e77318c","Datacenter":"dc1"})"
    );
}

TEST_F(Golden, AgentChecks) {
    register_web();
    expect_same(
        "/v1/agent/checks",
        R"({"mytcp":{"Node":"ref1","CheckID":"mytcp","Name":"tcp","Status":"critical","Notes":"","Output":"","ServiceID":"web-2","ServiceName":"web","ServiceTags":[],"Type":"tcp","Interval":"10s","Timeout":"1s","ExposedPort":0,"Definition":{},"CreateIndex":0,"ModifyIndex":0},"service:web-1":{"Node":"ref1","CheckID":"service:web-1","Name":"web ttl","Status":"critical","Notes":"n","Output":"","ServiceID":"web-1","ServiceName":"web","ServiceTags":["primary","v1"],"Type":"ttl","Interval":"","Timeout":"","ExposedPort":0,"Definition":{},"CreateIndex":0,"ModifyIndex":0},"service:web-2:1":{"Node":"ref1","CheckID":"service:web-2:1","Name":"Service 'web' check","Status":"passing","Notes":"","Output":"","ServiceID":"web-2","ServiceName":"web","ServiceTags":[],"Type":"ttl","Interval":"","Timeout":"","ExposedPort":0,"Definition":{},"CreateIndex":0,"ModifyIndex":0},"service:web-2:3":{"Node":"ref1","CheckID":"service:web-2:3","Name":"Service 'web' check","Status":"critical","Notes":"","Output":"","ServiceID":"web-2","ServiceName":"web","ServiceTags":[],"Type":"http","Interval":"5s","Timeout":"","ExposedPort":0,"Definition":{},"CreateIndex":0,"ModifyIndex":0}})"
    );
}

TEST_F(Golden, AgentHealth) {
    register_web();
    desk_->put("/v1/agent/check/update/service:web-1", R"({"Status":"passing","Output":"out"})");
    expect_same(
        "/v1/agent/health/service/id/web-1",
        R"({"AggregatedStatus":"passing","Service":{"ID":"web-1","Service":"web","Tags":["primary","v1"],"Meta":{"a":"b"},"Port":8080,"Address":"10.0.0.1","TaggedAddresses":{"lan":{"Address":"10.0.0.9","Port":8081},"lan_ipv4":{"Address":"10.0.0.1","Port":8080},"wan":{"Address":"1.2.3.4","Port":80},"wan_ipv4":{"Address":"10.0.0.1","Port":8080}},"Weights":{"Passing":10,"Warning":2},"EnableTagOverride":true,"Datacenter":"dc1"},"Checks":[{"Node":"ref1","CheckID":"service:web-1","Name":"web ttl","Status":"passing","Notes":"n","Output":"out","ServiceID":"web-1","ServiceName":"web","ServiceTags":["primary","v1"],"Type":"","ExposedPort":0,"Definition":{"Interval":"0s","Timeout":"0s","DeregisterCriticalServiceAfter":"0s","HTTP":"","Header":null,"Method":"","Body":"","TLSServerName":"","TLSSkipVerify":false,"TCP":"","TCPUseTLS":false,"UDP":"","GRPC":"","OSService":"","GRPCUseTLS":false},"CreateIndex":0,"ModifyIndex":0}]})"
    );
    EXPECT_EQ(
        desk_->ask("GET", "/v1/agent/health/service/id/web-2").header("X-Consul-Reason"), "critical"
    );
    const http::Response text = desk_->ask("GET", "/v1/agent/health/service/name/web?format=text");
    EXPECT_EQ(text.status, 503);
    EXPECT_EQ(text.body, "critical");
    EXPECT_EQ(text.header("content-type"), "text/plain");
    expect_same(
        "/v1/agent/health/service/id/nope",
        R"({"AggregatedStatus":"critical","Service":null,"Checks":null})",
        404
    );
    const http::Response none = desk_->ask("GET", "/v1/agent/health/service/name/nope");
    EXPECT_EQ(none.status, 404);
    EXPECT_EQ(none.body, "[]");
    EXPECT_EQ(none.header("X-Consul-Reason"), "ServiceName nope Not Found");
    desk_->put("/v1/agent/service/maintenance/web-1?enable=true&reason=because");
    EXPECT_EQ(
        desk_->ask("GET", "/v1/agent/health/service/id/web-1").header("X-Consul-Reason"),
        "maintenance"
    );
    desk_->put("/v1/agent/service/maintenance/web-1?enable=false");
    EXPECT_EQ(desk_->ask("GET", "/v1/agent/health/service/id/web-1").status, 200);
}

TEST_F(Golden, HealthService) {
    register_api();
    expect_same(
        "/v1/health/service/api?passing",
        R"([{"Node":{"ID":"3ad04841-5af7-3d3a-a1b9-971a56da8f32","Node":"ref1","Address":"127.0.0.1","Datacenter":"dc1","TaggedAddresses":{"lan":"127.0.0.1","lan_ipv4":"127.0.0.1","wan":"127.0.0.1","wan_ipv4":"127.0.0.1"},"Meta":{"consul-network-segment":"","consul-version":"1.16.4","rack":"r1"},"CreateIndex":13,"ModifyIndex":17},"Service":{"ID":"a1","Service":"api","Tags":["v1"],"Address":"","Meta":null,"Port":81,"Weights":{"Passing":1,"Warning":1},"EnableTagOverride":false,"Proxy":{"Mode":"","MeshGateway":{},"Expose":{}},"Connect":{},"PeerName":"","CreateIndex":45,"ModifyIndex":45},"Checks":[{"Node":"ref1","CheckID":"serfHealth","Name":"Serf Health Status","Status":"passing","Notes":"","Output":"Agent alive and reachable","ServiceID":"","ServiceName":"","ServiceTags":[],"Type":"","Interval":"","Timeout":"","ExposedPort":0,"Definition":{},"CreateIndex":13,"ModifyIndex":13},{"Node":"ref1","CheckID":"service:a1","Name":"Service 'api' check","Status":"passing","Notes":"","Output":"","ServiceID":"a1","ServiceName":"api","ServiceTags":["v1"],"Type":"ttl","Interval":"","Timeout":"","ExposedPort":0,"Definition":{},"CreateIndex":45,"ModifyIndex":45}]}])"
    );
    EXPECT_EQ(desk_->get("/v1/health/service/api?passing=1&tag=v2"), "[]");
    EXPECT_EQ(Json::parse(desk_->get("/v1/health/service/api?tag=v1&tag=v2")).size(), 1U);
    EXPECT_EQ(Json::parse(desk_->get("/v1/health/service/api?passing=false")).size(), 3U);
    EXPECT_EQ(
        Json::parse(desk_->get("/v1/health/service/api?node-meta=rack:r1&near=_agent")).size(), 3U
    );
    EXPECT_EQ(desk_->get("/v1/health/service/api?node-meta=rack:r2"), "[]");
    EXPECT_EQ(desk_->get("/v1/health/service/nope"), "[]");
    const http::Response stale = desk_->ask("GET", "/v1/health/service/api?stale");
    EXPECT_EQ(stale.header("X-Consul-Effective-Consistency"), "stale");
    EXPECT_EQ(stale.header("X-Consul-Knownleader"), "true");
    EXPECT_EQ(stale.header("X-Consul-Lastcontact"), "0");
    EXPECT_THAT(
        desk_->get("/v1/health/service/api?pretty"),
        testing::StartsWith("[\n    {\n        \"Node\": {\n            \"ID\": \"3ad04841")
    );
}

TEST_F(Golden, HealthChecks) {
    register_api();
    expect_same(
        "/v1/health/checks/api",
        R"([{"Node":"ref1","CheckID":"service:a1","Name":"Service 'api' check","Status":"passing","Notes":"","Output":"","ServiceID":"a1","ServiceName":"api","ServiceTags":["v1"],"Type":"ttl","Interval":"","Timeout":"","ExposedPort":0,"Definition":{},"CreateIndex":45,"ModifyIndex":45},{"Node":"ref1","CheckID":"service:a2","Name":"Service 'api' check","Status":"warning","Notes":"","Output":"","ServiceID":"a2","ServiceName":"api","ServiceTags":["v2"],"Type":"ttl","Interval":"","Timeout":"","ExposedPort":0,"Definition":{},"CreateIndex":46,"ModifyIndex":46},{"Node":"ref1","CheckID":"service:a3","Name":"Service 'api' check","Status":"critical","Notes":"","Output":"","ServiceID":"a3","ServiceName":"api","ServiceTags":["v1","v2"],"Type":"ttl","Interval":"","Timeout":"","ExposedPort":0,"Definition":{},"CreateIndex":47,"ModifyIndex":47}])"
    );
    EXPECT_EQ(Json::parse(desk_->get("/v1/health/node/ref1")).size(), 4U);
    EXPECT_EQ(Json::parse(desk_->get("/v1/health/state/any")).size(), 4U);
    EXPECT_EQ(Json::parse(desk_->get("/v1/health/state/critical")).size(), 1U);
    for (const char* target :
         {"/v1/health/checks/nope", "/v1/health/node/nope", "/v1/health/state/bogus"}) {
        EXPECT_EQ(desk_->get(target), "[]");
    }
}

TEST_F(Golden, CatalogReads) {
    register_api();
    EXPECT_EQ(desk_->get("/v1/catalog/datacenters"), R"(["dc1"])");
    EXPECT_EQ(desk_->ask("GET", "/v1/catalog/datacenters").header("X-Consul-Index"), "");
    expect_same(
        "/v1/catalog/nodes",
        R"([{"ID":"3ad04841-5af7-3d3a-a1b9-971a56da8f32","Node":"ref1","Address":"127.0.0.1","Datacenter":"dc1","TaggedAddresses":{"lan":"127.0.0.1","lan_ipv4":"127.0.0.1","wan":"127.0.0.1","wan_ipv4":"127.0.0.1"},"Meta":{"consul-network-segment":"","consul-version":"1.16.4","rack":"r1"},"CreateIndex":13,"ModifyIndex":17}])"
    );
    EXPECT_EQ(
        Json::parse(desk_->get("/v1/catalog/services"))["api"], Json::parse(R"(["v1","v2"])")
    );
    const Json service = Json::parse(desk_->get("/v1/catalog/service/api?tag=v1"));
    EXPECT_EQ(
        without_indexes(service[0]),
        without_indexes(Json::parse(
            R"({"ID":"3ad04841-5af7-3d3a-a1b9-971a56da8f32","Node":"ref1","Address":"127.0.0.1","Datacenter":"dc1","TaggedAddresses":{"lan":"127.0.0.1","lan_ipv4":"127.0.0.1","wan":"127.0.0.1","wan_ipv4":"127.0.0.1"},"NodeMeta":{"consul-network-segment":"","consul-version":"1.16.4","rack":"r1"},"ServiceKind":"","ServiceID":"a1","ServiceName":"api","ServiceTags":["v1"],"ServiceAddress":"","ServiceWeights":{"Passing":1,"Warning":1},"ServiceMeta":{},"ServicePort":81,"ServiceSocketPath":"","ServiceEnableTagOverride":false,"ServiceProxy":{"Mode":"","MeshGateway":{},"Expose":{}},"ServiceConnect":{},"ServiceLocality":null,"CreateIndex":45,"ModifyIndex":45})"
        ))
    );
    const http::Response absent = desk_->ask("GET", "/v1/catalog/node/nope");
    EXPECT_EQ(absent.body, "null");
    EXPECT_EQ(absent.header("X-Consul-Index"), "1");
    EXPECT_EQ(desk_->get("/v1/catalog/node-services/nope"), R"({"Node":null,"Services":null})");
    EXPECT_EQ(Json::parse(desk_->get("/v1/catalog/node/ref1"))["Services"].size(), 3U);
}

TEST_F(Golden, CatalogWrites) {
    const std::string ext =
        R"({"Node":"ext","Address":"192.0.2.5","NodeMeta":{"external-node":"true"},"Service":{"ID":"es","Service":"extsvc","Tags":["t"],"Port":99},"Check":{"Node":"ext","CheckID":"service:es","Name":"c","Status":"passing","ServiceID":"es"}})";
    EXPECT_EQ(desk_->ask("PUT", "/v1/catalog/register", ext).body, "true");
    expect_same(
        "/v1/health/service/extsvc",
        R"([{"Node":{"ID":"","Node":"ext","Address":"192.0.2.5","Datacenter":"dc1","TaggedAddresses":null,"Meta":{"external-node":"true"},"CreateIndex":48,"ModifyIndex":48},"Service":{"ID":"es","Service":"extsvc","Tags":["t"],"Address":"","Meta":null,"Port":99,"Weights":{"Passing":1,"Warning":1},"EnableTagOverride":false,"Proxy":{"Mode":"","MeshGateway":{},"Expose":{}},"Connect":{},"PeerName":"","CreateIndex":48,"ModifyIndex":48},"Checks":[{"Node":"ext","CheckID":"service:es","Name":"c","Status":"passing","Notes":"","Output":"","ServiceID":"es","ServiceName":"extsvc","ServiceTags":["t"],"Type":"","Interval":"","Timeout":"","ExposedPort":0,"Definition":{},"CreateIndex":48,"ModifyIndex":48}]}])"
    );
    for (const char* body :
         {R"({"Node":"ext","ServiceID":"es"})",
          R"({"Node":"ext","CheckID":"nosuch"})",
          R"({"Node":"ext"})",
          R"({"Node":"neverexisted"})"}) {
        EXPECT_EQ(desk_->ask("PUT", "/v1/catalog/deregister", body).body, "true");
    }
    EXPECT_EQ(desk_->get("/v1/health/service/extsvc"), "[]");
    expect_refused(
        "PUT",
        "/v1/catalog/register",
        R"({"Node":"ext3"})",
        500,
        "Must provide address if SkipNodeUpdate is not set"
    );
    expect_refused(
        "PUT", "/v1/catalog/register", R"({"Address":"1.1.1.1"})", 500, "Must provide node"
    );
    expect_refused(
        "PUT",
        "/v1/catalog/register",
        R"({"Node":"ext","Address":"192.0.2.5","Service":{"ID":"es"}})",
        500,
        "Must provide service name (Service.Service) when service ID is provided"
    );
    expect_refused(
        "PUT",
        "/v1/catalog/register",
        "xx",
        400,
        "Request decode failed: invalid character 'x' looking for beginning of value"
    );
    expect_refused("PUT", "/v1/catalog/deregister", "{}", 500, "Must provide node");
}

TEST_F(Golden, RefusesRegistrationsInConsulsWords) {
    struct Case {
        std::string target;
        std::string body;
        int status;
        std::string text;
    };
    const std::string service = "/v1/agent/service/register";
    const std::string check = "/v1/agent/check/register";
    const std::string interval =
        "Invalid check: Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService "
        "checks";
    const std::vector<Case> cases = {
        {service, R"({"ID":"x"})", 400, "Missing service name"},
        {service,
         R"({"Name":"w","Weights":{"Passing":0,"Warning":0}})",
         400,
         "Invalid Weights: Passing must be greater than 0"},
        {service,
         R"({"Name":"w","Weights":{"Passing":70000}})",
         400,
         "Invalid Weights: DNS Weight must be between 0 and 65535"},
        {service, R"({"Name":"w","Address":"0.0.0.0"})", 400, "Invalid service address"},
        {service,
         R"({"Name":"w","Meta":{"bad key!":"x"}})",
         400,
         "Invalid Service Meta: Couldn't load metadata pair ('bad key!', 'x'): Key contains "
         "invalid characters"},
        {service,
         "notjson",
         400,
         "Request decode failed: invalid character 'o' in literal null (expecting 'u')"},
        {service, "", 400, "Request decode failed: EOF"},
        {service,
         R"({"Name":"w","Port":"80"})",
         400,
         "Request decode failed: json: cannot unmarshal string into Go struct field .Alias.Port of "
         "type int"},
        {service,
         R"({"Name":"w","Unknown":1})",
         400,
         "Request decode failed: json: unknown field \"Unknown\""},
        {service, R"({"Name":"w","Check":{"HTTP":"http://x"}})", 400, interval},
        {check,
         R"({"Name":"x","ServiceID":"nosuch","TTL":"30s"})",
         404,
         "ServiceID \"nosuch\" does not exist"},
        {check, R"({"Name":"bad"})", 400, "Invalid check: TTL must be > 0 for TTL checks"},
        {check, R"({"TTL":"30s"})", 400, "Missing check name"},
        {check, R"({"Name":"bad","TTL":"30s","Status":"weird"})", 400, "Bad check status"},
        {check, R"({"Name":"bad","HTTP":"http://x"})", 400, interval},
        {check,
         R"({"Name":"bad","TTL":"5s","HTTP":"http://127.0.0.1","Interval":"5s"})",
         400,
         "Invalid check: Interval and TTL cannot both be specified"},
        {check,
         R"({"Name":"bad","TTL":"abc"})",
         400,
         "Request decode failed: time: invalid duration \"abc\""},
        {"/v1/agent/check/pass/nope",
         "",
         404,
         "Unknown check ID \"nope\". Ensure that the check ID is passed, not the check name."},
        {"/v1/agent/check/deregister/nope",
         "",
         404,
         "Unknown check ID \"nope\". Ensure that the check ID is passed, not the check name."},
        {"/v1/agent/service/deregister/nope",
         "",
         404,
         "Unknown service ID \"nope\". Ensure that the service ID is passed, not the service name."
        },
        {"/v1/agent/service/maintenance/nope?enable=true",
         "",
         404,
         "Unknown service ID \"nope\". Ensure that the service ID is passed, not the service name."
        },
        {"/v1/agent/service/maintenance/web-1", "", 400, "Missing value for enable"},
        {"/v1/agent/maintenance?enable=banana", "", 400, "Invalid value for enable: \"banana\""},
    };
    for (const Case& c : cases) expect_refused("PUT", c.target, c.body, c.status, c.text);
    register_web();
    expect_refused(
        "PUT",
        "/v1/agent/check/pass/mytcp",
        "",
        500,
        "CheckID \"mytcp\" does not have associated TTL"
    );
    expect_refused(
        "PUT",
        "/v1/agent/check/update/service:web-1",
        R"({"Status":"bogus"})",
        400,
        "Invalid check status: 'bogus'"
    );
    expect_refused(
        "PUT",
        "/v1/agent/check/update/service:web-1",
        R"({"Output":"out"})",
        400,
        "Invalid check status: ''"
    );
}

TEST_F(Golden, AcceptsWhatConsulAccepts) {
    desk_->put(
        "/v1/agent/service/register",
        R"({"name":"lower","port":1,"tags":["a"],"enable_tag_override":true,"check":{"ttl":"10s","deregister_critical_service_after":"1m"}})"
    );
    expect_same(
        "/v1/agent/service/lower",
        R"({"ID":"lower","Service":"lower","Tags":["a"],"Meta":{},"Port":1,"Address":"","Weights":{"Passing":1,"Warning":1},"EnableTagOverride":true,"ContentHash":"228f3b84a48a14ca","Datacenter":"dc1"})"
    );
    desk_->put("/v1/agent/service/register", R"({"Name":"bad name!"})");
    desk_->put("/v1/agent/check/register", R"({"Name":"ns","TTL":30000000000})");
    desk_->put(
        "/v1/agent/service/register?replace-existing-checks=true",
        R"({"ID":"lower","Name":"lower"})"
    );
    EXPECT_EQ(Json::parse(desk_->get("/v1/agent/checks")).size(), 1U);
}

TEST_F(Golden, RefusesQueriesInConsulsWords) {
    const std::vector<std::tuple<std::string, int, std::string>> cases = {
        {"/v1/nosuch", 404, "Invalid URL path: not a recognized HTTP API endpoint"},
        {"/v1/health/service/", 400, "Missing service name"},
        {"/v1/health/state/", 400, "Missing check state"},
        {"/v1/catalog/node/", 400, "Missing node name"},
        {"/v1/health/service/api?dc=dc9", 500, "No path to datacenter"},
        {"/v1/health/service/api?passing=banana", 400, "Invalid value for ?passing"},
        {"/v1/health/service/api?stale&consistent",
         400,
         "Cannot specify ?stale with ?consistent, conflicting semantics."},
        {"/v1/health/service/api?index=abc", 400, "Invalid index"},
        {"/v1/health/service/api?index=-1", 400, "Invalid index"},
        {"/v1/health/service/api?wait=abc&index=1", 400, "Invalid wait time"},
        {"/v1/health/service/api?wait=10", 400, "Invalid wait time"},
        {"/v1/agent/service/nope", 404, "unknown service ID: nope"},
        {"/v1/kv/", 400, "Missing key name"},
    };
    for (const auto& [target, status, text] : cases) {
        expect_refused("GET", target, "", status, text);
    }
    const http::Response wrong = desk_->ask("POST", "/v1/status/leader");
    EXPECT_EQ(wrong.status, 405);
    EXPECT_EQ(wrong.header("Allow"), "OPTIONS,GET");
    EXPECT_EQ(wrong.body, "method POST not allowed");
    const http::Response options = desk_->ask("OPTIONS", "/v1/kv/x");
    EXPECT_EQ(options.status, 200);
    EXPECT_EQ(options.header("Allow"), "OPTIONS,GET,PUT,DELETE");
    const http::Response moved = desk_->ask("PUT", "/v1/kv//lead", "x");
    EXPECT_EQ(moved.status, 301);
    EXPECT_EQ(moved.header("Location"), "/v1/kv/lead");
}

TEST_F(Golden, Kv) {
    const http::Response none = desk_->ask("GET", "/v1/kv/none");
    EXPECT_EQ(none.status, 404);
    EXPECT_EQ(none.body, "");
    EXPECT_NE(none.header("X-Consul-Index"), "");
    EXPECT_EQ(desk_->get("/v1/kv/?keys"), "[]");
    EXPECT_EQ(desk_->ask("PUT", "/v1/kv/a", "hello").body, "true");
    expect_same(
        "/v1/kv/a",
        R"([{"LockIndex":0,"Key":"a","Flags":0,"Value":"aGVsbG8=","CreateIndex":60,"ModifyIndex":60}])"
    );
    const http::Response raw = desk_->ask("GET", "/v1/kv/a?raw");
    EXPECT_EQ(raw.body, "hello");
    EXPECT_EQ(raw.header("content-type"), "text/plain");
    EXPECT_EQ(raw.header("Content-Security-Policy"), "sandbox");
    EXPECT_EQ(desk_->ask("PUT", "/v1/kv/a?flags=42", "v2").body, "true");
    expect_same(
        "/v1/kv/a",
        R"([{"LockIndex":0,"Key":"a","Flags":42,"Value":"djI=","CreateIndex":60,"ModifyIndex":61}])"
    );
    EXPECT_EQ(desk_->ask("PUT", "/v1/kv/a?cas=0", "x").body, "false");
    EXPECT_EQ(desk_->ask("PUT", "/v1/kv/newcas?cas=0", "x").body, "true");
    EXPECT_EQ(desk_->ask("DELETE", "/v1/kv/newcas?cas=1").body, "false");
    EXPECT_EQ(desk_->ask("PUT", "/v1/kv/sp%20ace%2Fslash", "x").body, "true");
    EXPECT_EQ(desk_->get("/v1/kv/?keys"), R"(["a","newcas","sp ace/slash"])");
    for (const char* key : {"d/1", "d/2/x", "d/2/y", "d/"}) {
        desk_->put("/v1/kv/" + std::string(key));
    }
    EXPECT_EQ(desk_->get("/v1/kv/d/?keys&separator=/"), R"(["d/","d/1","d/2/"])");
    EXPECT_EQ(Json::parse(desk_->get("/v1/kv/d?recurse")).size(), 4U);
    EXPECT_THAT(desk_->get("/v1/kv/d/1"), testing::HasSubstr(R"("Value":null)"));
    expect_refused(
        "PUT", "/v1/kv/a?flags=-1", "v", 500, "strconv.ParseUint: parsing \"-1\": invalid syntax"
    );
    expect_refused("PUT", "/v1/kv/", "v", 400, "Missing key name");
    expect_refused(
        "DELETE", "/v1/kv/d?recurse&cas=1", "", 400, "Conflicting flags: cas=1&recurse="
    );
    EXPECT_EQ(desk_->ask("PUT", "/v1/kv/a?acquire=x", "v").status, 500);
    EXPECT_EQ(desk_->ask("PUT", "/v1/kv/big", std::string(524'288, 'x')).status, 200);
    const http::Response big = desk_->ask("PUT", "/v1/kv/big", std::string(524'289, 'x'));
    EXPECT_EQ(big.status, 413);
    EXPECT_EQ(desk_->ask("DELETE", "/v1/kv/d/2?recurse").body, "true");
    EXPECT_EQ(desk_->ask("GET", "/v1/kv/d/2?recurse").status, 404);
    EXPECT_EQ(desk_->ask("DELETE", "/v1/kv/none").body, "true");
}

TEST_F(Golden, Filters) {
    register_web();
    const auto keys = [&](const std::string& target) {
        std::vector<std::string> out;
        const Json answer = Json::parse(desk_->get(target));
        for (const auto& [key, value] : answer.items()) out.push_back(key);
        return out;
    };
    using Keys = std::vector<std::string>;
    EXPECT_EQ(keys("/v1/agent/services?filter=Service+==+web"), (Keys{"web", "web-1", "web-2"}));
    EXPECT_EQ(keys("/v1/agent/services?filter=primary+in+Tags"), Keys{"web-1"});
    desk_->put("/v1/agent/service/maintenance/web-1?enable=true&reason=because");
    expect_same(
        "/v1/agent/checks?filter=CheckID+matches+%22maint%22",
        R"({"_service_maintenance:web-1":{"Node":"ref1","CheckID":"_service_maintenance:web-1","Name":"Service Maintenance Mode","Status":"critical","Notes":"because","Output":"","ServiceID":"web-1","ServiceName":"web","ServiceTags":["primary","v1"],"Type":"maintenance","Interval":"","Timeout":"","ExposedPort":0,"Definition":{},"CreateIndex":0,"ModifyIndex":0}})"
    );
    desk_->put(
        "/v1/agent/service/register?replace-existing-checks=true",
        R"({"ID":"web-2","Name":"web","Port":8083})"
    );
    EXPECT_EQ(desk_->get("/v1/agent/checks?filter=ServiceID+==+%22web-2%22"), "{}");

    register_api();
    const auto count = [&](const std::string& target) {
        return Json::parse(desk_->get(target)).size();
    };
    EXPECT_EQ(count("/v1/health/service/api?filter=Service.Port+==+82"), 1U);
    EXPECT_EQ(
        count("/v1/health/service/api?filter=%22v2%22+in+Service.Tags+and+not+(Service.Port+==+82)"
        ),
        1U
    );
    EXPECT_EQ(count("/v1/health/service/api?filter=Checks+is+not+empty"), 3U);
    EXPECT_EQ(count("/v1/health/service/api"), 3U) << "a filter's answer is not another's";
    EXPECT_EQ(count("/v1/catalog/service/api?filter=ServicePort+!=+82"), 2U);
    EXPECT_EQ(count("/v1/catalog/nodes?filter=Meta.rack+==+r1"), 1U);
    EXPECT_EQ(count("/v1/catalog/nodes?filter=Meta.rack+==+r2"), 0U);
    EXPECT_EQ(count("/v1/health/checks/api?filter=Status+==+critical"), 1U);
    EXPECT_EQ(count("/v1/health/state/any?filter=CheckID+==+serfHealth"), 1U);
    EXPECT_EQ(count("/v1/health/node/ref1?filter=ServiceName+==+api"), 3U);
    EXPECT_EQ(count("/v1/health/state/any?node-meta=rack:r2"), 0U);
    EXPECT_EQ(
        Json::parse(desk_->get("/v1/catalog/node/ref1?filter=Service+==+api"))["Services"].size(),
        3U
    );
    EXPECT_EQ(
        Json::parse(desk_->get("/v1/catalog/node-services/ref1?filter=Port+==+81"))["Services"]
            .size(),
        1U
    );
    EXPECT_EQ(desk_->get("/v1/catalog/services?filter=ServicePort+==+81"), R"({"api":["v1"]})");
    const std::string cannot = "Failed to create boolean expression evaluator: ";
    expect_refused(
        "GET",
        "/v1/agent/services?filter=Service+===+web",
        "",
        500,
        cannot +
            R"(1:11 (10): no match found, expected: "-", "0", "\"", "`", [ \t\r\n], [1-9] or [a-zA-Z])"
    );
    expect_refused(
        "GET",
        "/v1/agent/services?filter=Nope+==+web",
        "",
        500,
        cannot + "Selector \"Nope\" is not valid"
    );
    const http::Response bogus = desk_->ask("GET", "/v1/health/service/api?filter=Bogus+==+1");
    EXPECT_EQ(bogus.status, 500);
    EXPECT_EQ(bogus.body, cannot + "Selector \"Bogus\" is not valid");
    EXPECT_EQ(bogus.header("X-Consul-Index"), "");
}

TEST_F(Golden, CachedAnswersSayHowOldTheyAre) {
    register_api();
    const http::Response cached = desk_->ask("GET", "/v1/catalog/service/api?cached");
    EXPECT_EQ(cached.header("X-Cache"), "HIT");
    EXPECT_EQ(cached.header("Age"), "0");
    EXPECT_EQ(desk_->ask("GET", "/v1/catalog/service/api").header("X-Cache"), "");
    EXPECT_EQ(
        desk_->ask("GET", "/v1/health/service/api?cached&stale")
            .header("X-Consul-Effective-Consistency"),
        "stale"
    );
    expect_refused(
        "GET",
        "/v1/health/service/api?cached&consistent",
        "",
        400,
        "Cannot specify ?cached with ?consistent, conflicting semantics."
    );
    expect_refused(
        "GET", "/v1/catalog/nodes?max_stale=1", "", 400, "Invalid max_stale value \"1\""
    );
    expect_refused("GET", "/v1/catalog/nodes?datacenter=dc9", "", 500, "No path to datacenter");
}

TEST_F(Golden, Status) {
    EXPECT_EQ(desk_->get("/v1/status/leader"), R"("127.0.0.1:8300")");
    EXPECT_EQ(desk_->get("/v1/status/peers"), R"(["127.0.0.1:8300"])");
    EXPECT_EQ(Json::parse(desk_->get("/v1/agent/self"))["Config"]["NodeName"], "ref1");
    EXPECT_EQ(Json::parse(desk_->get("/v1/agent/members"))[0]["Status"], 1);
}

}  // namespace
}  // namespace datapunk::mesh::server
