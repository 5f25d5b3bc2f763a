#include "config/load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/load_fixture.h"

namespace datapunk::mesh::config {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kWhole = R"(
version: 1
node: {name: n1, zone: eu-1}
log: {level: warn, format: json}
admin: {port: 19001}
registry:
  kind: consul
  consul: {address: "consul.local:8501", datacenter: dc2}
workers: 4
listeners:
  - name: web
    address: 0.0.0.0
    port: 8080
    limits: {head_bytes_max: 8192}
routes:
  - {name: api, listener: web, hosts: [a.example, "*.b.example"], path_prefix: /api, service: api_service}
register:
  - name: api_service
    host: 10.0.0.5
    port: 8081
    tags: [v1]
    meta: {zone: a}
    check: {kind: tcp, interval: 5s}
defaults:
  policy:
    deadline: 5s
    retry: {attempts: 2, "on": [5xx, timeout]}
    balance: {decay: 20s}
services:
  api_service:
    policy:
      retry: {attempts: 4}
      balance: {algorithm: least_request, choices: 3}
    endpoints: ["10.0.0.1:80", "[::1]:81"]
  plain:
)";

TEST(Load, AnEmptyFileIsAllDefaults) {
    const Loaded loaded = load_text("");
    ASSERT_TRUE(loaded.config) << problems_of(loaded);
    EXPECT_EQ(*loaded.config, Config{});
}

TEST(Load, ReadsEverySection) {
    const Loaded loaded = load_text(kWhole);
    ASSERT_TRUE(loaded.config) << problems_of(loaded);
    const Config& config = *loaded.config;
    EXPECT_EQ(config.node.zone, "eu-1");
    EXPECT_EQ(config.log.level, core::Level::warn);
    EXPECT_EQ(config.log.format, core::LogFormat::json);
    EXPECT_EQ(config.admin.port, 19001);
    EXPECT_EQ(config.admin.address, "127.0.0.1");
    EXPECT_EQ(config.registry.kind, RegistryKind::consul);
    EXPECT_EQ(config.registry.consul.address, (NetworkAddress{"consul.local", 8501}));
    EXPECT_EQ(config.workers, 4U);
    ASSERT_EQ(config.listeners.size(), 1U);
    EXPECT_EQ(config.listeners[0].limits.head_bytes_max, 8192U);
    EXPECT_THAT(config.routes.at(0).hosts, ElementsAre("a.example", "*.b.example"));
    ASSERT_EQ(config.registrations.size(), 1U);
    EXPECT_EQ(config.registrations[0].meta.at("zone"), "a");
    EXPECT_EQ(config.registrations[0].check.kind, HealthCheck::Kind::tcp);
    EXPECT_THAT(
        config.services.at("api_service").endpoints,
        ElementsAre(NetworkAddress{"10.0.0.1", 80}, NetworkAddress{"::1", 81})
    );
}

TEST(Load, FixedEndpointsMayHaveMetadataAndSoSubsets) {
    const std::string before = R"(
registry: {kind: static}
listeners: [{name: web, port: 1}]
routes: [{service: shop, subset: {version: "2", zone: a}}]
services:
  shop:
    endpoints: ["10.0.0.5:80", "[::1]:81"]
)";
    const auto loaded =
        load_text(before + R"(    endpoint_metadata: {"[::1]:81": {version: "2", zone: a, x: y}})");
    ASSERT_TRUE(loaded.config) << problems_of(loaded);
    EXPECT_EQ(loaded.config->services.at("shop").endpoint_metadata.at("[::1]:81").at("x"), "y");
    EXPECT_THAT(problems_of(before), HasSubstr("none of its endpoints here is in that subset"));
    EXPECT_THAT(
        problems_of(before + R"(    endpoint_metadata: {"[::1]:81": {version: "2"}})"),
        HasSubstr("none of its endpoints here is in that subset")
    );
    EXPECT_THAT(
        problems_of(before + R"(    endpoint_metadata: {"[::1]:82": {version: "2", zone: a}})"),
        HasSubstr("is none of the service's endpoints")
    );
}

TEST(Load, ServicePolicyStandsBeforeDefaultsFieldByField) {
    const Loaded loaded = load_text(kWhole);
    ASSERT_TRUE(loaded.config) << problems_of(loaded);
    const ServicePolicy& own = loaded.config->policy_of("api_service");
    EXPECT_EQ(own.retry.attempts, 4U);
    EXPECT_EQ(own.retry.on, RetryOn::server_error | RetryOn::timeout) << "from defaults";
    EXPECT_EQ(own.deadline, Duration(5s)) << "from defaults";
    EXPECT_EQ(own.breaker, CircuitBreakerConfig{}) << "built in";
    EXPECT_EQ(own.balance, BalanceConfig(LeastRequest{3}));
    const ServicePolicy& plain = loaded.config->policy_of("plain");
    EXPECT_EQ(plain, loaded.config->defaults.policy) << "named without a value";
    EXPECT_EQ(plain.balance, BalanceConfig(PeakEwma{.decay = 20s}));
    EXPECT_EQ(loaded.config->policy_of("never-named"), loaded.config->defaults.policy);
}

TEST(Load, AServiceMaySetAFieldBackToTheBuiltInDefault) {
    const Loaded loaded = load_text(
        "defaults: {policy: {retry: {attempts: 1}}}\nservices: {a: {policy: {retry: {attempts: "
        "3}}}}"
    );
    ASSERT_TRUE(loaded.config) << problems_of(loaded);
    EXPECT_EQ(loaded.config->policy_of("a").retry.attempts, 3U);
    EXPECT_EQ(loaded.config->policy_of("b").retry.attempts, 1U);
}

TEST(Load, MergesFilesInOrder) {
    const Loaded loaded = load({
        .files =
            {{"10.yaml", "workers: 2\nlog: {level: debug}\nlisteners: [{name: a, port: 0}]\n"},
             {"20.yaml", ""},
             {"30.yaml", "workers: 3\nlog: {format: json}\nlisteners: [{name: b, port: 0}]\n"}},
        .environment = {},
        .read_secret_file = {},
    });
    ASSERT_TRUE(loaded.config) << problems_of(loaded);
    EXPECT_EQ(loaded.config->workers, 3U);
    EXPECT_EQ(loaded.config->log.level, core::Level::debug);
    EXPECT_EQ(loaded.config->log.format, core::LogFormat::json);
    ASSERT_EQ(loaded.config->listeners.size(), 2U);
    EXPECT_EQ(loaded.config->listeners[1].name, "b");
}

TEST(Load, TellsEveryProblemAtOnceWithPlaceRangeAndSuggestion) {
    const Loaded loaded = load_text(R"(verson: 1
admin:
  port: 70000
  adress: 127.0.0.1
log: {level: inof}
workers: 010
drain_timeout: 30
metrics: {enabled: yes}
defaults:
  policy:
    breaker: {slow_rate: 0}
    retry: {attempts: 11, on: [5xx, timeot]}
services:
  api: {policy: {retry: {attempts: 12}}}
listeners:
  - {name: web}
  - web
registry: {consul: {address: consul}}
)");
    EXPECT_FALSE(loaded.config);
    EXPECT_EQ(
        render_problems(loaded.problems),
        R"(14 problems in the configuration:
  mesh.yaml:1:1: verson: unknown key (did you mean "version"?)
  mesh.yaml:3:9: admin.port: 70000 is out of range: must be 0..65535
  mesh.yaml:4:3: admin.adress: unknown key (did you mean "address"?)
  mesh.yaml:5:14: log.level: "inof" is not one of debug, info, warn, error (did you mean "info"?)
  mesh.yaml:6:10: workers: "010" is not a whole number (leave out the leading zero)
  mesh.yaml:7:16: drain_timeout: "30" is not a duration (add a unit: 30s?)
  mesh.yaml:8:20: metrics.enabled: "yes" is not true or false
  mesh.yaml:11:26: defaults.policy.breaker.slow_rate: 0 is out of range: must be above 0, at most 1
  mesh.yaml:12:23: defaults.policy.retry.attempts: 11 is out of range: must be 1..10
  mesh.yaml:12:37: defaults.policy.retry.on[1]: "timeot" is not one of 5xx, connect-failure, refused-stream, timeout, reset, gateway-error, retriable-4xx (did you mean "timeout"?)
  mesh.yaml:14:36: services.api.policy.retry.attempts: 12 is out of range: must be 1..10
  mesh.yaml:16:5: listeners[0].port: is required
  mesh.yaml:17:5: listeners[1]: must be a map of settings, not a value
  mesh.yaml:18:30: registry.consul.address: "consul" is not host:port (write 10.0.0.5:8080, name:8080 or [::1]:8080)
)"
    );
}

struct Rule {
    const char* good;
    const char* bad;
    const char* problem;
};

class Rules : public ::testing::TestWithParam<Rule> {};

TEST_P(Rules, AcceptOneSideAndRefuseTheOther) {
    EXPECT_EQ(problems_of(GetParam().good), "");
    EXPECT_EQ(problems_of(GetParam().bad), std::string("  ") + GetParam().problem + "\n");
}

constexpr Rule kRules[] = {
    {"version: 1", "version: 2", "mesh.yaml:1:10: version: 2 is out of range: must be 1..1"},
    {"workers: 64", "workers: 65", "mesh.yaml:1:10: workers: 65 is out of range: must be 1..64"},
    {"workers: 1", "workers: 0", "mesh.yaml:1:10: workers: 0 is out of range: must be 1..64"},
    {"workers: 2", "workers: -2", "mesh.yaml:1:10: workers: \"-2\" is not a whole number"},
    {"workers: 2", "workers: 2.0", "mesh.yaml:1:10: workers: \"2.0\" is not a whole number"},
    {"workers: 2", "workers:", "mesh.yaml:1:1: workers: must be a whole number, not nothing"},
    {"workers: 2", "workers: [2]", "mesh.yaml:1:10: workers: must be a whole number, not a list"},
    {"drain_timeout: 0",
     "drain_timeout: -1s",
     "mesh.yaml:1:16: drain_timeout: -1s is out of range: must be 0s..1h"},
    {"drain_timeout: 1h",
     "drain_timeout: 1h1s",
     "mesh.yaml:1:16: drain_timeout: 1h1s is out of range: must be 0s..1h"},
    {"drain_timeout: 1m30s",
     "drain_timeout: 1 minute",
     "mesh.yaml:1:16: drain_timeout: \"1 minute\" is not a duration (write 250ms, 10s or 1m30s)"},
    {"metrics: {enabled: false}",
     "metrics: {enabled: False}",
     "mesh.yaml:1:20: metrics.enabled: \"False\" is not true or false"},
    {"metrics:", "metrics: on", "mesh.yaml:1:10: metrics: must be a map of settings, not a value"},
    {"node: {zone: a}",
     "node: {zone: '${env:ZONE}'}",
     "mesh.yaml:1:14: node.zone: \"${env:ZONE}\" is not read here (references like ${env:NAME} "
     "work in secret fields only)"},
    {"listeners: []", "listeners: {}", "mesh.yaml:1:12: listeners: must be a list, not a map"},
    {"services: {}", "services: []", "mesh.yaml:1:11: services: must be a map, not a list"},
    {"defaults: {policy: {breaker: {slow_rate: 1}}}",
     "defaults: {policy: {breaker: {slow_rate: 1.1}}}",
     "mesh.yaml:1:42: defaults.policy.breaker.slow_rate: 1.1 is out of range: must be above 0, "
     "at most 1"},
    {"defaults: {policy: {retry: {budget: {ratio: 0}}}}",
     "defaults: {policy: {retry: {budget: {ratio: nan}}}}",
     "mesh.yaml:1:45: defaults.policy.retry.budget.ratio: \"nan\" is not a number (write it like "
     "0.5)"},
    // between fields
    {"admin: {address: 127.0.0.2}",
     "admin: {address: 0.0.0.0}",
     "mesh.yaml:1:18: admin.address: \"0.0.0.0\" is not loopback: whoever reaches it could change "
     "traffic (set admin.token)"},
    {"admin: {address: 0.0.0.0, token: x}",
     "admin: {address: 10.0.0.1}",
     "mesh.yaml:1:18: admin.address: \"10.0.0.1\" is not loopback: whoever reaches it could change "
     "traffic (set admin.token)"},
    {"listeners: [{name: a, port: 0}, {name: b, port: 0}]",
     "listeners: [{name: a, port: 0}, {name: a, port: 0}]",
     "mesh.yaml:1:40: listeners[1].name: \"a\" is here twice"},
    {"listeners: [{name: a, port: 8080}, {name: b, port: 8081}]",
     "listeners: [{name: a, port: 8080}, {name: b, port: 8080}]",
     "mesh.yaml:1:52: listeners[1].port: port 8080 is taken by listeners[0].port"},
    {"listeners: [{name: a, port: 8080, address: 127.0.0.1}, {name: b, port: 8080, address: "
     "127.0.0.2}]",
     "listeners: [{name: a, port: 8080, address: 127.0.0.1}, {name: b, port: 8080, address: "
     "0.0.0.0}]",
     "mesh.yaml:1:72: listeners[1].port: port 8080 is taken by listeners[0].port"},
    {"{registry: {kind: consul}, listeners: [{name: a, port: 8500}]}",
     "listeners: [{name: a, port: 8500}]",
     "mesh.yaml:1:29: listeners[0].port: port 8500 is taken by registry.embedded.port"},
    {"listeners: [{name: a, port: 19001}]",
     "listeners: [{name: a, port: 19000}]",
     "mesh.yaml:1:29: listeners[0].port: port 19000 is taken by admin.port"},
    {"{listeners: [{name: web, port: 0}], routes: [{name: r, listener: web, service: a}]}",
     "{listeners: [{name: web, port: 0}], routes: [{name: r, listener: wbe, service: a}]}",
     "mesh.yaml:1:66: routes[0].listener: there is no listener \"wbe\" (did you mean \"web\"?)"},
    {"routes: [{name: r, service: a}, {name: s, path: /, service: a}]",
     "routes: [{name: r, service: a}, {name: r, path: /, service: a}]",
     "mesh.yaml:1:40: routes[1].name: \"r\" is here twice"},
    {"routes: [{name: r, service: a, path: /x}]",
     "routes: [{name: r, service: a, path: x}]",
     "mesh.yaml:1:38: routes[0].path: \"x\" must begin with / and have no query"},
    {"routes: [{service: a, path_regex: \"/x.*\"}]",
     "routes: [{service: a, path_regex: \"/x(\"}]",
     "mesh.yaml:1:35: routes[0].path_regex: is no regular expression of RE2: missing ): /x("},
    {"routes: [{service: a, headers: [{name: x, exact: \"\"}]}]",
     "routes: [{service: a, headers: [{name: x, exact: \"\", present: false}]}]",
     "mesh.yaml:1:33: routes[0].headers[0]: present: false says that there is none: then it has no "
     "value"},
    {"routes: [{service: a}, {name: b, service: a, query: [{name: q, prefix: x}]}]",
     "routes: [{service: a}, {name: b, service: a, query: []}]",
     "mesh.yaml:1:9: routes: \"routes[0]\" and \"b\" match the same requests (path \"/\")"},
    {"routes: [{name: r, service: a, path_prefix: /x}]",
     "routes: [{name: r, service: a, path: /, path_prefix: /x}]",
     "mesh.yaml:1:38: routes[0].path: not together with path_prefix: choose one"},
    {"{registry: {kind: static}, services: {a: {endpoints: [\"h:1\"]}}}",
     "{registry: {kind: static}, services: {a: {}}}",
     "mesh.yaml:1:42: services.a.endpoints: must be written here when registry.kind is static"},
    {"{registry: {kind: static}, services: {a: {endpoints: [\"h:1\"]}}, routes: [{service: a}]}",
     "{registry: {kind: static}, services: {a: {endpoints: [\"h:1\"]}}, routes: [{service: b}]}",
     "mesh.yaml:1:84: routes[0].service: services has no \"b\", which kind static needs (did you "
     "mean \"a\"?)"},
    {"register: [{name: a, host: h, port: 1}]",
     "{registry: {kind: static}, register: [{name: a, host: h, port: 1}]}",
     "mesh.yaml:1:38: register: there is no registry to announce to when registry.kind is static"},
    {"admin: {address: \"::1\"}",
     "admin: {address: localhost}",
     "mesh.yaml:1:18: admin.address: \"localhost\" is not an IP address (write 127.0.0.1)"},
    {"registry: {embedded: {address: 127.0.0.1}}",
     "registry: {embedded: {address: 127.0.0}}",
     "mesh.yaml:1:32: registry.embedded.address: \"127.0.0\" is not an IP address (0.0.0.0 "
     "listens on all)"},
    {"listeners: [{name: a, port: 0, address: 0.0.0.0}]",
     "listeners: [{name: a, port: 0, address: here}]",
     "mesh.yaml:1:41: listeners[0].address: \"here\" is not an IP address (0.0.0.0 listens on all)"
    },
    {"services: {a: {endpoints: [\"[::1]:1\"]}}",
     "services: {a: {endpoints: [\"::1:1\"]}}",
     "mesh.yaml:1:28: services.a.endpoints[0]: \"::1:1\" is not host:port (write 10.0.0.5:8080, "
     "name:8080 or [::1]:8080)"},
};

INSTANTIATE_TEST_SUITE_P(Load, Rules, ::testing::ValuesIn(kRules));

TEST(Load, TellsWhatCannotBeReadAndWhatDoesNotHangTogetherInOneMessage) {
    const std::string told = problems_of(
        "workers: many\n"
        "listeners: [{name: a, port: 1}, {name: a, port: 2}]\n"
        "routes: [{listener: b, service: x}, {listener: a}]\n"
    );
    EXPECT_THAT(told, HasSubstr("mesh.yaml:1:10: workers: "));
    EXPECT_THAT(told, HasSubstr("listeners[1].name: \"a\" is here twice"));
    EXPECT_THAT(told, HasSubstr("routes[0].listener: there is no listener \"b\""));
    EXPECT_THAT(told, HasSubstr("routes[1].service: is required"));
    EXPECT_THAT(told, Not(HasSubstr("service name"))) << "one mistake is told once: " << told;
}

TEST(Load, StatusesThatCountAsFailuresAreClassesStatusesAndRanges) {
    const Loaded loaded =
        load_text("services: {a: {policy: {failure_statuses: [5xx, 429, 400-402]}}}\n");
    ASSERT_TRUE(loaded.config) << render_problems(loaded.problems);
    const StatusSet statuses = loaded.config->policy_of("a").failure_statuses;
    for (const int status : {400, 402, 429, 500, 599}) EXPECT_TRUE(statuses.contains(status));
    for (const int status : {0, 99, 200, 399, 403, 428, 430, 499, 600}) {
        EXPECT_FALSE(statuses.contains(status)) << status;
    }
    EXPECT_TRUE(loaded.config->policy_of("b").failure_statuses.contains(503));
    EXPECT_THAT(
        problems_of("services: {a: {policy: {failure_statuses: [6xx]}}}"),
        HasSubstr("failure_statuses: \"6xx\" is not a status (write 5xx, 429 or 500-504)")
    );
}

TEST(Load, LimitsOfRatesCallersAndThrottlingAreRead) {
    const Loaded loaded = load_text(R"(
services:
  api:
    policy:
      limits:
        rate: {calls: 100, per: 1m, algorithm: sliding_window}
        callers: {header: x-tenant, requests: 8, max: 500, rate: {calls: 5, burst: 2}}
        throttle: {enabled: true, multiplier: 1.5, window: 2m, min_calls: 20, max_share: 0.8}
      forecast: {balance: true}
)");
    ASSERT_TRUE(loaded.config);
    const ServicePolicy& policy = loaded.config->services.at("api").policy;
    const LimitsConfig& limits = policy.limits;
    EXPECT_EQ(
        limits.rate,
        (RateLimitConfig{
            .calls = 100, .per = std::chrono::minutes(1), .algorithm = RateAlgorithm::sliding_window
        })
    );
    EXPECT_EQ(limits.callers.header, "x-tenant");
    EXPECT_EQ(limits.callers.requests, 8U);
    EXPECT_EQ(limits.callers.max, 500U);
    EXPECT_EQ(limits.callers.rate, (RateLimitConfig{.calls = 5, .burst = 2}));
    EXPECT_EQ(
        limits.throttle,
        (ThrottleConfig{
            .enabled = true,
            .multiplier = 1.5,
            .window = std::chrono::minutes(2),
            .min_calls = 20,
            .max_share = 0.8
        })
    );
    EXPECT_TRUE(policy.forecast.balance);
}

// Both sides of each range that a table alone does not know.
TEST(Load, LimitsAreCheckedByTheirOwnRules) {
    const auto limits = [](std::string_view text) {
        return problems_of("defaults: {policy: {limits: {" + std::string(text) + "}}}");
    };
    EXPECT_EQ(limits("rate: {per: 10ms}, callers: {max: 16, header: x-tenant}"), "");
    EXPECT_THAT(limits("rate: {per: 9ms}"), HasSubstr("rate.per"));
    EXPECT_THAT(limits("callers: {max: 15}"), HasSubstr("callers.max"));
    EXPECT_THAT(limits("callers: {header: 'x tenant'}"), HasSubstr("name of a header"));
    EXPECT_THAT(limits("throttle: {multiplier: 1}"), HasSubstr("throttle.multiplier"));
    EXPECT_THAT(limits("share_rate: true"), HasSubstr("share_rate needs limits.rate.calls"));
    EXPECT_THAT(
        limits("rate: {calls: 9, per: 999ms, algorithm: sliding_window}, share_rate: true"),
        HasSubstr("limits.rate.per")
    );
    EXPECT_THAT(
        problems_of("defaults: {policy: {forecast: {enabled: false, balance: true}}}"),
        HasSubstr("forecast.balance needs forecast.enabled")
    );
}

TEST(Load, PoliciesAndRegistrationsAreCheckedByTheirOwnRules) {
    EXPECT_EQ(problems_of("defaults: {policy: {breaker: {open_for: 1m, open_max: 1m}}}"), "");
    EXPECT_THAT(
        problems_of("\ndefaults: {policy: {breaker: {open_for: 1m, open_max: 59s}}}"),
        HasSubstr("mesh.yaml:2:20: defaults.policy: ")
    );
    EXPECT_THAT(
        problems_of("services: {a: {policy: {breaker: {min_calls: 200}}}}"),
        HasSubstr("mesh.yaml:1:24: services.a.policy: ")
    );
    EXPECT_THAT(
        problems_of("defaults: {policy: {share_breakers: true}}"),
        HasSubstr("defaults.policy.share_breakers: needs Redis (set redis.enabled)")
    );
    EXPECT_EQ(
        problems_of("defaults: {policy: {share_breakers: true}}\nredis: {enabled: true}"), ""
    );
    EXPECT_THAT(
        problems_of("defaults: {policy: {retry: {budget: {shared: true}}}}"),
        HasSubstr("defaults.policy.retry.budget.shared: needs Redis (set redis.enabled)")
    );
    EXPECT_THAT(
        problems_of("defaults: {policy: {limits: {rate: {calls: 9}, share_rate: true}}}"),
        HasSubstr("defaults.policy.limits.share_rate: needs Redis (set redis.enabled)")
    );
    EXPECT_THAT(
        problems_of("redis: {enabled: true, tls_certificate: c, tls_private_key: k}"),
        HasSubstr("redis.tls_certificate: has no effect without redis.tls (set redis.tls: true)")
    );
    EXPECT_THAT(
        problems_of("redis: {enabled: true, tls: true, tls_certificate: c}"),
        HasSubstr("redis.tls_private_key: tls_certificate and tls_private_key need each other")
    );
    EXPECT_THAT(problems_of("defaults: {policy: {hedge: {max: 0.6}}}"), HasSubstr("max"));
    EXPECT_EQ(problems_of("defaults: {policy: {hedge: {max: 0.05, delay: 20ms}}}"), "");
    EXPECT_THAT(problems_of("services: {Api: {}}"), HasSubstr("mesh.yaml:1:17: services.Api: "));
    EXPECT_EQ(problems_of("register: [{name: a, host: h, port: 1}]"), "");
    EXPECT_THAT(
        problems_of("register: [{name: A, host: h, port: 1}]"),
        HasSubstr("mesh.yaml:1:12: register[0]: ")
    );
    EXPECT_THAT(
        problems_of("register: [{name: a, host: h, port: 1}, {name: a, host: h, port: 1}]"),
        HasSubstr("register[1].id: \"a-h-1\" is here twice")
    );
    EXPECT_EQ(problems_of("register: [{name: a, host: h, port: 1, zone: z, meta: {zone: z}}]"), "");
    EXPECT_THAT(
        problems_of("register: [{name: a, host: h, port: 1, zone: z, meta: {zone: y}}]"),
        HasSubstr("zone is \"z\", but \"y\" in the metadata")
    );
    EXPECT_THAT(
        problems_of("node: {zone: a b}"), HasSubstr("mesh.yaml:1:14: node.zone: zone \"a b\"")
    );
    EXPECT_THAT(
        problems_of("services: {a: {policy: {subset: {capabilities: ['a,b']}}}}"),
        HasSubstr("services.a.policy: policy: subset: filter: capability")
    );
}

TEST(Load, AMistakeInDefaultsIsToldOnceAndNotForEveryService) {
    const std::string told =
        problems_of("defaults: {policy: {deadline: 0s}}\nservices: {a: {}, b: {}, c: }\n");
    EXPECT_EQ(
        told, "  mesh.yaml:1:31: defaults.policy.deadline: 0s is out of range: must be 1ms..1h\n"
    );
}

TEST(Load, SecretsComeFromTheFileTheEnvironmentOrAFileOfTheirOwn) {
    const auto with = [](const std::string& token) {
        return load({
            .files = {{"mesh.yaml", "admin: {token: \"" + token + "\"}"}},
            .environment = {{"TOKEN", "from-env"}},
            .read_secret_file = [](const std::string& path) -> Result<std::string> {
                if (path == "/secret") return std::string("from-file\n");
                if (path == "/empty") return std::string("\n");
                return Error{.code = Code::not_found, .what = "cannot read " + path};
            },
        });
    };
    EXPECT_EQ(with("plain").config->admin.token.reveal(), "plain");
    EXPECT_EQ(with("${env:TOKEN}").config->admin.token.reveal(), "from-env");
    EXPECT_EQ(with("${file:/secret}").config->admin.token.reveal(), "from-file");
    EXPECT_THAT(problems_of(with("${env:NONE}")), HasSubstr("variable NONE is not set"));
    EXPECT_THAT(problems_of(with("${file:/no}")), HasSubstr("cannot read /no"));
    EXPECT_THAT(problems_of(with("${file:/empty}")), HasSubstr("file /empty is empty"));
    EXPECT_THAT(problems_of(with("${vault:x}")), HasSubstr("a reference is ${env:NAME}"));
    EXPECT_THAT(problems_of(with("<redacted>")), HasSubstr("put the secret itself here"));
}

TEST(Load, ASecretIsNeverInAProblem) {
    const std::string told =
        problems_of("admin: {token: [hunter2]}\nregistry: {consul: {token: \"${hunter2\"}}\n");
    EXPECT_NE(told, "");
    EXPECT_THAT(told, Not(HasSubstr("hunter2")));
}

TEST(RenderProblems, SaysHowManyMoreThereAre) {
    const std::vector<Problem> many(
        101, {.file = "a", .line = 1, .column = 1, .path = {}, .text = "bad", .hint = {}}
    );
    EXPECT_THAT(render_problems(many), ::testing::StartsWith("101 problems in the conf"));
    EXPECT_THAT(render_problems(many), ::testing::EndsWith("  and 1 more\n"));
    EXPECT_EQ(render_problems({}), "");
}

}  // namespace
}  // namespace datapunk::mesh::config
