// Registrations whose check the registry cannot run, or must not know: it is run here.

#include <gmock/gmock.h>

#include "mesh/registrar.h"
#include "mesh/test_backend.h"
#include "sim/run.h"
#include "sim/sim_processes.h"
#include "sim/sim_world.h"

namespace datapunk::mesh::internal {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class RegistrarChecks : public testing::Test {
  protected:
    RegistrarChecks() { registry_.capabilities.kept_alive_by = registry::KeptAliveBy::lease; }

    static ServiceConfig web() {
        ServiceConfig config{.name = "web", .id = "web-1", .host = "10.0.0.2", .port = 80};
        config.check.kind = HealthCheck::Kind::tcp;
        config.check.interval = 1s;
        config.check.successes_before_passing = 1;
        config.check.failures_before_critical = 1;
        return config;
    }

    Result<Registrar::Ticket> announce(ServiceConfig config) {
        const Instant deadline = world_.loop().now() + 5s;
        return *sim::run_on(world_.loop(), registrar_.announce(*checked(config), deadline));
    }

    auto listen() { return *world_.host("10.0.0.2").listen(*io::parse_ip("10.0.0.2", 80), {}); }

    Health health() { return registry_.health.at("web-1"); }

    sim::SimWorld world_{sim::seed_for_test(4)};
    TestBackend::State registry_;
    TestBackend backend_{world_.loop(), registry_};
    metrics::MetricRegistry metrics_;
    Registrar registrar_{RegistrarParts{
        .loop = world_.loop(),
        .backend = backend_,
        .log = {},
        .metrics = metrics_,
        .timeout = 5s,
        .network = &world_.host("10.0.0.1"),
    }};
};

TEST_F(RegistrarChecks, AreRunHereAndToldAsHeartbeats) {
    const auto ticket = announce(web());
    ASSERT_TRUE(ticket) << ticket.error().what;
    EXPECT_EQ(registry_.services.at("web-1").check.kind, HealthCheck::Kind::ttl);
    EXPECT_EQ(health(), Health::critical) << "until it has passed";
    auto listener = listen();
    world_.loop().run_for(2s);
    EXPECT_EQ(health(), Health::passing);
    const std::size_t told = registry_.count("heartbeat web-1 passing");
    world_.loop().run_for(30s);
    EXPECT_GE(registry_.count("heartbeat web-1 passing"), told + 2) << "every third of the ttl";
    listener.reset();
    world_.loop().run_for(3s);
    EXPECT_EQ(health(), Health::critical) << "a flip is told at once";
    EXPECT_FALSE(registrar_.set_health(*ticket, Health::passing, "")) << "the check decides";
}

TEST_F(RegistrarChecks, EndWithTheRegistration) {
    const auto ticket = announce(web());
    ASSERT_TRUE(ticket);
    const auto listener = listen();
    ASSERT_TRUE(*sim::run_on(world_.loop(), registrar_.withdraw(*ticket, world_.loop().now() + 5s))
    );
    const std::size_t told = registry_.log.size();
    world_.loop().run_for(1min);
    EXPECT_EQ(registry_.log.size(), told);
}

TEST_F(RegistrarChecks, AReplacementBringsItsOwn) {
    ASSERT_TRUE(announce(web()));
    const auto listener = listen();
    world_.loop().run_for(3s);
    EXPECT_EQ(health(), Health::passing);
    ServiceConfig other = web();
    other.check = HealthCheck::calling([] { return CheckResult{Health::warning, "tired"}; });
    other.check.interval = 1s;
    other.check.successes_before_passing = 1;
    ASSERT_TRUE(announce(other));
    world_.loop().run_for(3s);
    EXPECT_EQ(health(), Health::warning);
    ServiceConfig plain = web();
    plain.check.kind = HealthCheck::Kind::ttl;
    ASSERT_TRUE(announce(plain));
    EXPECT_EQ(health(), Health::passing);
    const std::size_t warned = registry_.count("heartbeat web-1 warning");
    world_.loop().run_for(1min);
    EXPECT_EQ(registry_.count("heartbeat web-1 warning"), warned);
}

TEST_F(RegistrarChecks, SurviveARegistryThatForgets) {
    ASSERT_TRUE(announce(web()));
    const auto listener = listen();
    world_.loop().run_for(3s);
    registry_.services.clear();
    registry_.health.clear();
    world_.loop().run_for(1min);
    EXPECT_EQ(registry_.services.at("web-1").check.kind, HealthCheck::Kind::ttl);
    EXPECT_EQ(health(), Health::passing);
}

TEST_F(RegistrarChecks, StayWithARegistryThatRunsThemUnlessTheyTellASecret) {
    registry_.capabilities = {};
    ASSERT_TRUE(announce(web()));
    EXPECT_EQ(registry_.services.at("web-1").check.kind, HealthCheck::Kind::tcp);
    ServiceConfig secret = web();
    secret.check.kind = HealthCheck::Kind::http;
    secret.check.bearer_token = "hunter2";
    ASSERT_TRUE(announce(secret));
    const HealthCheck& told = registry_.services.at("web-1").check;
    EXPECT_EQ(told.kind, HealthCheck::Kind::ttl);
    EXPECT_EQ(told.bearer_token, "");
}

TEST_F(RegistrarChecks, WhatCannotBeRunHereIsRefusedBeforeAnythingIsWritten) {
    ServiceConfig program = web();
    program.check.kind = HealthCheck::Kind::exec;
    program.check.command = {"/bin/up"};
    const auto denied = announce(program);
    ASSERT_FALSE(denied);
    EXPECT_EQ(denied.error().code, Code::denied);
    ServiceConfig alias = web();
    alias.check.kind = HealthCheck::Kind::alias;
    alias.check.alias = "db-1";
    EXPECT_EQ(announce(alias).error().code, Code::invalid);
    EXPECT_TRUE(registry_.log.empty());
}

}  // namespace
}  // namespace datapunk::mesh::internal
