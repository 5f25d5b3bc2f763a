#include "registry/backend.h"

#include "registry/test_conformance.h"
#include "sim/run.h"
#include "sim/sim_loop.h"

namespace datapunk::mesh::registry {
namespace {

// The smallest registry that is not written through its backend.
class Nothing final : public ReadOnlyBackend, public RegistryUnderTest {
  public:
    std::string_view kind() const noexcept override { return "nothing"; }

    io::Task<Result<Answer>> wait(std::string, std::uint64_t, Duration, Instant) override {
        co_return Answer{.index = 1};
    }

    io::Task<Result<std::vector<ServiceSummary>>> services(Instant) override {
        co_return std::vector<ServiceSummary>();
    }

    Backend& backend() override { return *this; }

    io::Loop& loop() override { return loop_; }

  private:
    sim::SimLoop loop_{sim::seed_for_test(1)};
};

TEST(ReadOnlyBackend, RefusesEveryWriteAndSaysWhy) {
    Nothing nothing;
    conformance::who_is_read_only_says_so(nothing);
    EXPECT_EQ(
        refuse_write("nothing").what,
        "a registry of kind nothing is read-only: services cannot be registered there"
    );
}

TEST(Behaviours, AreThoseThatARegistryCanHave) {
    const auto names = [](const Offers& offers) {
        std::vector<std::string> out;
        for (const Behaviour& one : behaviours(offers)) out.push_back(one.name);
        return out;
    };
    const auto everything = names({});
    EXPECT_THAT(everything, testing::Contains("TheSameIdAgainReplaces"));
    EXPECT_THAT(everything, testing::Contains("AMissedHeartbeatIsCritical"));
    EXPECT_THAT(everything, testing::Not(testing::Contains("WhoIsReadOnlySaysSo")));
    const auto read_only = names({.registers = false});
    EXPECT_THAT(read_only, testing::Contains("TheSameIdAgainReplaces"));
    EXPECT_THAT(read_only, testing::Not(testing::Contains("AMissedHeartbeatIsCritical")));
    EXPECT_THAT(read_only, testing::Contains("WhoIsReadOnlySaysSo"));
    const auto bare = names(Offers::none());
    EXPECT_THAT(bare, testing::Not(testing::Contains("TheSameIdAgainReplaces")));
    EXPECT_THAT(bare, testing::Contains("WhatIsDeregisteredDisappears"));
    EXPECT_LT(bare.size(), read_only.size());
}

}  // namespace
}  // namespace datapunk::mesh::registry
