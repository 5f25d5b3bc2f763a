// Whatever a registry goes through: in the end a watcher knows what the registry knows, and the
// differences it was told add up to that.

#include <gmock/gmock.h>

#include "discovery/endpoint_diff.h"
#include "discovery/fake_registry.h"
#include "discovery/service_discovery.h"
#include "sim/run.h"
#include "sim/sim_loop.h"

namespace datapunk::mesh::discovery {
namespace {

using namespace std::chrono_literals;

constexpr int kServices = 3;
constexpr int kIds = 12;
constexpr int kRuns = 200;

std::string name_of(std::uint64_t service) {
    return fmt::format("s{}", service);
}

// Keeps the set that follows from the differences alone, and checks them against each other.
class Ledger {
  public:
    ChangeCallback writer() {
        return [this](const EndpointChange& change) { write(change); };
    }

    std::vector<ServiceEndpoint> endpoints() const {
        std::vector<ServiceEndpoint> out;
        for (const auto& [id, endpoint] : known_) out.push_back(endpoint);
        return out;
    }

    int changes = 0;

  private:
    void write(const EndpointChange& change) {
        const bool is_empty =
            change.added.empty() && change.removed.empty() && change.changed.empty();
        EXPECT_TRUE(changes == 0 || !is_empty) << "told of no change";
        ++changes;
        for (const ServiceEndpoint& one : change.removed) EXPECT_EQ(known_.erase(one.id), 1U);
        for (const ServiceEndpoint& one : change.added) {
            EXPECT_TRUE(known_.emplace(one.id, one).second);
        }
        for (const ServiceEndpoint& one : change.changed) {
            const auto found = known_.find(one.id);
            ASSERT_NE(found, known_.end());
            EXPECT_FALSE(is_same(found->second, one));
            found->second = one;
        }
        EXPECT_TRUE(is_same(endpoints(), change.all->endpoints));
        EXPECT_GT(change.all->generation, generation_);
        generation_ = change.all->generation;
    }

    std::map<std::string, ServiceEndpoint> known_;
    std::uint64_t generation_ = 0;
};

class World {
  public:
    explicit World(std::uint64_t seed)
        : rng(seed), loop(seed), registry(loop), discovery(loop, registry, {}, core::Logger()) {}

    void live(int events) {
        std::vector<Watch> passing;  // watchers that come and go
        for (int i = 0; i < kServices; ++i) {
            watches.push_back(*discovery.watch(
                name_of(static_cast<std::uint64_t>(i)),
                ledgers[static_cast<std::size_t>(i)].writer()
            ));
        }
        for (int i = 0; i < events; ++i) {
            happen(passing);
            const std::uint64_t pause_ms = rng.chance(0.1) ? rng.below(20'000) : rng.below(300);
            loop.run_for(std::chrono::milliseconds(pause_ms));
        }
        registry.is_down = registry.is_silent = registry.is_lying = registry.never_blocks = false;
        registry.set_down(false);
        passing.clear();
        loop.run_for(5min);
    }

    core::Rng rng;
    sim::SimLoop loop;
    FakeRegistry registry;
    ServiceDiscovery discovery;
    Ledger ledgers[kServices];
    std::vector<Watch> watches;
    io::TaskGroup asking;

  private:
    void happen(std::vector<Watch>& passing) {
        const std::string service = name_of(rng.below(kServices));
        const std::string id = fmt::format("e{:02}", rng.below(kIds));
        switch (rng.below(16)) {
            case 0:
                registry.wipe();
                break;
            case 1:
                registry.set_down(!registry.is_down);
                break;
            case 2:
                registry.is_silent = rng.chance(0.1);
                break;
            case 3:
                registry.is_lying = rng.chance(0.2);
                break;
            case 4:
                registry.never_blocks = rng.chance(0.3);
                break;
            case 5:
                registry.clear(service);
                break;
            case 6:
                discovery.invalidate(service);
                break;
            case 7:
                registry.remove(service, id);
                discovery.note_deregistered(service, id);
                break;
            case 8:
                passing.push_back(*discovery.watch(service, [](const EndpointChange&) {}));
                break;
            case 9:
                passing.clear();
                break;
            case 10:
                asking.spawn(ask(&discovery, service, rng.chance(0.5), loop.now() + 5s));
                break;
            case 11:
                registry.remove(service, id);
                break;
            default:
                put(service, id);
        }
    }

    void put(const std::string& service, const std::string& id) {
        registry.put(
            {.id = id,
             .service = service,
             .host = "10.0.0.1",
             .port = static_cast<std::uint16_t>(1 + rng.below(3)),
             .health = rng.chance(0.2) ? Health::critical : Health::passing}
        );
    }

    static io::Task<void> ask(
        ServiceDiscovery* from, std::string name, bool use_cache, Instant deadline
    ) {
        auto ignored = co_await from->discover(std::move(name), use_cache, deadline);
    }
};

TEST(DiscoveryChurn, InTheEndWatchersKnowWhatTheRegistryKnows) {
    const std::uint64_t first = sim::seed_for_test(1);
    int changes = 0;
    int patches = 0;
    for (std::uint64_t seed = first; seed < first + kRuns; ++seed) {
        SCOPED_TRACE(sim::seed_hint(seed));
        World world(seed);
        world.registry.tells_patches = seed % 2 == 0;
        world.live(400);
        patches += world.registry.patches;
        EXPECT_EQ(world.registry.most_at_once, 1U);
        for (std::uint64_t i = 0; i < kServices; ++i) {
            changes += world.ledgers[i].changes;
            EXPECT_TRUE(is_same(world.ledgers[i].endpoints(), world.registry.of(name_of(i))));
        }
        EXPECT_TRUE(world.asking.empty());
        if (HasFailure()) return;
    }
    EXPECT_GT(changes, kRuns * 30);  // it was not a quiet life
    EXPECT_GT(patches, kRuns * 30);
}

TEST(DiscoveryChurn, TheSameSeedAsksTheSameQuestionsAtTheSameTimes) {
    const std::uint64_t seed = sim::seed_for_test(7);
    SCOPED_TRACE(sim::seed_hint(seed));
    World first(seed);
    first.live(300);
    World second(seed);
    second.live(300);
    EXPECT_GT(first.registry.trace.size(), 300U);
    EXPECT_EQ(first.registry.trace, second.registry.trace);
    World other(seed + 1);
    other.live(300);
    EXPECT_NE(first.registry.trace, other.registry.trace);
}

}  // namespace
}  // namespace datapunk::mesh::discovery
