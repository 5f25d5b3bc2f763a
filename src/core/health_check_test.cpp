#include "core/health_check.h"

#include <gmock/gmock.h>

namespace datapunk::mesh::core {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::IsEmpty;
using Kind = HealthCheck::Kind;

HealthCheck of(Kind kind) {
    HealthCheck check;
    check.kind = kind;
    return check;
}

TEST(HealthChecks, TheDefaultsOfEveryKindThatNeedsNothingAreGood) {
    for (const Kind kind : {Kind::none, Kind::http, Kind::tcp, Kind::udp, Kind::ttl, Kind::grpc}) {
        EXPECT_THAT(problems_of(of(kind)), IsEmpty());
    }
    EXPECT_THAT(problems_of(of(Kind::exec)), HasSubstr("check.command"));
    EXPECT_THAT(problems_of(of(Kind::alias)), HasSubstr("check.alias"));
    EXPECT_THAT(problems_of(of(Kind::custom)), HasSubstr("check.custom"));
    EXPECT_THAT(problems_of(HealthCheck::calling(nullptr)), HasSubstr("check.custom"));
    EXPECT_THAT(problems_of(HealthCheck::calling([] { return CheckResult{}; })), IsEmpty());
}

TEST(HealthChecks, StatusRangesAreReadAndNothingElse) {
    EXPECT_EQ(parse_status_range("200"), std::pair(200, 200));
    EXPECT_EQ(parse_status_range("200-299"), std::pair(200, 299));
    EXPECT_EQ(parse_status_range(" 100 - 599 "), std::pair(100, 599));
    for (const char* bad :
         {"", "-", "99", "600", "300-200", "200-", "2xx", "200-299-300", "-200"}) {
        EXPECT_FALSE(parse_status_range(bad)) << bad;
    }
}

TEST(HealthChecks, ATargetIsAHostAndAPort) {
    for (const Kind kind : {Kind::http, Kind::tcp, Kind::udp, Kind::grpc}) {
        HealthCheck check = of(kind);
        for (const char* good : {"", "web:1", "10.0.0.1:65535", "[::1]:80"}) {
            check.target = good;
            EXPECT_THAT(problems_of(check), IsEmpty()) << good;
        }
        for (const char* bad :
             {"web", ":80", "web:", "web:0", "web:65536", "::1:80", "[]:80", "a b:80", "h:1/x"}) {
            check.target = bad;
            EXPECT_THAT(problems_of(check), HasSubstr("check.target must be host:port")) << bad;
        }
    }
}

TEST(HealthChecks, EveryProblemIsNamedAtOnce) {
    HealthCheck check;
    check.path = "no-slash";
    check.method = "GE T";
    check.headers = {{"Host", "x"}, {"A b", "x"}, {"X-Key", "top\r\nsecret"}};
    check.expected_status = {"200", "abc"};
    check.redirects_max = 21;
    check.bearer_token = "a\nb";
    check.tls.server_name = "x";
    check.interval = 999ms;
    check.jitter = 0.6;
    check.grace = 61min;
    check.failures_before_warning = 4;
    check.deregister_after = -1s;
    const std::string problems = problems_of(check);
    for (const char* field :
         {"check.path",
          "check.method",
          "\"Host\"",
          "\"A b\"",
          "\"X-Key\"",
          "\"abc\"",
          "check.redirects_max",
          "check.bearer_token",
          "check.tls.enabled",
          "check.interval",
          "check.jitter",
          "check.grace",
          "check.failures_before_warning",
          "check.deregister_after"}) {
        EXPECT_THAT(problems, HasSubstr(field));
    }
    EXPECT_EQ(problems.find("secret"), std::string::npos) << "values may be secrets";
}

TEST(HealthChecks, ACertificateAndItsKeyGoTogether) {
    HealthCheck check;
    check.tls.enabled = true;
    check.tls.certificate = "a.pem";
    EXPECT_THAT(problems_of(check), HasSubstr("check.tls.private_key"));
    check.tls.private_key = "a.key";
    EXPECT_THAT(problems_of(check), IsEmpty());
}

TEST(HealthChecks, WhatTheRegistryCannotRunOrMustNotKnowStaysHere) {
    HealthCheck check;
    check.headers = {{"X-A", "1"}};
    check.body = "b";
    check.method = "POST";
    check.tls = {.enabled = true, .verify = false, .server_name = "web"};
    check.follow_redirects = false;
    EXPECT_EQ(beyond_registry(check), "");
    const auto why = [&](auto change) {
        HealthCheck changed = check;
        change(changed);
        return std::string(beyond_registry(changed));
    };
    EXPECT_EQ(why([](auto& c) { c.bearer_token = "t"; }), "check.bearer_token");
    EXPECT_EQ(why([](auto& c) { c.tls.ca = "ca.pem"; }), "check.tls.ca");
    EXPECT_EQ(why([](auto& c) { c.tls.certificate = "c.pem"; }), "check.tls.certificate");
    EXPECT_EQ(why([](auto& c) { c.expected_status = {"204"}; }), "check.expected_status");
    EXPECT_EQ(why([](auto& c) { c.expected_body = "ok"; }), "check.expected_body");
    EXPECT_EQ(why([](auto& c) { c.grace = 1s; }), "check.grace");
    EXPECT_EQ(why([](auto& c) { c.redirects_max = 0; }), "") << "none are followed anyway";
    HealthCheck tcp = of(Kind::tcp);
    EXPECT_EQ(beyond_registry(tcp), "");
    tcp.send = "PING\r\n";
    EXPECT_EQ(beyond_registry(tcp), "check.send and check.expect");
    HealthCheck udp = of(Kind::udp);
    EXPECT_EQ(beyond_registry(udp), "");
    udp.expect = "pong";
    EXPECT_EQ(beyond_registry(udp), "check.send and check.expect");
    udp.expect = std::string(5000, 'x');
    EXPECT_THAT(problems_of(udp), HasSubstr("check.send and check.expect"));
    EXPECT_EQ(beyond_registry(of(Kind::grpc)), "");
    EXPECT_EQ(beyond_registry(of(Kind::alias)), "");
    EXPECT_EQ(beyond_registry(HealthCheck::calling([] { return CheckResult{}; })), "check.custom");
}

}  // namespace
}  // namespace datapunk::mesh::core
