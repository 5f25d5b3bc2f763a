#include "config/difference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/load_fixture.h"

namespace datapunk::mesh::config {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr const char* kBase = R"(
registry: {kind: static}
admin: {token: '${env:TOKEN}'}
listeners: [{name: web, port: 8080}]
routes: [{name: all, service: api}]
services: {api: {endpoints: ["127.0.0.1:1"]}}
)";

Loaded with(const std::string& more, const std::string& base = kBase, const char* token = "one") {
    Loaded loaded = load_text(base + more, {{"TOKEN", token}});
    EXPECT_TRUE(loaded.config) << problems_of(loaded);
    return loaded;
}

TEST(Difference, TheSameSaidOtherwiseIsNone) {
    EXPECT_THAT(differences(with(""), with("workers: 1\n")), IsEmpty());
}

TEST(Difference, NamesTheKeyBothValuesAndThePlace) {
    const auto found = differences(with("drain_timeout: 5s\n"), with("drain_timeout: 7s\n"));
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(to_text(found), "drain_timeout: 5s -> 7s (mesh.yaml:7)\n");
}

TEST(Difference, SaysWhatNeedsARestart) {
    const auto found =
        differences(with(""), with("workers: 2\nnode: {name: a}\nlog: {level: debug}\n"));
    EXPECT_EQ(
        to_text(found),
        "log.level: info -> debug (mesh.yaml:9)\n"
        "node.name: \"\" -> a (mesh.yaml:8, needs a restart)\n"
        "workers: 1 -> 2 (mesh.yaml:7, needs a restart)\n"
    );
}

TEST(Difference, AnotherSecretIsToldAndNotShown) {
    const auto found = differences(with("", kBase, "first"), with("", kBase, "second"));
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].key, "admin");
    EXPECT_EQ(found[0].effect, Effect::restart);
    EXPECT_EQ(to_text(found).find("first"), std::string::npos);
    EXPECT_EQ(to_text(found).find("second"), std::string::npos);
}

TEST(Difference, TlsOfAServiceThatIsThereStaysAsItIs) {
    const std::string tls = "defaults: {tls: {enabled: true, ca: /ca.pem}}\n";
    std::vector<std::string> restart;
    for (const Difference& one : differences(with(""), with(tls))) {
        if (one.effect == Effect::restart) restart.push_back(one.key);
    }
    EXPECT_THAT(restart, ElementsAre("services.api.tls.enabled"));
}

TEST(Difference, FindsEveryServiceThatIsNamed) {
    const Loaded loaded = load_text(R"(
registry: {kind: static}
listeners:
  - {name: web, port: 8080}
  - {name: db, port: 8081, protocol: tcp, tcp: {service: sql}}
routes: [{service: api}]
services:
  api: {endpoints: ["127.0.0.1:1"]}
  own: {endpoints: ["127.0.0.1:1"]}
  sql: {endpoints: ["127.0.0.1:1"]}
)");
    ASSERT_TRUE(loaded.config) << problems_of(loaded);
    EXPECT_THAT(services_of(*loaded.config), ElementsAre("api", "own", "sql"));
    EXPECT_THAT(tcp_services_of(*loaded.config), ElementsAre("sql"));
}

}  // namespace
}  // namespace datapunk::mesh::config
