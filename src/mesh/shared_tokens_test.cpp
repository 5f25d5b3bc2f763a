#include "mesh/shared_tokens.h"

#include <gmock/gmock.h>

#include <memory>
#include <optional>
#include <vector>

#include "io/epoll_loop.h"
#include "io/tcp.h"
#include "metrics/exposition.h"
#include "policy/test_service.h"
#include "redis/fake_redis.h"
#include "redis/test_redis_server.h"
#include "sim/run.h"
#include "sim/sim_world.h"

namespace datapunk::mesh::internal {
namespace {

using namespace std::chrono_literals;
using policy::Outcome;
using testing::HasSubstr;
using testing::Not;

ServicePolicy sharing() {
    ServicePolicy policy{.outlier = {.enabled = false}};
    policy.breaker.enabled = false;
    policy.retry.attempts = 2;
    policy.retry.backoff = {.base = Duration::zero(), .max = Duration::zero()};
    policy.retry.budget = {.ratio = 0, .min_per_second = 2, .shared = true};
    return policy;
}

// A call that fails and may be tried again: was it?
bool is_retried(policy::ServicePolicies& service, Instant now) {
    policy::CallState call = policy::call_at(now);
    auto begun = service.begin_attempt(call, now);
    service.finish_attempt(
        std::move(std::get<policy::HeldEndpoint>(begun)), Outcome::server_error, now
    );
    return static_cast<bool>(
        service.after_attempt(call, {.outcome = Outcome::server_error, .idempotent = true}, now)
    );
}

TEST(RealSharedTokens, AnOutageIsRetriedByAllTogetherNoMoreThanOneMayAlone) {
    if (!redis::TestRedisServer::is_wanted()) GTEST_SKIP() << "PEERS=0";
    const auto owner = *io::EpollLoop::create();
    io::EpollLoop& loop = *owner;
    io::KernelNetwork network(loop);
    redis::TestRedisServer server(io::random_seed());
    struct Process {
        metrics::MetricRegistry metrics{};
        policy::ServicePolicies service{"api_service", sharing(), 1};
        std::unique_ptr<SharedTokens> shared;
    };
    std::vector<std::unique_ptr<Process>> processes;
    for (int i = 0; i < 3; ++i) {
        auto& process = *processes.emplace_back(std::make_unique<Process>());
        process.service.update(policy::test_set(2), loop.now());
        process.shared = *SharedTokens::create(
            network,
            {.host = "127.0.0.1", .port = server.port(), .prefix = "t:"},
            process.metrics,
            core::Logger()
        );
    }
    const Instant begun = loop.now();
    const auto until = [&](auto is_done) {
        while (loop.now() < begun + 20s) {
            if (is_done()) return true;
            for (const auto& process : processes) {
                const std::vector<policy::ServicePolicies*> services = {&process->service};
                process->shared->tick(services);
            }
            loop.turn(loop.now() + 10ms);
        }
        return false;
    };
    const auto are_together = [&] {
        for (const auto& process : processes) {
            if (resilience::is_alone(process->service.shared_slices().at(0).second)) return false;
        }
        return true;
    };
    ASSERT_TRUE(until(are_together));
    int retries = 0;
    ASSERT_TRUE(until([&] {
        for (const auto& process : processes) {
            while (is_retried(process->service, loop.now())) ++retries;
        }
        return retries >= 20;
    }));
    // 2 a second over 10 s, and what each began with or filled in before it was connected.
    const double elapsed = std::chrono::duration<double>(loop.now() - begun).count();
    EXPECT_LE(retries, 20 + 3 * 2 + static_cast<int>(3 * 2 * elapsed)) << elapsed;
    const auto text = [&] {
        return metrics::expose(
            processes[0]->metrics.snapshot(), metrics::ExpositionFormat::prometheus
        );
    };
    const auto says = [&](const std::string& line) {
        return until([&] { return text().find(line + "\n") != std::string::npos; });
    };
    EXPECT_TRUE(says("mesh_shared_tokens_up 1"));
    EXPECT_THAT(text(), Not(HasSubstr("mesh_shared_tokens_exchanges_total{result=\"ok\"} 0\n")));
    // Down: nobody waits, and everybody has a part.
    server.kill();
    ASSERT_TRUE(until([&] {
        return resilience::is_alone(processes[0]->service.shared_slices().at(0).second) &&
               is_retried(processes[0]->service, loop.now());
    }));
    EXPECT_TRUE(says("mesh_shared_tokens_up 0"));
}

TEST(SharedTokens, AServiceThatDoesNotShareNeedsNoRedis) {
    sim::SimWorld world{sim::seed_for_test(1)};
    redis::FakeRedis fake{world.host("10.0.0.2"), *io::parse_ip("10.0.0.2", 6379)};
    metrics::MetricRegistry metrics;
    policy::ServicePolicies alone("alone", {}, 2);
    EXPECT_TRUE(alone.shared_slices().empty());
    auto quiet = SharedTokens::create(
        world.host("10.0.0.3"), {.host = "10.0.0.2", .prefix = "t:"}, metrics, core::Logger()
    );
    ASSERT_TRUE(quiet);
    const std::vector<policy::ServicePolicies*> all = {&alone};
    (*quiet)->tick(all);
    world.loop().run_for(5s);
    EXPECT_EQ(fake.sessions(), 0U);
}

}  // namespace
}  // namespace datapunk::mesh::internal
