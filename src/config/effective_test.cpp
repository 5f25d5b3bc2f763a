#include "config/effective.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/json_text.h"
#include "config/load_fixture.h"

namespace datapunk::mesh::config {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kText = R"(
node: {name: "a \"b\" # c"}
admin: {address: 0.0.0.0, token: "hunter2"}
listeners:
  - {name: web, port: 8080}
  - {name: "with: colon", port: 8081, limits: {body_bytes_max: 0}}
routes:
  - {name: api, hosts: [a.example, "*.b.example"], service: api_service}
  - {service: api_service, headers: [{name: x, exact: ""}], query: [{name: "null", prefix: "null"}], timeout: 3s}
register:
  - {name: api_service, host: 10.0.0.5, port: 8081, meta: {Zone-1: "x", "y": "true"}}
defaults:
  policy: {retry: {attempts: 2}, balance: {algorithm: round_robin}, breaker: {failure_rate: 0.25}}
services:
  api_service: {policy: {retry: {attempts: 4, "on": []}}, endpoints: ["[::1]:81"]}
)";

TEST(Effective, YamlReadsBackToTheSameConfig) {
    const Loaded loaded = load_text(kText, {{"MESH_WORKERS", "3"}});
    ASSERT_TRUE(loaded.config) << problems_of(loaded);
    std::string yaml = to_yaml(effective(loaded));
    EXPECT_THAT(problems_of(yaml), HasSubstr("is a redacted value"));
    const std::string shown = "\"<redacted>\"";
    yaml.replace(yaml.find(shown), shown.size(), "\"hunter2\"");
    const Loaded again = load_text(yaml);
    ASSERT_TRUE(again.config) << problems_of(again) << yaml;
    EXPECT_EQ(*again.config, *loaded.config);
}

TEST(Effective, SaysWhereEachValueCameFrom) {
    const Loaded loaded = load_text(kText, {{"MESH_WORKERS", "3"}});
    ASSERT_TRUE(loaded.config) << problems_of(loaded);
    const std::string yaml = to_yaml(effective(loaded));
    EXPECT_THAT(yaml, HasSubstr("\nworkers: 3  # env MESH_WORKERS\n"));
    EXPECT_THAT(
        yaml, HasSubstr("\n  address: \"0.0.0.0\"  # mesh.yaml:3\n  port: 19000  # default\n")
    );
    const std::string json = to_json(effective(loaded));
    EXPECT_THAT(json, HasSubstr(R"("admin.port":"default")"));
    EXPECT_THAT(json, HasSubstr(R"("listeners[1].limits.body_bytes_max":"mesh.yaml:6")"));
    EXPECT_THAT(json, HasSubstr(R"("services.api_service.policy.retry.attempts":"mesh.yaml:15")"));
    EXPECT_THAT(
        json, HasSubstr(R"("services.api_service.policy.breaker.failure_rate":"mesh.yaml:13")")
    ) << "inherited from defaults";
    EXPECT_THAT(json, HasSubstr(R"("workers":3)"));
    EXPECT_THAT(json, HasSubstr(R"("drain_timeout":"30s")"));
}

TEST(Effective, NeverShowsASecret) {
    const Loaded loaded = load_text(kText);
    ASSERT_TRUE(loaded.config);
    const Tree tree = effective(loaded);
    EXPECT_THAT(to_yaml(tree), Not(HasSubstr("hunter2")));
    EXPECT_THAT(to_json(tree), Not(HasSubstr("hunter2")));
    EXPECT_THAT(to_json(tree), HasSubstr(R"("token":"<redacted>")"));
}

TEST(Effective, AFileNameCannotForgeALine) {
    const Loaded loaded = load(
        {.files = {{"a\nworkers: 9\n.yaml", "workers: 2"}},
         .environment = {},
         .read_secret_file = {}}
    );
    ASSERT_TRUE(loaded.config);
    EXPECT_THAT(to_yaml(effective(loaded)), Not(HasSubstr("\nworkers: 9")));
}

TEST(QuotedJson, EscapesWhatMustBe) {
    EXPECT_EQ(quoted_json("a\"b\\c\nd\x7f"), R"("a\"b\\c\u000ad\u007f")");
}

}  // namespace
}  // namespace datapunk::mesh::config
