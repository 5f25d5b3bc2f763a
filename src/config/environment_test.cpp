#include "config/environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/load_fixture.h"

namespace datapunk::mesh::config {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Config loaded(const std::string& text, const Environment& environment) {
    const Loaded result = load_text(text, environment);
    EXPECT_EQ(problems_of(result), "");
    return result.config.value_or(Config{});
}

TEST(Environment, SetsWhatTheFileDoesNotAndOverridesWhatItDoes) {
    const Config config = loaded(
        "admin: {port: 1}\nworkers: 2",
        {{"MESH_ADMIN__PORT", "19005"}, {"MESH_LOG__LEVEL", "debug"}, {"MESH_WORKERS", "3"}}
    );
    EXPECT_EQ(config.admin.port, 19005);
    EXPECT_EQ(config.log.level, core::Level::debug);
    EXPECT_EQ(config.workers, 3U);
}

TEST(Environment, SetsFieldsInsideListsAndAppendsOne) {
    const Config config = loaded(
        "listeners: [{name: a, port: 1}]",
        {{"MESH_LISTENERS__0__PORT", "2"},
         {"MESH_LISTENERS__1__NAME", "b"},
         {"MESH_LISTENERS__1__PORT", "3"}}
    );
    ASSERT_EQ(config.listeners.size(), 2U);
    EXPECT_EQ(config.listeners[0].port, 2);
    EXPECT_EQ(config.listeners[1].name, "b");
    EXPECT_EQ(config.listeners[1].port, 3);
}

TEST(Environment, ReadsListsOfPlainValuesByComma) {
    const std::string route = "routes: [{name: r, service: a, hosts: [x, y, z]}]";
    EXPECT_THAT(
        loaded(route, {{"MESH_ROUTES__0__HOSTS", "a.example, b.example"}}).routes[0].hosts,
        ElementsAre("a.example", "b.example")
    );
    EXPECT_THAT(loaded(route, {{"MESH_ROUTES__0__HOSTS", ""}}).routes[0].hosts, ElementsAre());
    EXPECT_THAT(
        loaded(route, {{"MESH_ROUTES__0__HOSTS__1", "w"}}).routes[0].hosts,
        ElementsAre("x", "w", "z")
    );
    const Config config = loaded("", {{"MESH_DEFAULTS__POLICY__RETRY__ON", "5xx,reset"}});
    EXPECT_EQ(config.defaults.policy.retry.on, RetryOn::server_error | RetryOn::reset);
}

TEST(Environment, FindsServicesByNameWithUnderscoreForDash) {
    const Config config = loaded(
        "services: {api-service: {}, api_two: {}}",
        {{"MESH_SERVICES__API_SERVICE__POLICY__RETRY__ATTEMPTS", "2"},
         {"MESH_SERVICES__API_TWO__POLICY__RETRY__ATTEMPTS", "4"},
         {"MESH_SERVICES__NEW__POLICY__RETRY__ATTEMPTS", "5"}}
    );
    EXPECT_EQ(config.policy_of("api-service").retry.attempts, 2U);
    EXPECT_EQ(config.policy_of("api_two").retry.attempts, 4U);
    EXPECT_EQ(config.policy_of("new").retry.attempts, 5U);
    EXPECT_EQ(config.services.size(), 3U);
}

TEST(Environment, AServicesOwnPolicyStandsBeforeDefaultsFromTheEnvironment) {
    const Config config = loaded(
        "services: {a: {policy: {retry: {attempts: 5}}}}",
        {{"MESH_DEFAULTS__POLICY__RETRY__ATTEMPTS", "1"}}
    );
    EXPECT_EQ(config.policy_of("a").retry.attempts, 5U);
    EXPECT_EQ(config.policy_of("b").retry.attempts, 1U);
}

TEST(Environment, RefusesVariablesThatMatchNothing) {
    EXPECT_EQ(
        problems_of("", {{"MESH_ADMIN__PROT", "1"}}),
        "  env MESH_ADMIN__PROT: admin.prot: unknown key (did you mean MESH_ADMIN__PORT?)\n"
    );
    EXPECT_EQ(
        problems_of("", {{"MESH_WORKER", "1"}}),
        "  env MESH_WORKER: worker: unknown key (did you mean MESH_WORKERS?)\n"
    );
    EXPECT_THAT(problems_of("", {{"MESH_ZZZZZZ", "1"}}), HasSubstr("zzzzzz: unknown key\n"));
    EXPECT_THAT(problems_of("", {{"MESH_", "1"}}), HasSubstr("env MESH_: unknown key"));
}

TEST(Environment, RefusesValuesLikeAFileDoes) {
    EXPECT_EQ(
        problems_of("", {{"MESH_WORKERS", "yes"}}),
        "  env MESH_WORKERS: workers: \"yes\" is not a whole number\n"
    );
}

TEST(Environment, RefusesTextThatIsNotUtf8) {
    EXPECT_EQ(problems_of("", {{"MESH_NODE__NAME", "caf\xc3\xa9"}}), "");
    EXPECT_EQ(
        problems_of("", {{"MESH_NODE__NAME", "caf\xe9"}}),
        "  env MESH_NODE__NAME: node.name: is not UTF-8\n"
    );
}

TEST(Environment, RefusesGroupsDepthAndIndices) {
    EXPECT_THAT(problems_of("", {{"MESH_ADMIN", "x"}}), HasSubstr("admin: is a group of settings"));
    EXPECT_THAT(problems_of("", {{"MESH_SERVICES", "x"}}), HasSubstr("services: is a map: name"));
    EXPECT_THAT(
        problems_of("", {{"MESH_LISTENERS", "x"}}), HasSubstr("listeners: is a list of groups")
    );
    EXPECT_THAT(
        problems_of("", {{"MESH_WORKERS__X", "1"}}), HasSubstr("workers: is a plain value")
    );
    EXPECT_THAT(
        problems_of("", {{"MESH_LISTENERS__1__NAME", "x"}}),
        HasSubstr("listeners: \"1\" is not an index from 0 to 0")
    );
    EXPECT_THAT(problems_of("", {{"MESH_SERVICES____POLICY", "x"}}), HasSubstr("key is empty"));
    EXPECT_THAT(
        problems_of(
            "services: {a-b: {}, a_b: {}}", {{"MESH_SERVICES__A_B__POLICY__DEADLINE", "1s"}}
        ),
        HasSubstr("several keys are spelt like this")
    );
}

TEST(Environment, LeavesForeignVariablesAndOtherPrefixesAlone) {
    EXPECT_EQ(
        problems_of(
            "", {{"MESH_CONFIG", "/x"}, {"MESH_TEST_PEERS", "0"}, {"MESHED", "1"}, {"A", "b"}}
        ),
        ""
    );
}

}  // namespace
}  // namespace datapunk::mesh::config
