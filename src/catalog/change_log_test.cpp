#include "catalog/change_log.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cstdlib>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "catalog/catalog.h"
#include "catalog/test_support.h"
#include "core/rng.h"

namespace datapunk::mesh::catalog {
namespace {

using testing::ElementsAre;

std::vector<std::string> ids_since(const ChangeLog& log, std::uint64_t index) {
    std::vector<std::string> ids;
    log.for_each_since(index, [&](const ChangeLog::Entry& entry) { ids.push_back(entry.id); });
    return ids;
}

TEST(ChangeLog, TellsWhatCameAfterAnIndex) {
    ChangeLog log(5);
    log.note(6, "n1", "a", 3);
    log.note(6, "n1", "b", 3);
    log.note(9, "n1", "a", 3);
    log.note(9, "n1", "a", 3);  // said once
    EXPECT_TRUE(log.reaches(5));
    EXPECT_FALSE(log.reaches(4));
    EXPECT_THAT(ids_since(log, 5), ElementsAre("a", "b", "a"));
    EXPECT_THAT(ids_since(log, 6), ElementsAre("a"));
    EXPECT_THAT(ids_since(log, 9), ElementsAre());
}

TEST(ChangeLog, ForgetsTheOldestAndSaysSo) {
    ChangeLog log;
    constexpr std::size_t kInstances = 10'000;
    for (std::uint64_t index = 1; index <= 2000; ++index) {
        log.note(index, "n1", fmt::format("i{}", index), kInstances);
        log.note(index, "n2", fmt::format("i{}", index), kInstances);
        ASSERT_LE(log.size(), ChangeLog::kKeptMax);
        // What it says it has is all there.
        std::uint64_t reach = index;
        while (reach > 0 && log.reaches(reach - 1)) --reach;
        ASSERT_EQ(ids_since(log, reach).size(), 2 * (index - reach));
    }
    EXPECT_FALSE(log.reaches(0));
    EXPECT_TRUE(log.reaches(2000 - 300));
}

TEST(ChangeLog, OfASmallServiceIsShort) {
    ChangeLog log;
    for (std::uint64_t index = 1; index <= 1000; ++index) log.note(index, "n1", "a", 4);
    EXPECT_LE(log.size(), 17U);
}

// Instances by node and id, and all that health/service shows of them.
using View = std::map<std::pair<std::string, std::string>, std::string>;

std::string show(const InstanceRef& ref) {
    const ServiceRow& row = ref.instance->row;
    std::string out = fmt::format(
        "{} {} {} {} {}",
        ref.node->row.address,
        row.name,
        row.port,
        fmt::join(row.tags, ","),
        row.index.modified
    );
    const auto add = [&](const CheckMap& checks) {
        for (const auto& [id, check] : checks) {
            out += fmt::format(" {}:{}:{}", id, to_string(check.status), check.index.modified);
        }
    };
    add(ref.node->checks);
    add(ref.instance->checks);
    return out;
}

View whole(const Catalog& catalog, const std::string& name) {
    View out;
    for (const InstanceRef& ref : catalog.health_service(name).data) {
        out[{ref.node->row.name, ref.instance->row.id}] = show(ref);
    }
    return out;
}

// Every kind of command that a health query can see the effect of.
class History {
  public:
    explicit History(std::uint64_t seed) : rng_(seed) {}

    Command next() {
        const std::string id = pick("i", 40);
        const std::string node = pick("n", 3);
        const Health health = static_cast<Health>(rng_.below(3));
        switch (rng_.below(12)) {
            case 0:
            case 1:
            case 2:
            case 3: {
                RegisterService command = with_check(web(id), ttl_check("c" + id));
                command.service.name = pick("s", 2);
                command.service.port = static_cast<std::uint16_t>(80 + rng_.below(2));
                if (rng_.chance(0.3)) command.service.tags = {"v2"};
                command.replace_existing_checks = rng_.chance(0.5);
                if (rng_.chance(0.3)) command.checks.clear();
                return command;
            }
            case 4:
                return DeregisterService{id};
            case 5:
            case 6:
                return status("c" + id, health);
            case 7:
                return ServiceMaintenance{
                    .service_id = id, .enable = rng_.chance(0.5), .reason = {}
                };
            case 8:
                return NodeMaintenance{.enable = rng_.chance(0.5), .reason = {}};
            case 9:
                return DeregisterCheck{"c" + id};
            case 10: {
                CatalogRegister command;
                command.node = {.name = node, .address = pick("10.0.0.", 2)};
                command.service = web(id).service;
                command.service->name = pick("s", 2);
                if (rng_.chance(0.3)) command.service.reset();
                return command;
            }
            default: {
                CatalogDeregister command{.node = node, .service_id = {}, .check_id = {}};
                if (rng_.chance(0.7)) command.service_id = id;
                return command;
            }
        }
    }

    std::string pick(std::string_view prefix, std::uint64_t of) {
        return fmt::format("{}{}", prefix, rng_.below(of));
    }

    core::Rng& rng() { return rng_; }

  private:
    core::Rng rng_;
};

// What somebody read, and when.
struct Known {
    std::uint64_t index;
    View view;
};

TEST(HealthChanges, AlwaysLeadFromTheOldAnswerToTheNewOne) {
    const char* given = std::getenv("SEED");
    const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : 20261122;
    SCOPED_TRACE(fmt::format("SEED={}", seed));
    History history(seed);
    Catalog catalog;
    ASSERT_TRUE(catalog.apply(local_node()).ok());
    std::map<std::string, std::vector<Known>> readers;
    std::size_t told = 0;
    std::size_t untold = 0;
    for (int step = 0; step < 1200; ++step) {
        (void)catalog.apply(history.next()).ok();
        if (history.rng().chance(0.002)) {
            auto again = Catalog::decode_state(catalog.encode_state());
            ASSERT_TRUE(again.ok());
            catalog = *std::move(again);
        }
        if (history.rng().chance(0.001)) {
            ASSERT_TRUE(catalog.apply(RestoreState{catalog.encode_state()}).ok());
        }
        for (const std::string name : {"s0", "s1"}) {
            const View now = whole(catalog, name);
            const std::uint64_t index = catalog.health_service(name).index;
            std::vector<Known>& known = readers[name];
            for (const Known& reader : known) {
                const auto changes = catalog.health_changes(name, reader.index);
                ++(changes ? told : untold);
                if (!changes) continue;
                View patched = reader.view;
                for (const InstanceRef& ref : changes->changed) {
                    patched[{ref.node->row.name, ref.instance->row.id}] = show(ref);
                }
                for (const auto& [node, id] : changes->gone) {
                    patched.erase({std::string(node), std::string(id)});
                }
                ASSERT_EQ(patched, now) << "step " << step << " since " << reader.index;
            }
            if (history.rng().chance(0.3)) known.push_back({index, now});
            if (known.size() > 8) known.erase(known.begin());
        }
    }
    EXPECT_GT(told, 2'000U);
    EXPECT_GT(untold, 30U);
}

TEST(HealthChanges, OfWhatIsNotThereOrNotYetAreUnknown) {
    Catalog catalog;
    ASSERT_TRUE(catalog.apply(local_node()).ok());
    ASSERT_TRUE(catalog.apply(web("a")).ok());
    const std::uint64_t index = catalog.health_service("web").index;
    EXPECT_FALSE(catalog.health_changes("other", 1));
    EXPECT_FALSE(catalog.health_changes("web", index + 1));  // from the future
    EXPECT_FALSE(catalog.health_changes("web", index - 1));  // before it was there
    ASSERT_TRUE(catalog.health_changes("web", index));
    EXPECT_TRUE(catalog.health_changes("web", index)->changed.empty());
}

TEST(HealthChanges, BeginAnewAfterARestore) {
    Catalog catalog;
    ASSERT_TRUE(catalog.apply(local_node()).ok());
    ASSERT_TRUE(catalog.apply(web("a")).ok());
    const std::uint64_t before = catalog.health_service("web").index;
    ASSERT_TRUE(catalog.apply(RestoreState{catalog.encode_state()}).ok());
    EXPECT_FALSE(catalog.health_changes("web", before));
    EXPECT_TRUE(catalog.health_changes("web", catalog.health_service("web").index));
}

}  // namespace
}  // namespace datapunk::mesh::catalog
