// The registrar against a model: a fault at every request, a cancellation at every wait, and many
// operations at once on few ids.

#include <gmock/gmock.h>

#include <optional>

#include "mesh/registrar.h"
#include "mesh/test_backend.h"
#include "sim/run.h"
#include "sim/sim_loop.h"

namespace datapunk::mesh::internal {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

using Fault = TestBackend::Fault;

ServiceConfig web(std::uint16_t port, const std::string& id = "web-1", bool is_ttl = true) {
    ServiceConfig config{.name = "web", .id = id, .host = "10.0.0.1", .port = port};
    config.check.kind = is_ttl ? HealthCheck::Kind::ttl : HealthCheck::Kind::none;
    return config;
}

// A registrar and its registry; the balancer's step can fail, too.
class World {
  public:
    explicit World(std::uint64_t seed) : loop(seed) {}

    io::Task<Result<>> tell(ServiceConfig config, Instant) {
        ++tells;
        co_await io::sleep_for(loop, milliseconds(1));
        if (is_balancer_broken) co_return Error{.code = Code::exhausted, .what = "no room"};
        told.push_back(config.id);
        co_return Ok{};
    }

    io::Task<void> untell(ServiceConfig config) {
        untold.push_back(config.id);
        // Who waits to see it gone must not wait in vain.
        EXPECT_FALSE(registry.services.contains(config.id));
        co_await io::sleep_for(loop, milliseconds(1));
    }

    Result<Registrar::Ticket> announce(ServiceConfig config) {
        auto done = sim::run_on(
            loop, registrar->announce(std::move(config), loop.now() + seconds(2)), seconds(60)
        );
        return done ? *done : Error{.what = "did not end"};
    }

    sim::SimLoop loop;
    TestBackend::State registry;
    TestBackend backend{loop, registry};
    metrics::MetricRegistry metrics;
    bool is_balancer_broken = false;
    int tells = 0;
    std::vector<std::string> told;
    std::vector<std::string> untold;
    std::optional<Registrar> registrar{RegistrarParts{
        .loop = loop,
        .backend = backend,
        .log = {},
        .metrics = metrics,
        .timeout = seconds(1),
        .on_announced = [this](
                            ServiceConfig config, Instant deadline
                        ) { return tell(std::move(config), deadline); },
        .on_withdrawn = [this](ServiceConfig config) { return untell(std::move(config)); },
    }};
};

// How many requests an announcement of a ttl service makes when nothing goes wrong.
constexpr std::size_t kRequests = 3;  // register, has, heartbeat

struct Case {
    std::size_t from;  // this request and so many after it fail
    std::size_t many;
    Fault fault;
    bool is_balancer_broken;
};

std::vector<Case> cases() {
    std::vector<Case> all;
    for (const Fault fault : {Fault::refused, Fault::denied, Fault::lost}) {
        for (std::size_t from = 0; from < kRequests + 4; ++from) {
            for (const std::size_t many : {1U, 2U, 3U, 1000U}) {
                for (const bool is_broken : {false, true}) {
                    all.push_back({from, many, fault, is_broken});
                }
            }
        }
    }
    return all;
}

std::string trace_of(const Case& one) {
    return "from " + std::to_string(one.from) + ", " + std::to_string(one.many) + " times, fault " +
           std::to_string(static_cast<int>(one.fault)) +
           (one.is_balancer_broken ? ", balancer broken" : "");
}

void apply(World& world, const Case& one, std::size_t since) {
    world.is_balancer_broken = one.is_balancer_broken;
    world.registry.fault = [one, since](std::size_t request) {
        const std::size_t at = request - since;
        return at >= one.from && at < one.from + one.many ? one.fault : Fault::none;
    };
}

void heal(World& world) {
    world.registry.fault = nullptr;
    world.is_balancer_broken = false;
    world.loop.run_for(minutes(1));
}

TEST(RegistrarModel, AFaultAtAnyRequestLeavesEitherARegistrationOrNothing) {
    for (const Case& one : cases()) {
        SCOPED_TRACE(trace_of(one));
        World world(sim::seed_for_test(1));
        apply(world, one, 0);
        const auto ticket = world.announce(web(80));
        EXPECT_EQ(world.registrar->size(), ticket ? 1U : 0U);
        if (!ticket) {
            EXPECT_THAT(ticket.error().what, ::testing::HasSubstr("register web-1 failed at "));
            const std::size_t undone = world.registry.count("deregister web-1");
            heal(world);
            // What the error says was undone is not undone again.
            if (ticket.error().what.find("undone: registry") != std::string::npos &&
                ticket.error().what.find("not undone") == std::string::npos) {
                EXPECT_EQ(world.registry.count("deregister web-1"), undone);
            }
            EXPECT_TRUE(world.registry.services.empty());
            EXPECT_EQ(world.registrar->owed(), 0U);
        } else {
            heal(world);
            EXPECT_EQ(world.registry.services.size(), 1U);
            EXPECT_EQ(world.registry.health["web-1"], Health::passing);
            EXPECT_EQ(world.registry.count("deregister web-1"), 0U);
            EXPECT_TRUE(world.untold.empty());
        }
        EXPECT_LE(world.untold.size(), 2U);
    }
}

TEST(RegistrarModel, AFaultWhileReplacingLeavesTheOldOneOrTheNewOne) {
    for (const Case& one : cases()) {
        SCOPED_TRACE(trace_of(one));
        World world(sim::seed_for_test(1));
        const auto old = world.announce(web(80));
        ASSERT_TRUE(old);
        apply(world, one, world.registry.requests);
        const auto replacement = world.announce(web(81));
        EXPECT_EQ(world.registrar->size(), 1U);
        heal(world);
        ASSERT_EQ(world.registry.services.size(), 1U);
        EXPECT_EQ(world.registry.services["web-1"].port, replacement ? 81 : 80);
        EXPECT_EQ(world.registrar->owed(), 0U);
        EXPECT_EQ(world.registry.count("deregister web-1"), 0U);
        // The ticket that counts still does.
        const Registrar::Ticket ticket = replacement ? *replacement : *old;
        EXPECT_TRUE(world.registrar->set_health(ticket, Health::critical, ""));
        EXPECT_TRUE(*sim::run_on(
            world.loop, world.registrar->withdraw(ticket, world.loop.now() + seconds(1))
        ));
        EXPECT_TRUE(world.registry.services.empty());
    }
}

io::Task<void> announce_into(
    Registrar* registrar, ServiceConfig config, Instant deadline, bool* is_over
) {
    auto ticket = co_await registrar->announce(std::move(config), deadline);
    static_cast<void>(ticket);
    *is_over = true;
}

// Destroys the task after each number of turns that it can live, with and without faults.
void cancel_at_every_wait(bool is_replacing) {
    for (const Case& one : cases()) {
        if (one.many == 2) continue;
        bool is_over = false;
        for (int turns = 0; !is_over && turns < 200; ++turns) {
            SCOPED_TRACE(trace_of(one) + ", cancelled after turn " + std::to_string(turns));
            World world(sim::seed_for_test(1));
            if (is_replacing) {
                ASSERT_TRUE(world.announce(web(80)));
            }
            apply(world, one, world.registry.requests);
            {
                io::TaskGroup caller;
                const Instant deadline = world.loop.now() + milliseconds(50);
                caller.spawn(announce_into(&*world.registrar, web(81), deadline, &is_over));
                for (int i = 0; i < turns && !is_over; ++i) {
                    world.loop.turn(world.loop.now() + seconds(1));
                }
            }
            if (is_over) break;
            heal(world);
            ASSERT_EQ(world.registry.services.size(), is_replacing ? 1U : 0U);
            if (is_replacing) {
                ASSERT_EQ(world.registry.services["web-1"].port, 80);
            }
            ASSERT_EQ(world.registrar->owed(), 0U);
        }
    }
}

TEST(RegistrarModel, CancelledAtAnyWaitItLeavesNothing) {
    cancel_at_every_wait(false);
}

TEST(RegistrarModel, CancelledAtAnyWaitAReplacementLeavesTheOldOne) {
    cancel_at_every_wait(true);
}

// --- many at once

struct Operation {
    bool is_announce = false;
    std::string id;
    std::uint16_t port = 0;
    std::optional<Result<>> result{};
};

io::Task<void> perform(Registrar* registrar, Operation* operation, Instant deadline) {
    if (operation->is_announce) {
        ServiceConfig config = web(operation->port, operation->id, operation->port % 2 == 0);
        auto ticket = co_await registrar->announce(std::move(config), deadline);
        operation->result.emplace(ticket ? Result<>(Ok{}) : Result<>(std::move(ticket).error()));
        co_return;
    }
    std::string id = operation->id;
    auto gone = co_await registrar->withdraw_id(std::move(id), deadline);
    operation->result.emplace(std::move(gone));
}

// Operations on one id take effect in the order in which they were begun: replaying them one after
// the other explains every answer and what is there in the end.
void check_as_if_one_after_the_other(
    const std::vector<std::unique_ptr<Operation>>& operations, World& world
) {
    std::map<std::string, std::uint16_t> model;
    for (std::size_t i = 0; i < operations.size(); ++i) {
        const Operation& one = *operations[i];
        SCOPED_TRACE("operation " + std::to_string(i) + " on " + one.id);
        ASSERT_TRUE(one.result.has_value());
        if (one.is_announce) {
            if (*one.result) {
                model[one.id] = one.port;
            } else {
                EXPECT_EQ(one.result->error().code, Code::aborted) << one.result->error().what;
            }
        } else if (*one.result) {
            EXPECT_EQ(model.erase(one.id), 1U) << "withdrew what was not there";
        } else {
            EXPECT_EQ(one.result->error().code, Code::not_found) << one.result->error().what;
            EXPECT_FALSE(model.contains(one.id)) << "did not find what was there";
        }
    }
    std::map<std::string, std::uint16_t> there;
    for (const auto& [id, config] : world.registry.services) there[id] = config.port;
    EXPECT_EQ(there, model);
    EXPECT_EQ(world.registrar->size(), model.size());
}

TEST(RegistrarModel, ManyOperationsOnFewIdsAreAsIfOneAfterTheOther) {
    const std::uint64_t seed = sim::seed_for_test(7);
    for (std::uint64_t round = 0; round < 200; ++round) {
        SCOPED_TRACE(sim::seed_hint(seed) + " round " + std::to_string(round));
        World world(seed + round);
        core::Rng rng(seed * 1000 + round);
        world.registry.delay = [&rng] { return milliseconds(rng.below(20)); };
        std::vector<std::unique_ptr<Operation>> operations;
        io::TaskGroup callers;
        const std::size_t many = 5 + rng.below(60);
        for (std::size_t i = 0; i < many; ++i) {
            operations.push_back(std::make_unique<Operation>(Operation{
                .is_announce = rng.below(5) < 3,
                .id = "web-" + std::to_string(rng.below(3)),
                .port = static_cast<std::uint16_t>(100 + i),
            }));
            const Instant deadline = world.loop.now() + minutes(5);
            callers.spawn(perform(&*world.registrar, operations.back().get(), deadline));
            if (rng.below(2) == 0) world.loop.run_for(milliseconds(rng.below(30)));
        }
        // Heartbeats and read-backs go on in between.
        world.loop.run_for(minutes(2));
        check_as_if_one_after_the_other(operations, world);
    }
}

}  // namespace
}  // namespace datapunk::mesh::internal
