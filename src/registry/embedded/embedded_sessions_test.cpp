// Sessions and locks over crashes: what is promised is in the log, time begins anew.

#include <gtest/gtest.h>

#include "catalog/test_support.h"
#include "registry/embedded/embedded_registry.h"
#include "sim/run.h"
#include "sim/sim_loop.h"
#include "store/memory_log.h"

namespace datapunk::mesh::registry::embedded {
namespace {

using catalog::Applied;
using catalog::Command;
using namespace std::chrono_literals;

class EmbeddedSessionsTest : public testing::Test {
  public:
    EmbeddedSessionsTest() { boot(); }

    void boot(store::MemoryFaults faults = {}) {
        registry_.reset();
        auto log = std::make_unique<store::MemoryLog>(disk_, faults);
        log_ = log.get();
        auto opened = EmbeddedRegistry::open(
            loop_, std::move(log), {.node = catalog::local_node().node}, core::Logger()
        );
        ASSERT_TRUE(opened) << opened.error().what;
        registry_ = *std::move(opened);
        pass(2ms);
    }

    // Time in which the disk works.
    void pass(Duration time) {
        const Instant until = loop_.now() + time;
        while (loop_.now() < until) {
            loop_.run_for(std::min<Duration>(100ms, until - loop_.now()));
            log_->run();
        }
        loop_.run_for(1ms);
    }

    Result<Applied> execute(Command command) {
        std::optional<Result<Applied>> answer;
        io::TaskGroup group;
        group.spawn(keep(registry_->execute(std::move(command), loop_.now() + 5s), &answer));
        loop_.run_for(1ms);
        while (log_->run() > 0) loop_.run_for(1ms);
        EXPECT_TRUE(answer.has_value());
        return *std::move(answer);
    }

    void create(std::string id, std::string ttl) {
        catalog::CreateSession command;
        command.session.id = std::move(id);
        command.session.node = "ref1";
        command.session.node_checks = {"serfHealth"};
        command.session.ttl = std::move(ttl);
        EXPECT_TRUE(execute(command).ok());
    }

    bool acquire(std::string id) {
        return execute(catalog::KvAcquire{"lock", "v", 0, std::move(id)})->accepted;
    }

    bool lives(std::string_view id) { return registry_->catalog().session(id).data != nullptr; }

    static io::Task<void> keep(
        io::Task<Result<Applied>> task, std::optional<Result<Applied>>* out
    ) {
        auto answer = co_await std::move(task);
        out->emplace(std::move(answer));
    }

    sim::SimLoop loop_{sim::seed_for_test(3)};
    std::shared_ptr<store::MemoryDisk> disk_ = std::make_shared<store::MemoryDisk>();
    store::MemoryLog* log_ = nullptr;
    std::unique_ptr<EmbeddedRegistry> registry_;
};

TEST_F(EmbeddedSessionsTest, ALockSurvivesARestartAndItsTtlBeginsAnew) {
    create("s", "10s");
    create("t", "");
    EXPECT_TRUE(acquire("s"));
    pass(15s);
    boot();
    EXPECT_FALSE(acquire("t"));
    pass(19s);
    EXPECT_TRUE(lives("s"));
    pass(2s);
    EXPECT_FALSE(lives("s"));
    EXPECT_EQ(registry_->catalog().kv_get("lock").data->session, "");
    EXPECT_FALSE(acquire("t")) << "within the lock delay";
    pass(10s);
    boot();  // the delay survives, from its beginning
    pass(14s);
    EXPECT_FALSE(acquire("t"));
    pass(2s);
    EXPECT_TRUE(acquire("t"));
}

TEST_F(EmbeddedSessionsTest, RenewalsCostNoWriteAndKeepTheSession) {
    create("s", "10s");
    const std::uint64_t writes = disk_->state.entries.size();
    for (int i = 0; i < 10; ++i) {
        pass(10s);
        EXPECT_TRUE(execute(catalog::RenewSession{"s"}).ok());
    }
    EXPECT_EQ(disk_->state.entries.size(), writes);
    EXPECT_TRUE(lives("s"));
}

TEST_F(EmbeddedSessionsTest, ARenewalBehindTheExpiryFails) {
    create("s", "10s");
    pass(19900ms);
    loop_.run_for(200ms);  // the end is being written
    EXPECT_TRUE(lives("s"));
    const Result<Applied> renewed = execute(catalog::RenewSession{"s"});
    ASSERT_FALSE(renewed.ok());
    EXPECT_EQ(renewed.error().code, Code::not_found);
    EXPECT_FALSE(lives("s"));
}

}  // namespace
}  // namespace datapunk::mesh::registry::embedded
