// When a service is announced, how it leaves, and whose an id is that two processes have.

#include <gmock/gmock.h>

#include <optional>
#include <stdexcept>

#include "mesh/registrar.h"
#include "mesh/test_backend.h"
#include "metrics/exposition.h"
#include "sim/run.h"
#include "sim/sim_world.h"

namespace datapunk::mesh::internal {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class RegistrarLifeTest : public ::testing::Test {
  public:
    static ServiceConfig web(HealthCheck::Kind kind = HealthCheck::Kind::none) {
        return {
            .name = "web", .id = "web-1", .host = "10.0.0.2", .port = 80, .check = {.kind = kind}
        };
    }

    std::unique_ptr<Registrar> make(std::string incarnation, Duration drain_delay = {}) {
        return std::make_unique<Registrar>(RegistrarParts{
            .loop = loop(),
            .backend = backend_,
            .log = {},
            .metrics = metrics_,
            .timeout = 5s,
            .drain_delay = drain_delay,
            .who = {.owner = "host", .incarnation = std::move(incarnation)},
            .network = &world_.host("10.0.0.1"),
        });
    }

    io::Loop& loop() { return world_.loop(); }

    Result<Registrar::Ticket> announce(Registrar& registrar, ServiceConfig config) {
        auto done = sim::run_on(
            world_.loop(), registrar.announce(std::move(config), loop().now() + 5s), 1h
        );
        return *std::move(done);
    }

    Result<> withdraw(Registrar& registrar, Registrar::Ticket ticket, Duration within = 30s) {
        return *sim::run_on(world_.loop(), registrar.withdraw(ticket, loop().now() + within), 1h);
    }

    std::string metrics_text() {
        return metrics::expose(metrics_.snapshot(), metrics::ExpositionFormat::prometheus);
    }

    std::string_view incarnation() {
        return registry_.services.at("web-1").meta.at(std::string(meta_key::incarnation));
    }

    sim::SimWorld world_{sim::seed_for_test(1)};
    TestBackend::State registry_;
    TestBackend backend_{world_.loop(), registry_};
    metrics::MetricRegistry metrics_;
};

// --- ready

TEST_F(RegistrarLifeTest, IsAnnouncedWhenItSaysThatItIsReady) {
    const auto registrar = make("run-1");
    const Instant ready_at = loop().now() + 7s;
    ServiceConfig config = web();
    config.ready = Readiness::when([&] {
        EXPECT_THAT(registry_.log, Not(testing::Contains("register web-1")));
        return loop().now() >= ready_at;
    });
    // Longer than the announcement itself may take.
    const auto ticket = announce(*registrar, config);
    ASSERT_TRUE(ticket) << ticket.error().what;
    EXPECT_GE(loop().now(), ready_at);
    EXPECT_LT(loop().now(), ready_at + 300ms);
    EXPECT_TRUE(registry_.services.contains("web-1"));
}

TEST_F(RegistrarLifeTest, WhoIsNeverReadyIsNeverAnnounced) {
    const auto registrar = make("run-1");
    ServiceConfig config = web();
    int asked = 0;
    config.ready = Readiness::when([&]() -> bool {
        ++asked;
        throw std::runtime_error("still loading");
    });
    config.ready.timeout = 10s;
    const Instant begun = loop().now();
    const auto ticket = announce(*registrar, config);
    ASSERT_FALSE(ticket);
    EXPECT_EQ(ticket.error().code, Code::timeout);
    EXPECT_THAT(
        ticket.error().what,
        HasSubstr("register web-1 failed at ready: not ready after 10s: it does not say")
    );
    EXPECT_GE(loop().now(), begun + 10s);
    EXPECT_GT(asked, 50);
    EXPECT_LT(asked, 110);
    EXPECT_THAT(registry_.log, Not(testing::Contains("register web-1")));
    EXPECT_EQ(registrar->owed(), 0U);
}

TEST_F(RegistrarLifeTest, IsAnnouncedWhenItsOwnCheckHasPassed) {
    const auto registrar = make("run-1");
    ServiceConfig config = web(HealthCheck::Kind::tcp);
    config.ready.check_passes = true;
    config.ready.timeout = 20s;
    const auto nobody = announce(*registrar, config);
    ASSERT_FALSE(nobody);
    EXPECT_THAT(nobody.error().what, HasSubstr("not ready after 20s: its check does not pass ("));
    EXPECT_THAT(registry_.log, Not(testing::Contains("register web-1")));

    std::unique_ptr<io::Listener> listener;
    const auto open = [](RegistrarLifeTest* test,
                         std::unique_ptr<io::Listener>* out) -> io::Task<void> {
        co_await io::sleep_for(test->loop(), 9s);
        *out = *test->world_.host("10.0.0.2").listen(*io::parse_ip("10.0.0.2", 80), {});
    };
    io::TaskGroup tasks;
    tasks.spawn(open(this, &listener));
    const Instant begun = loop().now();
    const auto ticket = announce(*registrar, config);
    ASSERT_TRUE(ticket) << ticket.error().what;
    EXPECT_GE(loop().now(), begun + 9s);
    EXPECT_LT(loop().now(), begun + 12s);
}

TEST_F(RegistrarLifeTest, WhoIsWithdrawnBeforeItIsReadyIsNotAnnounced) {
    const auto registrar = make("run-1");
    ServiceConfig config = web();
    config.ready = Readiness::when([] { return false; });
    std::optional<Result<Registrar::Ticket>> ended;
    const auto begin = [](Registrar* by,
                          ServiceConfig what,
                          Instant deadline,
                          std::optional<Result<Registrar::Ticket>>* out) -> io::Task<void> {
        auto ticket = co_await by->announce(std::move(what), deadline);
        out->emplace(std::move(ticket));
    };
    io::TaskGroup tasks;
    tasks.spawn(begin(registrar.get(), config, loop().now() + 5s, &ended));
    world_.loop().run_for(2s);
    ASSERT_FALSE(ended);
    (void)sim::run_on(world_.loop(), registrar->withdraw_id("web-1", loop().now() + 5s));
    world_.loop().run_for(1s);
    ASSERT_TRUE(ended);
    EXPECT_EQ(ended->error().code, Code::aborted);
    EXPECT_THAT(registry_.log, Not(testing::Contains("register web-1")));
}

TEST_F(RegistrarLifeTest, WhatIsAnnouncedIsRenewedWhileItsReplacementGetsReady) {
    const auto registrar = make("run-1");
    ServiceConfig config = web(HealthCheck::Kind::ttl);
    ASSERT_TRUE(announce(*registrar, config));
    registry_.log.clear();
    config.port = 81;
    const Instant ready_at = loop().now() + 10min;
    config.ready = Readiness::when([&] { return loop().now() >= ready_at; });
    config.ready.timeout = 1h;
    ASSERT_TRUE(announce(*registrar, config));
    EXPECT_EQ(registry_.services.at("web-1").port, 81);
    EXPECT_GE(registry_.count("heartbeat web-1 passing"), 60U);
}

TEST(Readiness, IsChecked) {
    ServiceConfig config{.name = "web", .host = "10.0.0.1", .port = 80};
    EXPECT_TRUE(checked(config));
    config.ready.check_passes = true;
    EXPECT_TRUE(checked(config));
    for (const auto kind : {HealthCheck::Kind::none, HealthCheck::Kind::ttl}) {
        config.check.kind = kind;
        EXPECT_THAT(checked(config).error().what, HasSubstr("ready.check_passes"));
    }
    config = {.name = "web", .host = "10.0.0.1", .port = 80};
    for (const auto& [timeout, is_good] :
         {std::pair<Duration, bool>(10ms, true), {9ms, false}, {1h, true}, {1h + 1ms, false}}) {
        config.ready.timeout = timeout;
        EXPECT_EQ(checked(config).ok(), is_good);
    }
}

// --- leaving

TEST_F(RegistrarLifeTest, IsCriticalForAWhileBeforeItIsDeregistered) {
    const auto registrar = make("run-1", 3s);
    const auto ticket = announce(*registrar, web());
    ASSERT_TRUE(ticket);
    world_.loop().run_for(5s);  // what begins with the start is over
    registry_.log.clear();
    HealthCheck seen;  // what the registry has while it drains
    const auto look = [](RegistrarLifeTest* test, HealthCheck* out) -> io::Task<void> {
        co_await io::sleep_for(test->loop(), 2s);
        *out = test->registry_.services.at("web-1").check;
    };
    io::TaskGroup tasks;
    tasks.spawn(look(this, &seen));
    const Instant begun = loop().now();
    EXPECT_TRUE(withdraw(*registrar, *ticket));
    EXPECT_THAT(
        registry_.log,
        ElementsAre("has web-1", "register web-1", "heartbeat web-1 critical", "deregister web-1")
    );
    EXPECT_EQ(seen.kind, HealthCheck::Kind::ttl);
    EXPECT_EQ(seen.initial, Health::critical);
    EXPECT_GE(loop().now() - begun, 3s);
    EXPECT_LT(loop().now() - begun, 3100ms);
}

TEST_F(RegistrarLifeTest, StoppingDrainsAllAtOnceAndNoLongerThanItMay) {
    const auto registrar = make("run-1", 1min);
    for (int i = 0; i < 20; ++i) {
        ServiceConfig config = web();
        config.id = "web-" + std::to_string(i);
        ASSERT_TRUE(announce(*registrar, config));
    }
    const Instant begun = loop().now();
    (void)sim::run_on(world_.loop(), registrar->withdraw_all(begun + 10s), 1h);
    EXPECT_THAT(registry_.services, IsEmpty());
    EXPECT_GE(loop().now() - begun, 7s);
    EXPECT_LE(loop().now() - begun, 10s);
}

TEST_F(RegistrarLifeTest, ARegistryThatCannotBeToldIsNotWaitedFor) {
    const auto registrar = make("run-1", 3s);
    const auto ticket = announce(*registrar, web());
    ASSERT_TRUE(ticket);
    world_.loop().run_for(5s);
    const std::size_t first = registry_.requests;
    registry_.fault = [first](std::size_t request) {
        return request == first + 1 ? TestBackend::Fault::denied : TestBackend::Fault::none;
    };
    const Instant begun = loop().now();
    EXPECT_TRUE(withdraw(*registrar, *ticket));
    EXPECT_LT(loop().now() - begun, 1s);
    EXPECT_THAT(registry_.services, IsEmpty());
}

TEST_F(RegistrarLifeTest, WhoComesBackDoesNotWaitForItsOwnDrain) {
    const auto registrar = make("run-1", 1min);
    const auto ticket = announce(*registrar, web());
    ASSERT_TRUE(ticket);
    const auto leave = [](Registrar* by, Registrar::Ticket which, Instant deadline
                       ) -> io::Task<void> {
        auto gone = co_await by->withdraw(which, deadline);
        EXPECT_TRUE(gone);
    };
    io::TaskGroup tasks;
    tasks.spawn(leave(registrar.get(), *ticket, loop().now() + 2min));
    world_.loop().run_for(1s);
    const Instant begun = loop().now();
    EXPECT_TRUE(announce(*registrar, web()));
    EXPECT_LT(loop().now() - begun, 1s);
    EXPECT_TRUE(registry_.services.contains("web-1"));
    EXPECT_TRUE(tasks.empty());
}

// --- two processes with one id

TEST_F(RegistrarLifeTest, WhoLosesItsIdToAnotherProcessSaysSoAndDoesNotFight) {
    const auto older = make("run-1");
    const auto newer = make("run-2");
    ServiceConfig config = web(HealthCheck::Kind::ttl);
    const auto first = announce(*older, config);
    ASSERT_TRUE(first);
    const auto second = announce(*newer, config);
    ASSERT_TRUE(second);
    EXPECT_EQ(incarnation(), "run-2");
    world_.loop().run_for(20s);  // read back about every 15 s
    EXPECT_THAT(metrics_text(), HasSubstr("mesh_registration_conflicts_total 1"));
    const auto told = older->set_health(*first, Health::warning, "");
    ASSERT_FALSE(told);
    EXPECT_EQ(told.error().code, Code::conflict);
    EXPECT_THAT(told.error().what, HasSubstr("another process has registered this id"));
    // An hour of both: nobody writes it again, and only one renews it.
    registry_.log.clear();
    world_.loop().run_for(1h);
    EXPECT_EQ(registry_.count("register web-1"), 0U);
    EXPECT_LE(registry_.count("heartbeat web-1 passing"), 361U);
    EXPECT_EQ(incarnation(), "run-2");
    EXPECT_THAT(metrics_text(), HasSubstr("mesh_registration_conflicts_total 1"));
    // The loser's end is not the winner's.
    EXPECT_TRUE(withdraw(*older, *first));
    EXPECT_EQ(incarnation(), "run-2");
    EXPECT_EQ(registry_.count("deregister web-1"), 0U);
    EXPECT_TRUE(withdraw(*newer, *second));
    EXPECT_THAT(registry_.services, IsEmpty());
}

TEST_F(RegistrarLifeTest, ARollingRestartDoesNotTakeTheNewcomerAway) {
    const auto older = make("run-1");
    const auto first = announce(*older, web());
    ASSERT_TRUE(first);
    const auto newer = make("run-2");
    ASSERT_TRUE(announce(*newer, web()));
    EXPECT_TRUE(withdraw(*older, *first));  // at once: it has not heard of the other
    EXPECT_EQ(incarnation(), "run-2");
}

TEST_F(RegistrarLifeTest, TakesItsIdAgainWhenTheOtherHasGone) {
    const auto older = make("run-1");
    const auto newer = make("run-2");
    ASSERT_TRUE(announce(*older, web()));
    const auto second = announce(*newer, web());
    ASSERT_TRUE(second);
    world_.loop().run_for(20s);
    ASSERT_TRUE(withdraw(*newer, *second));
    EXPECT_THAT(registry_.services, IsEmpty());
    world_.loop().run_for(20s);
    EXPECT_EQ(incarnation(), "run-1");
    world_.loop().run_for(1h);
    EXPECT_EQ(incarnation(), "run-1");
}

}  // namespace
}  // namespace datapunk::mesh::internal
