#include "registry/embedded/embedded_registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "catalog/test_support.h"
#include "registry/embedded/backup.h"
#include "registry/embedded/volatile_log.h"
#include "sim/run.h"
#include "sim/sim_loop.h"
#include "store/memory_log.h"

namespace datapunk::mesh::registry::embedded {
namespace {

using catalog::Applied;
using catalog::WatchKey;
using catalog::WatchTopic;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

// A call that goes on while the test decides when the disk is done.
template <class T>
class Pending {
  public:
    explicit Pending(io::Task<T> task) { group_.spawn(run(std::move(task), &value_)); }

    bool ended() const { return value_.has_value(); }

    const T& value() const { return *value_; }

    void cancel() { group_.cancel(); }

  private:
    static io::Task<void> run(io::Task<T> task, std::optional<T>* out) {
        auto value = co_await std::move(task);
        out->emplace(std::move(value));
    }

    std::optional<T> value_;
    io::TaskGroup group_;
};

class EmbeddedRegistryTest : public testing::Test {
  public:
    EmbeddedRegistryTest() { boot(); }

    void boot(store::MemoryFaults faults = {}) {
        auto log = std::make_unique<store::MemoryLog>(disk_, faults);
        log_ = log.get();
        auto opened = EmbeddedRegistry::open(loop_, std::move(log), config_, core::Logger());
        ASSERT_TRUE(opened) << opened.error().what;
        registry_ = *std::move(opened);
        settle();
    }

    // Lets the disk and the loop do all they have to do.
    void settle() {
        do {
            loop_.run_for(milliseconds(1));
        } while (log_->run() > 0);
        loop_.run_for(milliseconds(1));
    }

    auto send(catalog::Command command) {
        return std::make_unique<Pending<Result<catalog::Applied>>>(
            registry_->execute(std::move(command), loop_.now() + seconds(5))
        );
    }

    Result<catalog::Applied> execute(catalog::Command command) {
        const auto pending = send(std::move(command));
        settle();
        EXPECT_TRUE(pending->ended());
        return pending->value();
    }

    auto wait(WatchKey key, std::uint64_t index, Duration longest) {
        return std::make_unique<Pending<Result<>>>(
            registry_->wait(std::move(key), index, loop_.now() + longest)
        );
    }

    bool knows(std::string_view id) { return registry_->catalog().agent_service(id) != nullptr; }

    sim::SimLoop loop_{sim::seed_for_test(3)};
    std::shared_ptr<store::MemoryDisk> disk_ = std::make_shared<store::MemoryDisk>();
    EmbeddedConfig config_{.node = catalog::local_node().node};
    store::MemoryLog* log_ = nullptr;
    std::unique_ptr<EmbeddedRegistry> registry_;
};

TEST_F(EmbeddedRegistryTest, NothingIsVisibleBeforeItIsDurable) {
    const auto pending = send(catalog::web("w1"));
    loop_.run_for(seconds(1));
    EXPECT_FALSE(pending->ended());
    EXPECT_FALSE(knows("w1"));
    settle();
    ASSERT_TRUE(pending->ended());
    EXPECT_TRUE(pending->value());
    EXPECT_TRUE(knows("w1"));
}

TEST_F(EmbeddedRegistryTest, WhatComesDuringOneWriteSharesTheNext) {
    const auto first = send(catalog::web("w0"));
    loop_.run_for(milliseconds(1));
    std::vector<std::unique_ptr<Pending<Result<catalog::Applied>>>> rest;
    for (int i = 1; i <= 100; ++i) rest.push_back(send(catalog::web("w" + std::to_string(i))));
    loop_.run_for(milliseconds(1));  // the first is being written: nothing else goes to the disk
    EXPECT_EQ(log_->run(), 1U) << "the first alone";
    loop_.run_for(milliseconds(1));
    EXPECT_TRUE(first->ended());
    EXPECT_FALSE(rest[0]->ended());
    EXPECT_EQ(log_->run(), 1U) << "a hundred in one batch";
    loop_.run_for(milliseconds(1));
    for (const auto& pending : rest) EXPECT_TRUE(pending->ended());
}

TEST_F(EmbeddedRegistryTest, ARestartKnowsWhatWasAcknowledged) {
    ASSERT_TRUE(execute(catalog::web("w1")));
    const auto lost = send(catalog::web("w2"));  // never reaches the disk
    const std::uint64_t index = registry_->catalog().index();
    boot();
    EXPECT_TRUE(knows("w1"));
    EXPECT_FALSE(knows("w2"));
    EXPECT_EQ(registry_->catalog().index(), index);
    EXPECT_FALSE(lost->ended());
    lost->cancel();
}

TEST_F(EmbeddedRegistryTest, ABackupHoldsWhatWasAcknowledgedAndComesBackWithoutGoingBack) {
    ASSERT_TRUE(execute(catalog::with_check(catalog::web("w1"), catalog::ttl_check("c1"))));
    Pending<Result<std::string>> saving(registry_->backup(loop_.now() + seconds(5)));
    settle();
    ASSERT_TRUE(saving.ended());
    ASSERT_TRUE(saving.value());
    auto backup = decode_backup(*saving.value());
    ASSERT_TRUE(backup) << backup.error().what;
    EXPECT_EQ(backup->state, registry_->catalog().encode_state());

    ASSERT_TRUE(execute(catalog::DeregisterService{"w1"}));
    ASSERT_TRUE(execute(catalog::web("w2")));
    const std::uint64_t before = registry_->catalog().index();
    const auto watcher = wait({WatchTopic::service, "web"}, before, minutes(5));
    const auto unrelated = wait({WatchTopic::kv_key, "never"}, before, minutes(5));
    ASSERT_TRUE(execute(catalog::RestoreState{backup->state}));
    settle();
    EXPECT_TRUE(watcher->ended());
    EXPECT_TRUE(unrelated->ended());
    EXPECT_TRUE(knows("w1"));
    EXPECT_FALSE(knows("w2"));
    EXPECT_GT(registry_->catalog().index(), before);

    // Its TTL check runs again: nobody renews it.
    loop_.run_for(seconds(11));
    settle();
    const auto check = registry_->catalog().agent_check("c1");
    ASSERT_NE(check.check, nullptr);
    EXPECT_EQ(check.check->status, Health::critical);
    boot();
    EXPECT_TRUE(knows("w1"));
    EXPECT_FALSE(knows("w2"));
}

TEST_F(EmbeddedRegistryTest, SnapshotsKeepTheLogShort) {
    config_.snapshot_after_entries = 10;
    boot();
    for (int i = 0; i < 35; ++i) ASSERT_TRUE(execute(catalog::web("w" + std::to_string(i))));
    EXPECT_TRUE(disk_->state.snapshot);
    EXPECT_LE(disk_->state.entries.size(), 11U);
    boot();
    EXPECT_TRUE(knows("w0"));
    EXPECT_TRUE(knows("w34"));
}

TEST_F(EmbeddedRegistryTest, AFailingDiskFailsWritesAndNotReads) {
    ASSERT_TRUE(execute(catalog::web("w1")));
    boot({.seed = 1, .write_error = 1.0});
    EXPECT_TRUE(knows("w1"));
    const auto refused = execute(catalog::web("w2"));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::unavailable);
    EXPECT_THAT(refused.error().what, testing::StartsWith("the registry cannot write: "));
    EXPECT_FALSE(knows("w2"));
    EXPECT_TRUE(knows("w1"));
    EXPECT_NE(registry_->write_problem(), "");
}

TEST_F(EmbeddedRegistryTest, ABrokenStartRecoversWhenTheDiskDoes) {
    disk_ = std::make_shared<store::MemoryDisk>();
    boot({.seed = 5, .write_error = 0.7});
    EXPECT_EQ(disk_->last_seq, registry_->catalog().local() == nullptr ? 0U : 1U);
    for (int i = 0; i < 60 && registry_->catalog().local() == nullptr; ++i) {
        loop_.run_for(seconds(1));
        settle();
    }
    EXPECT_NE(registry_->catalog().local(), nullptr);
}

TEST_F(EmbeddedRegistryTest, RefusesWithoutWriting) {
    const std::uint64_t seq = disk_->last_seq;
    const auto unknown = execute(catalog::DeregisterService{"nope"});
    ASSERT_FALSE(unknown);
    EXPECT_EQ(unknown.error().code, Code::not_found);
    EXPECT_EQ(disk_->last_seq, seq);
}

TEST_F(EmbeddedRegistryTest, TwoCommandsThatExcludeEachOtherAreSettledInOrder) {
    ASSERT_TRUE(execute(catalog::web("w1")));
    const auto first = send(catalog::DeregisterService{"w1"});
    const auto second = send(catalog::DeregisterService{"w1"});
    settle();
    EXPECT_TRUE(first->value());
    ASSERT_FALSE(second->value()) << "both passed the check, one came second";
    EXPECT_EQ(second->value().error().code, Code::not_found);
}

TEST_F(EmbeddedRegistryTest, AWaiterWakesOnItsServiceAndOnNothingElse) {
    ASSERT_TRUE(execute(catalog::web("w1")));
    const WatchKey key{WatchTopic::health_service, "web"};
    const std::uint64_t index = registry_->catalog().index_of(key);
    const auto waiting = wait(key, index, minutes(5));
    catalog::RegisterService other = catalog::web("o1");
    other.service.name = "other";
    ASSERT_TRUE(execute(other));
    ASSERT_TRUE(execute(catalog::KvPut{.key = "k", .value = "v"}));
    EXPECT_FALSE(waiting->ended());
    ASSERT_TRUE(execute(catalog::web("w2")));
    EXPECT_TRUE(waiting->ended());
    EXPECT_EQ(registry_->waiters(), 0U);
}

TEST_F(EmbeddedRegistryTest, AWaitEndsAtItsTimeAndACancelledOneLeavesNothing) {
    const WatchKey key{WatchTopic::health_service, "web"};
    const auto waiting = wait(key, 1'000'000, seconds(3));
    const auto leaving = wait(key, 1'000'000, seconds(3));
    EXPECT_EQ(registry_->waiters(), 2U);
    leaving->cancel();
    EXPECT_EQ(registry_->waiters(), 1U);
    loop_.run_for(milliseconds(2990));
    EXPECT_FALSE(waiting->ended());
    loop_.run_for(milliseconds(20));
    EXPECT_TRUE(waiting->ended());
    EXPECT_EQ(registry_->waiters(), 0U);
}

TEST_F(EmbeddedRegistryTest, ASilentTtlCheckTurnsCriticalAndItsServiceGoes) {
    config_.deregister_after_min = seconds(2);
    boot();
    catalog::CheckRegistration check = catalog::ttl_check("c", seconds(5));
    check.check.definition.deregister_after = seconds(1);  // raised to 2 s
    check.check.status = Health::passing;
    check.has_status = true;
    ASSERT_TRUE(execute(catalog::with_check(catalog::web("w1"), check)));
    const auto status = [&] { return registry_->catalog().agent_check("c").check->status; };
    for (int i = 0; i < 12; ++i) {
        loop_.run_for(seconds(1));
        const std::uint64_t seq = disk_->last_seq;
        ASSERT_TRUE(execute(catalog::status("c", Health::passing, "beat")));
        EXPECT_EQ(disk_->last_seq, seq) << "a heartbeat costs no write";
    }
    EXPECT_EQ(status(), Health::passing);
    for (int i = 0; i < 60 && status() != Health::critical; ++i) {
        loop_.run_for(milliseconds(100));
        settle();
    }
    EXPECT_EQ(status(), Health::critical);
    EXPECT_EQ(registry_->output("c"), "TTL expired");
    const Instant critical_at = loop_.now();
    while (knows("w1") && loop_.now() < critical_at + seconds(10)) {
        loop_.run_for(milliseconds(100));
        settle();
    }
    EXPECT_FALSE(knows("w1"));
    EXPECT_NEAR(std::chrono::duration<double>(loop_.now() - critical_at).count(), 2.0, 0.3);
}

TEST_F(EmbeddedRegistryTest, DeregisterAfterIsRaisedToAMinuteByDefault) {
    catalog::CheckRegistration check = catalog::ttl_check("c");
    check.check.definition.deregister_after = seconds(1);
    ASSERT_TRUE(execute(catalog::with_check(catalog::web("w1"), check)));
    EXPECT_EQ(registry_->catalog().agent_check("c").check->definition.deregister_after, minutes(1));
}

TEST_F(EmbeddedRegistryTest, ACommandThatNobodyWritesTimesOut) {
    const auto pending = send(catalog::web("w1"));
    loop_.run_for(seconds(6));
    ASSERT_TRUE(pending->ended());
    EXPECT_EQ(pending->value().error().code, Code::timeout);
    settle();
    EXPECT_TRUE(knows("w1")) << "it happened all the same";
}

TEST_F(EmbeddedRegistryTest, AnotherNodesStateIsRefused) {
    registry_.reset();
    config_.node.name = "somebody-else";
    auto opened = EmbeddedRegistry::open(
        loop_, std::make_unique<store::MemoryLog>(disk_), config_, core::Logger()
    );
    ASSERT_FALSE(opened);
    EXPECT_THAT(opened.error().what, testing::HasSubstr("ref1"));
}

TEST_F(EmbeddedRegistryTest, TellsWhichChecksChanged) {
    std::vector<std::string> told;
    registry_->on_checks_changed([&](const std::vector<std::string>& ids) { told = ids; });
    ASSERT_TRUE(execute(catalog::with_check(catalog::web("w1"), catalog::ttl_check("c"))));
    EXPECT_THAT(told, testing::ElementsAre("c"));
    told.clear();
    ASSERT_TRUE(execute(catalog::DeregisterService{"w1"}));
    EXPECT_THAT(told, testing::ElementsAre("c"));
}

}  // namespace
}  // namespace datapunk::mesh::registry::embedded
