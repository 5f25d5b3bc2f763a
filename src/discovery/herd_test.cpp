// Many at once: processes that come back to a registry after an outage, and a storm of changes.

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "core/strings.h"
#include "discovery/fake_registry.h"
#include "discovery/service_discovery.h"
#include "sim/run.h"
#include "sim/sim_loop.h"

namespace datapunk::mesh::discovery {
namespace {

using namespace std::chrono_literals;

class Herd : public testing::Test {
  public:
    void put(const std::string& id, const std::string& service = "api") {
        registry.put({.id = id, .service = service, .host = "10.0.0.1", .port = 80});
    }

    // When the questions that are answered at once came, from `since` on.
    std::vector<Duration> arrivals(Instant since) {
        std::vector<Duration> out;
        for (const std::string& line : registry.trace) {
            const auto words = core::split(line, ' ');
            const Instant at{Duration(*core::parse_number<std::int64_t>(words[0]))};
            if (at >= since && words[2] == "0") out.push_back(at - since);
        }
        return out;
    }

    static std::size_t most_in(const std::vector<Duration>& arrivals, Duration window) {
        std::map<std::int64_t, std::size_t> counts;
        std::size_t most = 0;
        for (const Duration at : arrivals) most = std::max(most, ++counts[at / window]);
        return most;
    }

    sim::SimLoop loop{sim::seed_for_test(1)};
    FakeRegistry registry{loop};
};

TEST_F(Herd, AThousandProcessesDoNotReturnToTheRegistryTogether) {
    constexpr std::size_t kProcesses = 1'000;
    put("a");
    std::vector<std::unique_ptr<ServiceDiscovery>> processes;
    std::vector<Watch> watches;
    for (std::size_t i = 0; i < kProcesses; ++i) {
        processes.push_back(std::make_unique<ServiceDiscovery>(
            loop, registry, ServiceDiscoveryConfig{}, core::Logger()
        ));
        watches.push_back(*processes.back()->watch("api", [](const EndpointChange&) {}));
    }
    loop.run_for(10s);
    registry.set_down(true);
    loop.run_for(10min);
    registry.trace.clear();
    registry.set_down(false);
    const Instant back = loop.now();
    loop.run_for(35s);
    const auto came = arrivals(back);
    EXPECT_EQ(came.size(), kProcesses)
        << "all are back within the longest pause, each with one question";
    // Evenly, 1,000 in 30 s are 3.3 in a tenth of a second; a herd would be 1,000 in one.
    EXPECT_LE(most_in(came, 100ms), 20U);
    EXPECT_LE(most_in(came, 1s), 70U);
    EXPECT_TRUE(std::all_of(processes.begin(), processes.end(), [](const auto& one) {
        return one->stats().registry_up;
    }));
}

TEST_F(Herd, AProcessWithAThousandServicesAsksForThemOverTime) {
    ServiceDiscovery discovery(loop, registry, {}, core::Logger());
    std::vector<Watch> watches;
    for (int i = 0; i < 1'000; ++i) {
        const std::string name = fmt::format("s{}", i);
        put("e-" + name, name);
        watches.push_back(*discovery.watch(name, [](const EndpointChange&) {}));
    }
    loop.run_for(10s);
    registry.set_down(true);
    loop.run_for(10min);
    registry.trace.clear();
    registry.set_down(false);
    const Instant back = loop.now();
    loop.run_for(35s);
    const auto came = arrivals(back);
    EXPECT_GE(came.size(), 1'000U);
    // The first answer wakes the others; 2 ms apart on average.
    EXPECT_LE(most_in(came, 100ms), 100U);
    EXPECT_EQ(discovery.stats().failing, 0U);
}

TEST_F(Herd, AStormOfRegistrationsReachesTheWatcherWholeAndInFewQuestions) {
    ServiceDiscovery discovery(loop, registry, {}, core::Logger());
    std::size_t calls = 0;
    EndpointSetPtr last;
    const Watch watch = *discovery.watch("api", [&](const EndpointChange& change) {
        ++calls;
        last = change.all;
    });
    loop.run_for(1s);
    const int before = registry.queries["api"];
    for (int i = 0; i < 10'000; ++i) {
        put(fmt::format("e{:05}", i));
        loop.run_for(1ms);
    }
    loop.run_for(1s);
    ASSERT_NE(last, nullptr);
    EXPECT_EQ(last->endpoints.size(), 10'000U);
    EXPECT_LE(registry.queries["api"] - before, 115) << "ten a second";
    EXPECT_LE(calls, 115U);
}

TEST_F(Herd, AnEmptyAnswerOfARegistryThatMayNotKnowIsHeldLonger) {
    registry.can.empty_is_authoritative = false;
    ServiceDiscoveryConfig config;
    config.reset_grace = 30s;
    ServiceDiscovery discovery(loop, registry, config, core::Logger());
    put("a");
    EndpointSetPtr last;
    const Watch watch =
        *discovery.watch("api", [&](const EndpointChange& change) { last = change.all; });
    loop.run_for(1s);
    registry.clear("api");
    loop.run_for(config.removal_grace + 10s);
    EXPECT_EQ(last->endpoints.size(), 1U);
    loop.run_for(30s);
    EXPECT_EQ(last->endpoints.size(), 0U) << "confirmed";
}

}  // namespace
}  // namespace datapunk::mesh::discovery
