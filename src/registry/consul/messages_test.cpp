#include "registry/consul/messages.h"

#include <gmock/gmock.h>

#include "registry/consul/consul_config.h"

namespace datapunk::mesh::registry::consul {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// From a Consul 1.16.4, shortened: a passing node, three instances without addresses of their own.
constexpr std::string_view kHealth = R"([
 {"Node":{"ID":"3ad04841","Node":"ref1","Address":"127.0.0.1","Datacenter":"dc1","Meta":{"rack":"r1"},"CreateIndex":13,"ModifyIndex":17},
  "Service":{"ID":"a2","Service":"api","Tags":["v2"],"Address":"","Meta":null,"Port":82,"Weights":{"Passing":10,"Warning":3},"EnableTagOverride":false,"Proxy":{"Mode":"","MeshGateway":{},"Expose":{}},"Connect":{},"PeerName":"","CreateIndex":46,"ModifyIndex":46},
  "Checks":[{"Node":"ref1","CheckID":"serfHealth","Name":"Serf Health Status","Status":"passing","Notes":"","Output":"Agent alive and reachable","ServiceID":"","ServiceName":"","ServiceTags":[],"Type":"","Definition":{},"CreateIndex":13,"ModifyIndex":13},
            {"Node":"ref1","CheckID":"service:a2","Status":"warning","ServiceID":"a2","ServiceName":"api","ServiceTags":["v2"],"Type":"ttl"}]},
 {"Node":{"Node":"ref1","Address":"127.0.0.1"},
  "Service":{"ID":"a1","Service":"api","Tags":["v1"],"Address":"10.0.0.9","Meta":{"zone":"a"},"Port":81,"Weights":{"Passing":10,"Warning":3}},
  "Checks":[{"Node":"ref1","CheckID":"serfHealth","Status":"passing"},{"Node":"ref1","CheckID":"service:a1","Status":"passing"}]},
 {"Node":{"Node":"ref1","Address":"127.0.0.1"},
  "Service":{"ID":"a3","Service":"api","Tags":null,"Address":"","Meta":null,"Port":83,"Weights":{"Passing":1,"Warning":1}},
  "Checks":[{"Node":"ref1","CheckID":"serfHealth","Status":"passing"},{"Node":"ref1","CheckID":"service:a3","Status":"critical"}]}
])";

TEST(ConsulMessages, ReadsARecordedHealthAnswer) {
    const auto endpoints = parse_health(kHealth);
    ASSERT_TRUE(endpoints) << endpoints.error().what;
    ASSERT_EQ(endpoints->size(), 3U);
    const ServiceEndpoint& a1 = (*endpoints)[0];
    EXPECT_EQ(a1.id, "a1");
    EXPECT_EQ(a1.service, "api");
    EXPECT_EQ(a1.address(), "10.0.0.9:81");
    EXPECT_EQ(a1.node, "ref1");
    EXPECT_EQ(a1.weight, 10U);
    EXPECT_EQ(a1.health, Health::passing);
    EXPECT_THAT(a1.tags, ElementsAre("v1"));
    EXPECT_THAT(a1.metadata, ElementsAre(testing::Pair("zone", "a")));  // not our own marker
    const ServiceEndpoint& a2 = (*endpoints)[1];
    EXPECT_EQ(a2.address(), "127.0.0.1:82");  // the node's
    EXPECT_EQ(a2.health, Health::warning);
    EXPECT_EQ(a2.weight, 3U);  // the warning one
    EXPECT_THAT(a2.metadata, IsEmpty());
    EXPECT_EQ((*endpoints)[2].health, Health::critical);
}

std::string instance(std::string_view node, std::string_view service, std::string_view checks) {
    return std::string(R"({"Node":)") + std::string(node) + R"(,"Service":)" +
           std::string(service) + R"(,"Checks":)" + std::string(checks) + "}";
}

TEST(ConsulMessages, ACriticalNodeMakesItsEndpointsCritical) {
    const auto endpoints = parse_health(
        "[" +
        instance(
            R"({"Node":"n","Address":"::1"})",
            R"({"ID":"a","Service":"api","Port":1})",
            R"([{"CheckID":"serfHealth","Status":"critical"},{"CheckID":"service:a","Status":"passing"}])"
        ) +
        "]"
    );
    ASSERT_TRUE(endpoints);
    EXPECT_EQ(endpoints->at(0).health, Health::critical);
    EXPECT_EQ(endpoints->at(0).address(), "[::1]:1");
}

TEST(ConsulMessages, AStatusThatNobodyKnowsIsNotTrusted) {
    const auto endpoints = parse_health(
        "[" +
        instance(
            R"({"Node":"n","Address":"a"})",
            R"({"ID":"a","Service":"api","Port":1})",
            R"([{"Status":"excellent"}])"
        ) +
        "]"
    );
    ASSERT_TRUE(endpoints);
    EXPECT_EQ(endpoints->at(0).health, Health::critical);
}

TEST(ConsulMessages, LeavesOutWhatCannotBeCalled) {
    const std::string node = R"({"Node":"n","Address":"a"})";
    const std::string body =
        "[" + instance(node, R"({"ID":"no-port","Service":"s","Port":0})", "[]") + "," +
        instance(node, R"({"ID":"big-port","Service":"s","Port":65536})", "[]") + "," +
        instance(
            R"({"Node":"n","Address":""})", R"({"ID":"no-host","Service":"s","Port":1})", "[]"
        ) +
        "," + instance(node, R"({"ID":"ok","Service":"s","Port":65535})", "null") + "]";
    const auto endpoints = parse_health(body);
    ASSERT_TRUE(endpoints);
    ASSERT_EQ(endpoints->size(), 1U);
    EXPECT_EQ(endpoints->at(0).id, "ok");
}

TEST(ConsulMessages, IdsThatTwoNodesUseAreToldApart) {
    const std::string service = R"({"ID":"web","Service":"web","Port":1})";
    const std::string other = R"({"ID":"web2","Service":"web","Port":1})";
    const std::string body = "[" + instance(R"({"Node":"n2","Address":"b"})", service, "[]") + "," +
                             instance(R"({"Node":"n1","Address":"a"})", service, "[]") + "," +
                             instance(R"({"Node":"n1","Address":"a"})", other, "[]") + "]";
    const auto endpoints = parse_health(body);
    ASSERT_TRUE(endpoints);
    ASSERT_EQ(endpoints->size(), 3U);
    EXPECT_EQ(endpoints->at(0).id, "web2");
    EXPECT_EQ(endpoints->at(1).id, "web@n1");
    EXPECT_EQ(endpoints->at(2).id, "web@n2");
}

TEST(ConsulMessages, WeightsOutOfRangeAreBroughtIntoIt) {
    for (const auto& [given, expected] : {std::pair{"0", 1U}, {"-5", 1U}, {"99999999", 65535U}}) {
        const auto endpoints = parse_health(
            "[" +
            instance(
                R"({"Node":"n","Address":"a"})",
                std::string(R"({"ID":"a","Service":"s","Port":1,"Weights":{"Passing":)") + given +
                    "}}",
                "[]"
            ) +
            "]"
        );
        ASSERT_TRUE(endpoints);
        EXPECT_EQ(endpoints->at(0).weight, expected);
    }
}

TEST(ConsulMessages, MalformedAnswersAreErrorsThatShowHowTheyBegin) {
    for (const std::string_view body :
         {"",
          "null",
          "{}",
          "[{}]",
          "[1]",
          "[{\"Service\":null}]",
          "[{\"Node\":{}}]",
          "<html>\nBad gateway",
          "[{\"Service\":{\"ID\":\"a\"",
          "\xff\xfe"}) {
        const auto endpoints = parse_health(body);
        ASSERT_FALSE(endpoints) << body;
        EXPECT_EQ(endpoints.error().source, Source::registry);
        EXPECT_TRUE(endpoints.error().retryable);
        EXPECT_EQ(endpoints.error().what.find('\n'), std::string::npos);
    }
    EXPECT_THAT(parse_health("<html>\nBad gateway").error().what, HasSubstr("<html> Bad gateway"));
    const std::string long_body = "<" + std::string(10'000, 'x');
    EXPECT_LT(parse_health(long_body).error().what.size(), 300U);
}

TEST(ConsulMessages, ReadsServicesSorted) {
    const auto services = parse_services(R"({"consul":[],"api":["v2","v1","v2"],"odd":null})");
    ASSERT_TRUE(services);
    ASSERT_EQ(services->size(), 3U);
    EXPECT_EQ(services->at(0).name, "api");
    EXPECT_THAT(services->at(0).tags, ElementsAre("v1", "v2"));
    EXPECT_EQ(services->at(1).name, "consul");
    EXPECT_THAT(services->at(1).tags, IsEmpty());
    EXPECT_EQ(services->at(2).name, "odd");
    EXPECT_FALSE(parse_services("[]"));
}

http::Response with_index(std::string value) {
    return {.headers = {{"X-Consul-Index", std::move(value)}}};
}

TEST(ConsulMessages, AnIndexIsAtLeastOne) {
    EXPECT_EQ(*parse_index(with_index("0")), 1U);
    EXPECT_EQ(*parse_index(with_index("1")), 1U);
    EXPECT_EQ(*parse_index(with_index("18446744073709551615")), ~std::uint64_t{0});
    EXPECT_FALSE(parse_index(with_index("-1")));
    EXPECT_FALSE(parse_index(with_index("18446744073709551616")));
    EXPECT_FALSE(parse_index(with_index("")));
    EXPECT_FALSE(parse_index(http::Response{}));
}

TEST(ConsulMessages, RefusalsSayWhoseFaultTheyAreAndWhetherToTryAgain) {
    struct Case {
        int status;
        std::string_view body;
        Code code;
        bool retryable;
    };
    const Case cases[] = {
        {403, "token does not exist: ACL not found", Code::denied, false},
        {403, "Permission denied: anonymous token lacks permission", Code::denied, false},
        {500, "Permission denied", Code::denied, false},
        {500, "rpc error making call: ACL not found", Code::denied, false},
        {404, "Unknown service ID \"nope\".", Code::not_found, false},
        {500, "CheckID \"x\" does not have associated TTL", Code::not_found, false},
        {500, "No cluster leader", Code::unavailable, true},
        {503, "", Code::unavailable, true},
        {429, "Your IP is issuing too many concurrent connections", Code::unavailable, true},
        {400, "Missing service name", Code::invalid, false},
        {413, "", Code::invalid, false},
        {301, "", Code::invalid, false},
    };
    for (const Case& one : cases) {
        const Error error = refusal({.status = one.status, .body = std::string(one.body)});
        EXPECT_EQ(error.code, one.code) << one.body;
        EXPECT_EQ(error.retryable, one.retryable) << one.body;
        EXPECT_EQ(error.source, Source::registry);
        EXPECT_THAT(error.what, HasSubstr(std::to_string(one.status)));
    }
    EXPECT_LT(refusal({.status = 500, .body = std::string(9'999, 'x')}).what.size(), 300U);
}

ServiceConfig web() {
    ServiceConfig config{.name = "web", .id = "web-1", .host = "10.0.0.1", .port = 8080};
    config.weight = 7;
    config.tags = {"v1"};
    config.meta = {{"zone", "a"}};
    return config;
}

TEST(ConsulMessages, RegistersTheServiceAndItsCheckInOne) {
    EXPECT_EQ(
        registration_body(web()),
        R"({"ID":"web-1","Name":"web","Address":"10.0.0.1","Port":8080,"Tags":["v1"],)"
        R"("Meta":{"zone":"a"},"Weights":{"Passing":7,"Warning":7},)"
        R"("Check":{"CheckID":"service:web-1","HTTP":"http://10.0.0.1:8080/health","Method":"GET",)"
        R"("Interval":"10s","Timeout":"5s","SuccessBeforePassing":2,"FailuresBeforeCritical":3,)"
        R"("DeregisterCriticalServiceAfter":"1m0s"}})"
    );
}

TEST(ConsulMessages, EveryKindOfCheckIsSaidInConsulsWords) {
    ServiceConfig config = web();
    config.check = {.kind = HealthCheck::Kind::ttl, .ttl = 90s, .deregister_after = 0s};
    EXPECT_THAT(
        registration_body(config),
        HasSubstr(R"("Meta":{"zone":"a"},"Weights":{"Passing":7,"Warning":7},)"
                  R"("Check":{"CheckID":"service:web-1","TTL":"1m30s"}})")
    );
    config.check = {.kind = HealthCheck::Kind::tcp, .interval = 1500ms};
    config.host = "::1";
    EXPECT_THAT(registration_body(config), HasSubstr(R"("TCP":"[::1]:8080","Interval":"1.5s")"));
    config.check.target = "10.0.0.7:1";
    EXPECT_THAT(registration_body(config), HasSubstr(R"("TCP":"10.0.0.7:1")"));
    config.check.kind = HealthCheck::Kind::none;
    EXPECT_EQ(registration_body(config).find("Check"), std::string::npos);
}

TEST(ConsulMessages, AnHttpCheckSaysAllThatConsulKnows) {
    ServiceConfig config = web();
    config.check = {.path = "/up?x=1", .method = "POST", .failures_before_warning = 1};
    config.check.headers = {{"X-A", "1"}};
    config.check.host = "web.example";
    config.check.body = "ping";
    config.check.follow_redirects = false;
    config.check.tls = {.enabled = true, .verify = false, .server_name = "web"};
    config.check.initial = Health::passing;
    EXPECT_THAT(
        registration_body(config),
        HasSubstr(R"("Check":{"CheckID":"service:web-1","HTTP":"https://10.0.0.1:8080/up?x=1",)"
                  R"("Method":"POST","Header":{"Host":["web.example"],"X-A":["1"]},"Body":"ping",)"
                  R"("DisableRedirects":true,"TLSSkipVerify":true,"TLSServerName":"web",)"
                  R"("Interval":"10s","Timeout":"5s","SuccessBeforePassing":2,)"
                  R"("FailuresBeforeWarning":1,"FailuresBeforeCritical":3,"Status":"passing",)")
    );
}

TEST(ConsulMessages, GrpcExecUdpAndAliasChecksAreConsulsOwn) {
    ServiceConfig config = web();
    config.check = {.kind = HealthCheck::Kind::udp};
    EXPECT_THAT(registration_body(config), HasSubstr(R"("UDP":"10.0.0.1:8080","Interval")"));
    config.check = {.kind = HealthCheck::Kind::grpc, .grpc_service = "shop.Cart"};
    config.check.tls.enabled = true;
    EXPECT_THAT(
        registration_body(config),
        HasSubstr(R"("GRPC":"10.0.0.1:8080/shop.Cart","GRPCUseTLS":true,"Interval")")
    );
    config.check = {.kind = HealthCheck::Kind::grpc};
    EXPECT_THAT(registration_body(config), HasSubstr(R"("GRPC":"10.0.0.1:8080","Interval")"));
    config.check = {.kind = HealthCheck::Kind::exec, .command = {"/bin/up", "a b"}};
    EXPECT_THAT(registration_body(config), HasSubstr(R"("Args":["/bin/up","a b"],"Interval")"));
    config.check = {.kind = HealthCheck::Kind::alias, .deregister_after = 0s, .alias = "db-1"};
    EXPECT_THAT(
        registration_body(config),
        HasSubstr(R"("Check":{"CheckID":"service:web-1","AliasService":"db-1"}})")
    );
}

TEST(ConsulConfig, TheEnvironmentSaysWhereTheAgentIs) {
    const ConsulConfig base{.host = "base", .port = 1, .token = "t"};
    const auto with = [&](Environment environment) { return with_environment(base, environment); };
    EXPECT_EQ(*with({}), base);
    EXPECT_EQ(*with({{"CONSUL_HTTP_ADDR", ""}, {"CONSUL_HTTP_TOKEN", ""}}), base);
    EXPECT_EQ(with({{"CONSUL_HTTP_ADDR", "h"}})->host, "h");
    EXPECT_EQ(with({{"CONSUL_HTTP_ADDR", "h"}})->port, 1);
    EXPECT_EQ(with({{"CONSUL_HTTP_ADDR", "h:8501"}})->port, 8501);
    EXPECT_EQ(with({{"CONSUL_HTTP_ADDR", "http://[::1]:80/"}})->host, "::1");
    EXPECT_TRUE(with({{"CONSUL_HTTP_ADDR", "https://h:8501"}})->https);
    EXPECT_TRUE(with({{"CONSUL_HTTP_SSL", "true"}})->https);
    EXPECT_EQ(with({{"CONSUL_HTTP_TOKEN", "secret"}})->token, "secret");
    EXPECT_EQ(with({{"CONSUL_HTTP_TOKEN_FILE", "/t"}})->token_file, "/t");
    EXPECT_FALSE(with({{"CONSUL_HTTP_SSL_VERIFY", "false"}})->verify);
    EXPECT_EQ(with({{"CONSUL_CAPATH", "/ca"}})->ca, "/ca");
    EXPECT_EQ(with({{"CONSUL_CAPATH", "/ca"}, {"CONSUL_CACERT", "/ca.pem"}})->ca, "/ca.pem");
    EXPECT_EQ(with({{"CONSUL_CLIENT_CERT", "/c"}})->certificate, "/c");
    EXPECT_EQ(with({{"CONSUL_CLIENT_KEY", "/k"}})->private_key, "/k");
    EXPECT_EQ(with({{"CONSUL_TLS_SERVER_NAME", "n"}})->server_name, "n");
    EXPECT_EQ(with({{"CONSUL_HTTP_AUTH", "me:a:b"}})->user, "me");
    EXPECT_EQ(with({{"CONSUL_HTTP_AUTH", "me:a:b"}})->password, "a:b");
    EXPECT_EQ(*with({{"CONSUL_NAMESPACE", "x"}, {"CONSUL_PARTITION", "y"}}), base);
    EXPECT_THAT(with({{"CONSUL_HTTP_ADDR", "unix:///x"}}).error().what, HasSubstr("unix:///x"));
    EXPECT_FALSE(with({{"CONSUL_HTTP_ADDR", "h:99999"}}));
    EXPECT_FALSE(with({{"CONSUL_HTTP_SSL", "maybe"}}));
}

TEST(ConsulConfig, WhatCannotWorkIsRefusedAllAtOnce) {
    EXPECT_TRUE(check(ConsulConfig{}));
    ConsulConfig bad{.host = "", .port = 0, .ca = "x", .certificate = "y", .token = "a\r\nb"};
    bad.registration = ConsulRegistration::catalog;
    const auto verdict = check(bad);
    ASSERT_FALSE(verdict);
    EXPECT_THAT(verdict.error().what, HasSubstr("host"));
    EXPECT_THAT(verdict.error().what, HasSubstr("port"));
    EXPECT_THAT(verdict.error().what, HasSubstr("certificate and private_key go together"));
    EXPECT_THAT(verdict.error().what, HasSubstr("ca and certificate need https"));
    EXPECT_THAT(verdict.error().what, HasSubstr("needs node and node_address"));
    EXPECT_THAT(verdict.error().what, HasSubstr("token"));
}

}  // namespace
}  // namespace datapunk::mesh::registry::consul
