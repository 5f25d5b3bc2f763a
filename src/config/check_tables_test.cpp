#include <gmock/gmock.h>

#include "config/effective.h"
#include "config/load_fixture.h"

namespace datapunk::mesh::config {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::Pair;

constexpr const char* kText = R"(
register:
  - name: web
    host: 10.0.0.5
    port: 443
    check:
      path: /up
      headers: {X-A: "1"}
      bearer_token: "${env:CHECK_TOKEN}"
      expected_status: ["200-204", "301"]
      expected_body: ready
      follow_redirects: false
      tls: {enabled: true, ca: /etc/ca.pem, certificate: /etc/c.pem, private_key: /etc/k.pem}
      grace: 30s
      initial: passing
  - {name: cron, host: 10.0.0.5, port: 1, check: {kind: exec, command: [/bin/up, "-v"]}}
)";

TEST(CheckTables, ReadEveryKindOfCheck) {
    const Loaded loaded = load_text(kText, {{"CHECK_TOKEN", "hunter2"}});
    ASSERT_TRUE(loaded.config) << problems_of(loaded);
    const HealthCheck& check = loaded.config->registrations.at(0).check;
    EXPECT_THAT(check.headers, ElementsAre(Pair("X-A", "1")));
    EXPECT_EQ(check.bearer_token, "hunter2");
    EXPECT_THAT(check.expected_status, ElementsAre("200-204", "301"));
    EXPECT_FALSE(check.follow_redirects);
    EXPECT_EQ(check.tls.private_key, "/etc/k.pem");
    EXPECT_EQ(check.initial, Health::passing);
    EXPECT_THAT(loaded.config->registrations.at(1).check.command, ElementsAre("/bin/up", "-v"));
}

TEST(CheckTables, SecretsAreNotShown) {
    const Loaded loaded = load_text(kText, {{"CHECK_TOKEN", "hunter2"}});
    ASSERT_TRUE(loaded.config) << problems_of(loaded);
    const std::string yaml = to_yaml(effective(loaded));
    EXPECT_THAT(yaml, Not(HasSubstr("hunter2")));
    EXPECT_THAT(yaml, Not(HasSubstr("/etc/k.pem")));
    EXPECT_THAT(yaml, HasSubstr("bearer_token: \"<redacted>\""));
}

TEST(CheckTables, TheCatalogNeedsANodeToRegisterUnder) {
    const std::string text = "registry: {kind: consul, consul: {destination: catalog}}\n";
    EXPECT_THAT(problems_of(text), HasSubstr("catalog needs node.name and node.address"));
    EXPECT_EQ(problems_of(text + "node: {name: outside, address: 10.0.0.9}\n"), "");
}

TEST(CheckTables, ABadCheckIsNamed) {
    EXPECT_THAT(
        problems_of(R"(register: [{name: a, host: h, port: 1, check: {expected_status: [2xx]}}])"),
        HasSubstr("check.expected_status must be like 200 or 200-299")
    );
}

}  // namespace
}  // namespace datapunk::mesh::config
