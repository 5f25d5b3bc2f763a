#include "discovery/snapshot.h"

#include <gmock/gmock.h>

#include <cerrno>
#include <filesystem>

#include "discovery/endpoint_diff.h"
#include "discovery/fake_registry.h"
#include "discovery/service_discovery.h"
#include "io/epoll_loop.h"
#include "sim/run.h"
#include "sim/sim_files.h"
#include "sim/sim_loop.h"

namespace datapunk::mesh::discovery {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kFile = "/var/lib/dpmesh/sets";

ServiceEndpoint endpoint(const std::string& id, const std::string& service = "api") {
    return {
        .id = id,
        .service = service,
        .host = "2001:db8::1",
        .port = 65535,
        .weight = 3,
        .tags = {"v1", "a \"b\" <c>"},
        .metadata = {{"zone", "ä"}, {"empty", ""}},
        .node = "n1",
        .health = Health::critical
    };
}

AgedSet aged(const std::string& service, const std::vector<std::string>& ids, Duration age = 0s) {
    auto set = std::make_shared<EndpointSet>();
    set->service = service;
    set->index = 42;
    for (const std::string& id : ids) set->endpoints.push_back(endpoint(id, service));
    return {.set = std::move(set), .age = age};
}

Snapshot two_services() {
    return {
        .saved_at = WallTime(1'700'000'000'123ms),
        .sets = {aged("api", {"a", "b"}, 1500ms), aged("web", {"w"})}
    };
}

TEST(SetCodec, WhatIsWrittenReadsTheSame) {
    const AgedSet one = aged("api", {"a", "b"}, 90s);
    const auto read = decode_set(encode_set(*one.set, one.age));
    ASSERT_TRUE(read) << read.error().what;
    EXPECT_EQ(read->set->endpoints, one.set->endpoints);
    EXPECT_EQ(read->set->service, "api");
    EXPECT_EQ(read->set->index, 42U);
    EXPECT_EQ(read->age, 90s);
}

TEST(SetCodec, TheHashIsTheContents) {
    const auto base = aged("api", {"a", "b"}).set->endpoints;
    const std::uint64_t hash = content_hash(base);
    EXPECT_EQ(content_hash(aged("api", {"a", "b"}).set->endpoints), hash);
    EXPECT_EQ(hash, 0x740556b0f93bf55bU) << "other versions must find the same";
    const auto differs = [&](const auto& change) {
        auto other = base;
        change(other[1]);
        return content_hash(other) != hash && !is_same(other, base);
    };
    EXPECT_TRUE(differs([](auto& e) { e.id += "x"; }));
    EXPECT_TRUE(differs([](auto& e) { e.host = "h"; }));
    EXPECT_TRUE(differs([](auto& e) { e.port = 1; }));
    EXPECT_TRUE(differs([](auto& e) { e.weight = 1; }));
    EXPECT_TRUE(differs([](auto& e) { e.tags.pop_back(); }));
    EXPECT_TRUE(differs([](auto& e) { e.metadata["zone"] = "b"; }));
    EXPECT_TRUE(differs([](auto& e) { e.node = ""; }));
    EXPECT_TRUE(differs([](auto& e) { e.health = Health::passing; }));
    auto checked_later = base;
    checked_later[0].last_check = WallTime(1s);
    EXPECT_EQ(content_hash(checked_later), hash);
}

TEST(SetCodec, RefusesWhatIsNoSet) {
    const std::string good = encode_set(*aged("api", {"a"}).set, 0s);
    ASSERT_TRUE(decode_set(good));
    const auto with = [&](const std::string& from, const std::string& to) {
        std::string text = good;
        const std::size_t at = text.find(from);
        EXPECT_NE(at, std::string::npos) << from;
        text.replace(at, from.size(), to);
        const auto read = decode_set(text);
        return read ? std::string("accepted") : read.error().what;
    };
    EXPECT_THAT(with("\"v\":1", "\"v\":2"), HasSubstr("v is not"));
    EXPECT_THAT(with("\"service\":\"api\"", "\"service\":\"\""), HasSubstr("service is empty"));
    EXPECT_THAT(with("\"index\":42", "\"index\":-1"), HasSubstr("index is not"));
    EXPECT_THAT(with("\"age_ms\":0", "\"age_ms\":1e99"), HasSubstr("age_ms is not"));
    EXPECT_THAT(with("\"id\":\"a\"", "\"id\":7"), HasSubstr("id is not a text"));
    EXPECT_THAT(with("\"host\":", "\"hust\":"), HasSubstr("host is missing"));
    EXPECT_THAT(with("\"port\":65535", "\"port\":65536"), HasSubstr("port is not"));
    EXPECT_THAT(with("\"port\":65535", "\"port\":0"), HasSubstr("port is not"));
    EXPECT_THAT(with("\"weight\":3", "\"weight\":0"), HasSubstr("weight is not"));
    EXPECT_THAT(with("\"critical\"", "\"splendid\""), HasSubstr("health is none"));
    EXPECT_THAT(with("\"v1\"", "1"), HasSubstr("tags are not"));
    EXPECT_THAT(with("\"zone\":\"ä\"", "\"zone\":{}"), HasSubstr("meta is not"));
    EXPECT_THAT(with("\"endpoints\"", "\"endpoint\""), HasSubstr("endpoints is missing"));
    const auto twice = decode_set(encode_set(*aged("api", {"a", "a"}).set, 0s));
    ASSERT_FALSE(twice);
    EXPECT_THAT(twice.error().what, HasSubstr("twice"));
    EXPECT_FALSE(decode_set(encode_set(*aged("api", {}).set, 0s)));
    EXPECT_FALSE(decode_set(""));
    EXPECT_FALSE(decode_set("[]"));
    EXPECT_FALSE(decode_set(good.substr(0, good.size() - 1)));
}

TEST(SnapshotFormat, WhatIsWrittenReadsTheSame) {
    const Snapshot snapshot = two_services();
    const auto read = decode_snapshot(encode_snapshot(snapshot));
    ASSERT_TRUE(read) << read.error().what;
    EXPECT_EQ(read->saved_at, snapshot.saved_at);
    ASSERT_EQ(read->sets.size(), 2U);
    EXPECT_EQ(read->sets[0].set->endpoints, snapshot.sets[0].set->endpoints);
    EXPECT_EQ(read->sets[0].age, 1500ms);
    EXPECT_EQ(read->sets[1].set->service, "web");
}

TEST(SnapshotFormat, EveryFlippedBitAndEveryCutIsNoticed) {
    const std::string good = encode_snapshot(two_services());
    for (std::size_t at = 0; at < good.size(); ++at) {
        for (int bit = 0; bit < 8; ++bit) {
            std::string bad = good;
            bad[at] = static_cast<char>(static_cast<unsigned char>(bad[at]) ^ (1U << bit));
            EXPECT_FALSE(decode_snapshot(bad)) << "byte " << at << " bit " << bit;
        }
        EXPECT_FALSE(decode_snapshot(good.substr(0, at)));
    }
    EXPECT_FALSE(decode_snapshot(good + "x"));
    EXPECT_FALSE(decode_snapshot(good + good));
}

class SnapshotTest : public testing::Test {
  public:
    SnapshotTest() { config.snapshot_file = kFile; }

    void start() {
        discovery.reset();
        discovery.emplace(loop, registry, config, core::Logger());
        discovery->use_snapshot(files, SnapshotWriter::Where::loop);
    }

    Result<EndpointSetPtr> discover(const std::string& name = "api") {
        auto result = sim::run_on(loop, discovery->discover(name, true, loop.now() + 20s), 10min);
        return result ? *std::move(result) : Error{.what = "it did not end"};
    }

    void learn() {
        start();
        registry.put(endpoint("a"));
        registry.put(endpoint("b"));
        registry.put(endpoint("w", "web"));
        ASSERT_TRUE(discover());
        ASSERT_TRUE(discover("web"));
        loop.run_for(2s);
    }

    static std::vector<std::string> ids(const EndpointSet& set) {
        std::vector<std::string> out;
        for (const ServiceEndpoint& one : set.endpoints) out.push_back(one.id);
        return out;
    }

    sim::SimLoop loop{sim::seed_for_test(1)};
    FakeRegistry registry{loop};
    sim::SimFiles files;
    ServiceDiscoveryConfig config;
    std::optional<ServiceDiscovery> discovery;
};

TEST_F(SnapshotTest, ARestartDuringAnOutageStillRoutes) {
    learn();
    EXPECT_EQ(discovery->stats().snapshots_written, 1U) << "of two changes";
    registry.set_down(true);
    loop.run_for(1h);
    start();
    EXPECT_EQ(discovery->stats().snapshot_load, "ok");
    const auto set = discover();
    ASSERT_TRUE(set) << set.error().what;
    EXPECT_THAT(ids(**set), ElementsAre("a", "b"));
    EXPECT_EQ((*set)->origin, Origin::snapshot);
    EXPECT_TRUE((*set)->stale);
    EXPECT_GE(loop.now() - (*set)->learned_at, 1h);
    EXPECT_EQ(discovery->stats().snapshot_hits, 1U);
    // A second restart, with only one of the two used in between.
    loop.run_for(10min);
    start();
    EXPECT_THAT(ids(**discover("web")), ElementsAre("w"));
    EXPECT_THAT(ids(**discover("api")), ElementsAre("a", "b"));
}

TEST_F(SnapshotTest, TheRegistrysAnswerTakesItsPlace) {
    learn();
    registry.set_down(true);
    start();
    std::vector<EndpointSetPtr> heard;
    const Watch watch = *discovery->watch("api", [&](const EndpointChange& change) {
        heard.push_back(change.all);
    });
    loop.run_for(1min);
    ASSERT_EQ(heard.size(), 1U);
    EXPECT_EQ(heard[0]->origin, Origin::snapshot);
    registry.put(endpoint("c"));
    registry.set_down(false);
    loop.run_for(1min);
    EXPECT_THAT(ids(*heard.back()), ElementsAre("a", "b", "c"));
    EXPECT_EQ(heard.back()->origin, Origin::registry);
    EXPECT_FALSE(discovery->known("api")->stale);
}

TEST_F(SnapshotTest, AHealthyRegistryIsBelievedWithoutIt) {
    learn();
    registry.remove("api", "b");
    start();
    const auto set = discover();
    EXPECT_THAT(ids(**set), ElementsAre("a"));
    EXPECT_EQ((*set)->origin, Origin::registry);
    EXPECT_EQ(discovery->stats().snapshot_hits, 0U);
}

TEST_F(SnapshotTest, ARegistryThatHangsIsNotWaitedForLong) {
    learn();
    registry.is_silent = true;
    start();
    const Instant begun = loop.now();
    const auto set = discover();
    ASSERT_TRUE(set);
    EXPECT_EQ((*set)->origin, Origin::snapshot);
    EXPECT_LT(loop.now() - begun, config.fallback_after + 10ms);
}

TEST_F(SnapshotTest, WhatIsTooOldIsNotUsed) {
    learn();
    registry.set_down(true);
    discovery.reset();
    loop.run_for(24h - 1min);
    start();
    ASSERT_TRUE(discover());
    loop.run_for(2min);
    EXPECT_FALSE(discover()) << "its time is over while it is in use";
    EXPECT_EQ(discovery->stats().expired, 1U);
    start();
    EXPECT_EQ(discovery->stats().snapshot_load, "old");
    EXPECT_FALSE(discover());
}

TEST_F(SnapshotTest, AWallClockThatWentBackMakesNothingTooOldOrTooYoung) {
    Snapshot snapshot = two_services();
    snapshot.saved_at = loop.wall_now() + 1000h;
    ASSERT_TRUE(files.write_atomic(kFile, encode_snapshot(snapshot)));
    registry.set_down(true);
    start();
    const auto set = discover();
    ASSERT_TRUE(set);
    EXPECT_GE(loop.now() - (*set)->learned_at, 1500ms) << "its age when it was saved";
    EXPECT_LT(loop.now() - (*set)->learned_at, 2s);
    loop.run_for(24h);
    EXPECT_FALSE(discover()) << "by our own clock its time is over all the same";
}

TEST_F(SnapshotTest, ADamagedFileIsLeftOut) {
    learn();
    std::string bytes = *files.read(kFile, 1U << 20U);
    bytes[bytes.size() / 2] ^= 1;
    ASSERT_TRUE(files.write_atomic(kFile, bytes));
    registry.set_down(true);
    start();
    EXPECT_EQ(discovery->stats().snapshot_load, "damaged");
    EXPECT_FALSE(discover());
    registry.set_down(false);
    loop.run_for(2s);
    EXPECT_TRUE(discover());
}

TEST_F(SnapshotTest, WhatNobodyUsedForAWhileIsKeptOnTheDisk) {
    learn();
    loop.run_for(1h);
    EXPECT_EQ(discovery->stats().services, 0U);
    registry.set_down(true);
    EXPECT_THAT(ids(**discover()), ElementsAre("a", "b"));
    start();
    EXPECT_THAT(ids(**discover("web")), ElementsAre("w"));
}

TEST_F(SnapshotTest, AFileThatCannotBeReadOrWrittenHurtsNobody) {
    start();
    EXPECT_EQ(discovery->stats().snapshot_load, "absent");
    files.fail_reads(EIO);
    start();
    EXPECT_EQ(discovery->stats().snapshot_load, "error");
    files.fail_writes(ENOSPC);
    registry.put(endpoint("a"));
    ASSERT_TRUE(discover());
    loop.run_for(2s);
    EXPECT_EQ(discovery->stats().snapshots_failed, 1U);
    files.fail_writes(0);
    files.fail_reads(0);
    loop.run_for(6min);
    EXPECT_GE(discovery->stats().snapshots_written, 1U);
    registry.set_down(true);
    start();
    EXPECT_TRUE(discover());
}

TEST_F(SnapshotTest, ManyChangesAreFewWrites) {
    learn();
    const Watch watch = *discovery->watch("api", [](const EndpointChange&) {});
    const auto before = discovery->stats().snapshots_written;
    for (int i = 0; i < 100; ++i) {
        registry.put(endpoint("n" + std::to_string(i)));
        loop.run_for(100ms);
    }
    const auto writes = discovery->stats().snapshots_written - before;
    EXPECT_GE(writes, 5U);
    EXPECT_LE(writes, 21U);  // ten seconds, half a second apart at least
}

TEST_F(SnapshotTest, WhatWasLearnedLastIsSavedAtTheEnd) {
    start();
    registry.put(endpoint("a"));
    ASSERT_TRUE(discover());
    registry.set_down(true);
    start();  // before the delay was over
    EXPECT_TRUE(discover());
}

TEST(SnapshotWriterTest, WritesOnItsOwnThreadAndSaysSoOnTheLoop) {
    const std::string directory = testing::TempDir() + "mesh-snapshot-XXXXXX";
    std::string path = directory;
    ASSERT_NE(::mkdtemp(path.data()), nullptr);
    const std::string file = path + "/sets";
    const auto loop = *io::EpollLoop::create();
    io::KernelFiles files;
    std::optional<Result<>> outcome;
    {
        SnapshotWriter writer(*loop, files, file, SnapshotWriter::Where::thread);
        writer.write(two_services(), [&](const Result<>& written) { outcome.emplace(written); });
        const Instant end = loop->now() + 30s;
        while (!outcome && loop->now() < end) loop->turn(end);
        ASSERT_TRUE(outcome && outcome->ok());
        EXPECT_EQ(decode_snapshot(*files.read(file, 1U << 20U))->sets.size(), 2U);
        Snapshot last = two_services();
        last.sets.pop_back();
        writer.write(std::move(last), [](const Result<>&) { FAIL() << "nobody is there"; });
    }
    loop->turn(loop->now());
    EXPECT_EQ(decode_snapshot(*files.read(file, 1U << 20U))->sets.size(), 1U);
    std::filesystem::remove_all(path);
}

}  // namespace
}  // namespace datapunk::mesh::discovery
