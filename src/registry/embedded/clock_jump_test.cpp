// The wall clock is set while the registry runs: nothing that it measures has changed.

#include <gtest/gtest.h>

#include "catalog/test_support.h"
#include "registry/embedded/embedded_registry.h"
#include "registry/embedded/volatile_log.h"
#include "registry/test_jumping_loop.h"

namespace datapunk::mesh::registry::embedded {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

class ClockJump : public testing::TestWithParam<Duration> {
  public:
    void SetUp() override {
        EmbeddedConfig config;
        config.node = catalog::local_node().node;
        registry_ =
            *EmbeddedRegistry::open(loop_, std::make_unique<VolatileLog>(), config, core::Logger());
        loop_.run_for(seconds(1));
        catalog::CheckRegistration check = catalog::ttl_check("c", seconds(10));
        check.check.status = Health::passing;
        check.has_status = true;
        execute(catalog::with_check(catalog::web("w1"), check));
    }

    void execute(catalog::Command command) {
        const auto done =
            sim::run_on(loop_, registry_->execute(std::move(command), loop_.now() + seconds(5)));
        ASSERT_TRUE(done && *done);
    }

    Health status() { return registry_->catalog().agent_check("c").check->status; }

    JumpingLoop loop_;
    std::unique_ptr<EmbeddedRegistry> registry_;
};

TEST_P(ClockJump, ATimeToLiveIsNeitherOverNorLonger) {
    loop_.run_for(seconds(8));
    loop_.set_wall_clock(GetParam());
    loop_.run_for(seconds(1));
    EXPECT_EQ(status(), Health::passing) << "one second of ten is left";
    loop_.run_for(seconds(2));
    EXPECT_EQ(status(), Health::critical);
    execute(catalog::status("c", Health::passing, "beat"));
    loop_.set_wall_clock(-2 * GetParam());
    loop_.run_for(seconds(9));
    EXPECT_EQ(status(), Health::passing);
    loop_.run_for(seconds(2));
    EXPECT_EQ(status(), Health::critical);
}

TEST_P(ClockJump, ABlockingQueryEndsWhenItShould) {
    const catalog::WatchKey key{catalog::WatchTopic::health_service, "web"};
    const std::uint64_t index = registry_->catalog().index_of(key);
    bool has_ended = false;
    io::TaskGroup group;
    group.spawn(sim::detail::note_end(
        [](EmbeddedRegistry& registry, catalog::WatchKey watched, std::uint64_t seen, Instant until
        ) -> io::Task<void> {
            auto waited = co_await registry.wait(std::move(watched), seen, until);
            EXPECT_TRUE(waited);
        }(*registry_, key, index, loop_.now() + seconds(5)),
        &has_ended
    ));
    loop_.run_for(seconds(1));
    loop_.set_wall_clock(GetParam());
    loop_.run_for(seconds(3));
    EXPECT_FALSE(has_ended);
    loop_.run_for(seconds(2));
    EXPECT_TRUE(has_ended);
}

INSTANTIATE_TEST_SUITE_P(
    AYear, ClockJump, testing::Values(Duration(hours(24 * 365)), Duration(-hours(24 * 365)))
);

}  // namespace
}  // namespace datapunk::mesh::registry::embedded
