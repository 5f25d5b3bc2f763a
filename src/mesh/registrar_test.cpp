#include "mesh/registrar.h"

#include <gmock/gmock.h>

#include <optional>

#include "mesh/test_backend.h"
#include "sim/run.h"
#include "sim/sim_loop.h"

namespace datapunk::mesh::internal {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class RegistrarTest : public ::testing::Test {
  protected:
    static ServiceConfig web(HealthCheck::Kind kind = HealthCheck::Kind::none) {
        return {
            .name = "web", .id = "web-1", .host = "10.0.0.1", .port = 80, .check = {.kind = kind}
        };
    }

    Result<Registrar::Ticket> announce(ServiceConfig config, Duration within = seconds(5)) {
        return *sim::run_on(loop_, registrar_->announce(std::move(config), loop_.now() + within));
    }

    Result<> withdraw(Registrar::Ticket ticket) {
        return *sim::run_on(loop_, registrar_->withdraw(ticket, loop_.now() + seconds(5)));
    }

    io::Task<void> note_withdrawn(ServiceConfig config) {
        withdrawn_.push_back(config.id);
        co_return;
    }

    sim::SimLoop loop_{sim::seed_for_test(1)};
    TestBackend::State registry_;
    TestBackend backend_{loop_, registry_};
    metrics::MetricRegistry metrics_;
    std::vector<std::string> withdrawn_;
    std::optional<Registrar> registrar_{RegistrarParts{
        .loop = loop_,
        .backend = backend_,
        .log = {},
        .metrics = metrics_,
        .timeout = seconds(5),
        .on_withdrawn = [this](ServiceConfig config) { return note_withdrawn(std::move(config)); },
    }};
};

TEST_F(RegistrarTest, AnnouncesReadsBackAndWithdraws) {
    const auto ticket = announce(web());
    ASSERT_TRUE(ticket) << ticket.error().what;
    EXPECT_THAT(registry_.log, ElementsAre("register web-1", "has web-1"));
    EXPECT_TRUE(withdraw(*ticket));
    EXPECT_TRUE(registry_.services.empty());
    EXPECT_THAT(withdrawn_, ElementsAre("web-1"));
    EXPECT_TRUE(withdraw(*ticket));  // idempotent, without asking again
    EXPECT_EQ(registry_.count("deregister web-1"), 1U);
}

TEST_F(RegistrarTest, TriesAgainWhileTheRegistryIsDownAndSomebodyWaits) {
    registry_.is_down = true;
    struct Recovery : io::Timer {
        explicit Recovery(TestBackend::State& r)
            : Timer([](io::Timer& t) { static_cast<Recovery&>(t).registry.is_down = false; }),
              registry(r) {}

        TestBackend::State& registry;
    } recovery(registry_);

    loop_.timers().arm(recovery, loop_.now() + seconds(2));
    EXPECT_TRUE(announce(web()));
    EXPECT_GT(registry_.count("register web-1"), 2U);
    EXPECT_TRUE(registry_.services.contains("web-1"));
}

TEST_F(RegistrarTest, ARegistryThatStaysDownIsAnErrorAndNothingStaysBehind) {
    registry_.is_down = true;
    const Instant begun = loop_.now();
    const auto ticket = announce(web());
    ASSERT_FALSE(ticket);
    EXPECT_EQ(ticket.error().code, Code::unavailable);
    EXPECT_THAT(
        ticket.error().what, HasSubstr("register web-1 failed at registry: connection refused (")
    );
    EXPECT_GT(registry_.count("deregister web-1"), 0U);  // a lost answer may have been a yes
    EXPECT_LE(loop_.now() - begun, seconds(10));
    EXPECT_THAT(ticket.error().what, HasSubstr("not undone: registry (connection refused)"));
    EXPECT_EQ(registrar_->size(), 0U);
    EXPECT_EQ(registrar_->owed(), 1U);
    registry_.is_down = false;
    loop_.run_for(seconds(3));
    EXPECT_EQ(registrar_->owed(), 0U);  // the registry has said that it has nothing
    registry_.log.clear();
    loop_.run_for(minutes(2));
    EXPECT_TRUE(registry_.log.empty());  // and nobody goes on trying
}

TEST_F(RegistrarTest, WhatCannotBeReadBackIsTakenBack) {
    registry_.drops_registrations = true;
    const auto ticket = announce(web(), seconds(1));
    ASSERT_FALSE(ticket);
    EXPECT_THAT(ticket.error().what, HasSubstr("accepted it but does not have it"));
    EXPECT_EQ(registry_.log.back(), "deregister web-1");
    EXPECT_EQ(registrar_->size(), 0U);
}

TEST_F(RegistrarTest, MakesARegistrationAgainThatTheRegistryLost) {
    ASSERT_TRUE(announce(web()));
    registry_.services.clear();
    // Read back about every 15 s, jittered by a fifth.
    loop_.run_for(seconds(11));
    EXPECT_TRUE(registry_.services.empty());
    loop_.run_for(seconds(8));
    EXPECT_TRUE(registry_.services.contains("web-1"));
}

TEST_F(RegistrarTest, SurvivesAnOutageAndComesBackSoonAfterIt) {
    ASSERT_TRUE(announce(web()));
    registry_.is_down = true;
    registry_.services.clear();
    loop_.run_for(minutes(10));
    registry_.is_down = false;
    loop_.run_for(seconds(3));
    EXPECT_TRUE(registry_.services.contains("web-1"));
}

TEST_F(RegistrarTest, BeatsEveryThirdOfATtl) {
    ServiceConfig config = web(HealthCheck::Kind::ttl);
    config.check.ttl = seconds(30);
    ASSERT_TRUE(announce(config));
    EXPECT_THAT(
        registry_.log, ElementsAre("register web-1", "has web-1", "heartbeat web-1 passing")
    );
    loop_.run_for(milliseconds(100'500));
    const auto beats = registry_.count("heartbeat web-1 passing");
    EXPECT_GE(beats, 10U);
    EXPECT_LE(beats, 11U);
}

TEST_F(RegistrarTest, AHeartbeatThatMeetsNothingMakesTheRegistrationAgainAtOnce) {
    ServiceConfig config = web(HealthCheck::Kind::ttl);
    config.check.ttl = seconds(3);
    ASSERT_TRUE(announce(config));
    registry_.services.clear();
    loop_.run_for(milliseconds(1100));
    EXPECT_TRUE(registry_.services.contains("web-1"));
}

TEST_F(RegistrarTest, TellsANewHealthAtOnceAndKeepsTellingIt) {
    ServiceConfig config = web(HealthCheck::Kind::ttl);
    const auto ticket = announce(config);
    ASSERT_TRUE(ticket);
    ASSERT_TRUE(registrar_->set_health(*ticket, Health::critical, "no disk"));
    loop_.run_for(milliseconds(10));
    EXPECT_EQ(registry_.health["web-1"], Health::critical);
    loop_.run_for(seconds(25));
    EXPECT_EQ(registry_.count("heartbeat web-1 critical"), 3U);
}

TEST_F(RegistrarTest, TheSameIdAgainReplacesAndOnlyTheNewTicketCounts) {
    const auto first = announce(web());
    const auto second = announce(web());
    ASSERT_TRUE(first && second);
    EXPECT_EQ(registrar_->size(), 1U);
    EXPECT_TRUE(withdraw(*first));
    EXPECT_TRUE(registry_.services.contains("web-1"));
    EXPECT_TRUE(withdraw(*second));
    EXPECT_FALSE(registry_.services.contains("web-1"));
}

TEST_F(RegistrarTest, WithdrawsWhatItWasAboutToRenewAndNothingComesBack) {
    ServiceConfig config = web(HealthCheck::Kind::ttl);
    config.check.ttl = seconds(3);
    const auto ticket = announce(config);
    ASSERT_TRUE(ticket);
    registry_.takes = milliseconds(500);
    registry_.services.clear();
    loop_.run_for(milliseconds(1600));  // the keeper's request to register is under way
    EXPECT_EQ(registry_.log.back(), "register web-1");
    EXPECT_TRUE(withdraw(*ticket));
    loop_.run_for(minutes(1));
    EXPECT_FALSE(registry_.services.contains("web-1"));
}

TEST_F(RegistrarTest, AForgottenRegistrationStaysButIsNotKept) {
    const auto ticket = announce(web());
    ASSERT_TRUE(ticket);
    registrar_->forget(*ticket);
    EXPECT_TRUE(registry_.services.contains("web-1"));
    registry_.services.clear();
    loop_.run_for(minutes(1));
    EXPECT_TRUE(registry_.services.empty());
    EXPECT_FALSE(registrar_->set_health(*ticket, Health::passing, ""));
}

TEST_F(RegistrarTest, WithdrawsAllAlsoWhatACancelledAnnouncementMayHaveLeft) {
    ASSERT_TRUE(announce(web()));
    ServiceConfig other = web();
    other.id = "web-2";
    io::TaskGroup callers;
    callers.spawn([](Registrar& registrar, ServiceConfig config, Instant until) -> io::Task<void> {
        auto ticket = co_await registrar.announce(std::move(config), until);
        static_cast<void>(ticket);
    }(*registrar_, other, loop_.now() + seconds(5)));
    registry_.services["web-2"] = other;  // it arrived; the answer did not
    callers.cancel();
    EXPECT_TRUE(sim::run_on(loop_, registrar_->withdraw_all(loop_.now() + seconds(5))));
    EXPECT_TRUE(registry_.services.empty());
    EXPECT_EQ(registrar_->size(), 0U);
}

TEST_F(RegistrarTest, WithdrawingAllEndsAtItsDeadline) {
    ASSERT_TRUE(announce(web()));
    registry_.is_down = true;
    registry_.takes = minutes(5);
    const Instant begun = loop_.now();
    EXPECT_TRUE(sim::run_on(loop_, registrar_->withdraw_all(begun + seconds(3))));
    EXPECT_LE(loop_.now() - begun, milliseconds(3100));
}

TEST_F(RegistrarTest, DeregistersByIdAlsoWhatOthersAnnounced) {
    registry_.services["other-1"] = web();
    EXPECT_TRUE(*sim::run_on(loop_, registrar_->withdraw_id("other-1", loop_.now() + seconds(5))));
    const auto unknown =
        *sim::run_on(loop_, registrar_->withdraw_id("other-1", loop_.now() + seconds(5)));
    ASSERT_FALSE(unknown);
    EXPECT_EQ(unknown.error().code, Code::not_found);
}

}  // namespace
}  // namespace datapunk::mesh::internal
