#include "registry/breaker_backend.h"

#include <gmock/gmock.h>

#include "metrics/exposition.h"
#include "sim/run.h"
#include "sim/sim_loop.h"

namespace datapunk::mesh::registry {
namespace {

using namespace std::chrono_literals;
using resilience::BreakerState;
using testing::HasSubstr;

// Answers as it is told to; a question with an index waits for its whole time.
class Scripted final : public Backend {
  public:
    struct State {
        std::optional<Code> fails_with;
        int asked = 0;
        std::vector<std::uint64_t> afters;
        Duration takes = 1ms;
    };

    Scripted(io::Loop& loop, State& state) : loop_(loop), state_(state) {}

    std::string_view kind() const noexcept override { return "scripted"; }

    Capabilities capabilities() const noexcept override { return {.knows_health = false}; }

    io::Task<Result<>> register_service(ServiceConfig, Instant) override {
        auto done = co_await answer(state_.takes);
        co_return std::move(done);
    }

    io::Task<Result<>> deregister_service(std::string, Instant) override {
        auto done = co_await answer(state_.takes);
        co_return std::move(done);
    }

    io::Task<Result<bool>> has_service(std::string, Instant) override {
        auto done = co_await answer(state_.takes);
        if (!done) co_return std::move(done).error();
        co_return true;
    }

    io::Task<Result<>> heartbeat(std::string, Health, std::string, Instant) override {
        auto done = co_await answer(state_.takes);
        co_return std::move(done);
    }

    io::Task<Result<Answer>> wait(std::string, std::uint64_t after, Duration longest, Instant)
        override {
        state_.afters.push_back(after);
        const Duration takes = after > 0 ? longest : state_.takes;
        auto done = co_await answer(takes);
        if (!done) co_return std::move(done).error();
        co_return Answer{.index = 7};
    }

    io::Task<Result<std::vector<ServiceSummary>>> services(Instant) override {
        auto done = co_await answer(state_.takes);
        if (!done) co_return std::move(done).error();
        co_return std::vector<ServiceSummary>();
    }

  private:
    io::Task<Result<>> answer(Duration takes) {
        ++state_.asked;
        co_await io::sleep_for(loop_, takes);
        if (state_.fails_with) co_return Error{.code = *state_.fails_with, .what = "as told"};
        co_return Ok{};
    }

    io::Loop& loop_;
    State& state_;
};

class BreakerBackendTest : public testing::Test {
  public:
    static constexpr CircuitBreakerConfig kConfig{
        .consecutive = 3, .open_for = 1s, .open_max = 8s, .half_open_probes = 1
    };

    Result<> services() {
        auto result = sim::run_on(loop, breaker.services(loop.now() + 5s));
        if (!result->ok()) return result->error();
        return Ok{};
    }

    Result<Answer> wait(std::uint64_t after, Duration longest) {
        const Instant deadline = loop.now() + longest + 5s;
        return *sim::run_on(loop, breaker.wait("web", after, longest, deadline), 10min);
    }

    void open() {
        registry.fails_with = Code::unavailable;
        for (int i = 0; i < 3; ++i) EXPECT_FALSE(services());
        EXPECT_EQ(breaker.state(), BreakerState::open);
    }

    std::string metrics_text() {
        return metrics::expose(metrics.snapshot(), metrics::ExpositionFormat::prometheus);
    }

    sim::SimLoop loop{sim::seed_for_test(1)};
    metrics::MetricRegistry metrics;
    Scripted::State registry;
    BreakerBackend breaker{
        loop, std::make_unique<Scripted>(loop, registry), kConfig, metrics, core::Logger()
    };
};

TEST_F(BreakerBackendTest, PassesOnWhatTheRegistryIs) {
    EXPECT_EQ(breaker.kind(), "scripted");
    EXPECT_FALSE(breaker.capabilities().knows_health);
}

TEST_F(BreakerBackendTest, ARegistryThatFailsIsNotHammered) {
    open();
    EXPECT_EQ(registry.asked, 3);
    for (int i = 0; i < 100; ++i) {
        const auto refused = services();
        ASSERT_FALSE(refused);
        EXPECT_EQ(refused.error().code, Code::unavailable);
        EXPECT_TRUE(refused.error().retryable);
        EXPECT_EQ(refused.error().source, Source::registry);
        EXPECT_THAT(refused.error().what, HasSubstr("scripted is not asked"));
    }
    EXPECT_FALSE(*sim::run_on(loop, breaker.register_service({}, loop.now() + 1s)));
    EXPECT_FALSE(*sim::run_on(loop, breaker.deregister_service("a", loop.now() + 1s)));
    EXPECT_FALSE(*sim::run_on(loop, breaker.has_service("a", loop.now() + 1s)));
    EXPECT_FALSE(*sim::run_on(loop, breaker.heartbeat("a", Health::passing, "", loop.now() + 1s)));
    EXPECT_FALSE(wait(0, 0s));
    EXPECT_EQ(registry.asked, 3);
    EXPECT_THAT(metrics_text(), HasSubstr("mesh_registry_breaker_state{registry=\"scripted\"} 2"));
    EXPECT_THAT(
        metrics_text(), HasSubstr("mesh_registry_requests_refused_total{registry=\"scripted\"} 105")
    );
}

TEST_F(BreakerBackendTest, OneProbeAfterAnotherUntilOneSucceeds) {
    open();
    loop.run_for(1s);
    EXPECT_FALSE(services());  // the probe; it fails
    EXPECT_EQ(registry.asked, 4);
    EXPECT_FALSE(services());
    EXPECT_EQ(registry.asked, 4);
    registry.fails_with.reset();
    loop.run_for(2s);  // doubled
    EXPECT_TRUE(services());
    EXPECT_EQ(breaker.state(), BreakerState::closed);
    EXPECT_TRUE(services());
    EXPECT_THAT(
        metrics_text(),
        HasSubstr("mesh_registry_breaker_transitions_total{registry=\"scripted\",to=\"closed\"} 1")
    );
}

TEST_F(BreakerBackendTest, ARegistryThatSaysNoAnswers) {
    for (const Code code : {Code::not_found, Code::denied, Code::invalid, Code::conflict}) {
        registry.fails_with = code;
        for (int i = 0; i < 10; ++i) EXPECT_EQ(services().error().code, code);
    }
    EXPECT_EQ(breaker.state(), BreakerState::closed);
}

TEST_F(BreakerBackendTest, SilenceAndOverloadCountAsFailures) {
    for (const Code code : {Code::timeout, Code::exhausted, Code::internal}) {
        registry.fails_with = code;
        for (int i = 0; i < 3; ++i) EXPECT_FALSE(services());
        EXPECT_EQ(breaker.state(), BreakerState::open) << to_string(code);
        registry.fails_with.reset();
        loop.run_for(1min);
        EXPECT_TRUE(services());
    }
}

TEST_F(BreakerBackendTest, ABlockingQueryIsAnsweredAtOnceWhileTheBreakerProbes) {
    open();
    registry.fails_with.reset();
    loop.run_for(1s);
    const Instant begun = loop.now();
    ASSERT_TRUE(wait(7, 30s));
    EXPECT_LT(loop.now() - begun, 1s);
    EXPECT_EQ(registry.afters.back(), 0U);
    EXPECT_EQ(breaker.state(), BreakerState::closed);
    const Instant again = loop.now();
    ASSERT_TRUE(wait(7, 30s));
    EXPECT_GE(loop.now() - again, 30s);
    EXPECT_EQ(registry.afters.back(), 7U);
}

TEST_F(BreakerBackendTest, ABlockingQueryFromBeforeSaysNothingAboutNow) {
    std::optional<Result<Answer>> late;
    const auto keep = [](BreakerBackend* from, Instant deadline, std::optional<Result<Answer>>* out
                      ) -> io::Task<void> {
        const std::string name = "web";
        auto answer = co_await from->wait(name, 7, 30s, deadline);
        out->emplace(std::move(answer));
    };
    io::TaskGroup tasks;
    tasks.spawn(keep(&breaker, loop.now() + 1min, &late));
    open();
    registry.fails_with.reset();
    loop.run_for(1s);
    registry.takes = 1min;  // the probe
    tasks.spawn(keep(&breaker, loop.now() + 2min, &late));
    loop.run_for(29s);
    ASSERT_TRUE(late);
    EXPECT_TRUE(*late);
    EXPECT_EQ(breaker.state(), BreakerState::half_open);
}

TEST_F(BreakerBackendTest, AProbeThatIsCancelledGivesItsPlaceBack) {
    open();
    registry.fails_with.reset();
    loop.run_for(1s);
    registry.takes = 1s;
    EXPECT_FALSE(sim::run_on(loop, breaker.services(loop.now() + 5s), 100ms));  // destroyed
    EXPECT_EQ(breaker.state(), BreakerState::half_open);
    EXPECT_TRUE(services());
    EXPECT_EQ(breaker.state(), BreakerState::closed);
}

TEST_F(BreakerBackendTest, WhatWeGaveUpOurselvesIsNoVerdict) {
    registry.fails_with = Code::aborted;
    for (int i = 0; i < 10; ++i) EXPECT_FALSE(services());
    EXPECT_EQ(breaker.state(), BreakerState::closed);
    open();
    loop.run_for(1s);
    registry.fails_with = Code::aborted;
    EXPECT_FALSE(services());
    registry.fails_with.reset();
    EXPECT_TRUE(services());
}

}  // namespace
}  // namespace datapunk::mesh::registry
