#include "registry/merged/merged_backend.h"

#include "registry/embedded/embedded_backend.h"
#include "registry/embedded/volatile_log.h"
#include "registry/test_conformance.h"
#include "sim/run.h"
#include "sim/sim_loop.h"

namespace datapunk::mesh::registry::merged {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

// Two embedded registries; what is registered goes to the second if it is told to.
class Pair final : public RegistryUnderTest {
  public:
    explicit Pair(MergeConfig config) {
        std::vector<MergeMember> members;
        for (const char* name : {"one", "two"}) {
            embedded::EmbeddedConfig node;
            node.node.name = name;
            node.node.address = "127.0.0.1";
            auto opened = embedded::EmbeddedRegistry::open(
                loop_, std::make_unique<embedded::VolatileLog>(), node, core::Logger()
            );
            EXPECT_TRUE(opened);
            registries_.push_back(*std::move(opened));
            members.push_back(
                {.name = name,
                 .backend = std::make_unique<embedded::EmbeddedBackend>(*registries_.back())}
            );
        }
        auto made = MergedBackend::create(loop_, std::move(members), std::move(config));
        EXPECT_TRUE(made) << made.error().what;
        backend_ = *std::move(made);
    }

    Backend& backend() override { return *backend_; }

    io::Loop& loop() override { return loop_; }

  private:
    sim::SimLoop loop_{sim::seed_for_test(1)};
    std::vector<std::unique_ptr<embedded::EmbeddedRegistry>> registries_;
    std::unique_ptr<MergedBackend> backend_;
};

class MergedConformance : public testing::TestWithParam<Behaviour> {};

TEST_P(MergedConformance, HoldsByPriority) {
    Pair registry({});
    GetParam().run(registry);
}

TEST_P(MergedConformance, HoldsTogetherAndWrittenToTheSecond) {
    Pair registry({.rules = {.mode = MergeMode::all}, .register_with = "two"});
    GetParam().run(registry);
}

INSTANTIATE_TEST_SUITE_P(All, MergedConformance, testing::ValuesIn(behaviours()), behaviour_name);

class Silent final : public ReadOnlyBackend {
  public:
    std::string_view kind() const noexcept override { return "silent"; }

    io::Task<Result<Answer>> wait(std::string, std::uint64_t, Duration, Instant) override {
        co_return Error{.code = Code::unavailable, .what = "silent", .source = Source::registry};
    }

    io::Task<Result<std::vector<ServiceSummary>>> services(Instant) override {
        co_return Error{.code = Code::unavailable, .what = "silent", .source = Source::registry};
    }
};

Result<std::unique_ptr<MergedBackend>> merged_of(
    io::Loop& loop, const std::vector<std::string>& names, MergeConfig config = {}
) {
    std::vector<MergeMember> members;
    for (const std::string& name : names) {
        members.push_back({.name = name, .backend = std::make_unique<Silent>()});
    }
    return MergedBackend::create(loop, std::move(members), std::move(config));
}

TEST(MergedBackendMade, RefusesMembersThatMakeNoSense) {
    sim::SimLoop loop(1);
    EXPECT_FALSE(merged_of(loop, {"a"}));
    EXPECT_FALSE(merged_of(loop, {"a", ""}));
    EXPECT_THAT(merged_of(loop, {"a", "a"}).error().what, HasSubstr("\"a\" is there twice"));
    EXPECT_THAT(
        merged_of(loop, {"a", "b"}, {.register_with = "c"}).error().what, HasSubstr("no \"c\"")
    );
    EXPECT_THAT(
        merged_of(loop, {"a", "b"}, {.register_with = "b"}).error().what,
        HasSubstr("\"b\" cannot register")
    );
}

TEST(MergedBackendMade, OfReadersIsAReader) {
    sim::SimLoop loop(1);
    const auto made = *merged_of(loop, {"a", "b"});
    EXPECT_FALSE(made->capabilities().can_register);
    EXPECT_EQ(made->capabilities().kept_alive_by, KeptAliveBy::nobody);
    EXPECT_FALSE(made->capabilities().knows_health);
    const auto refused = *sim::run_on(loop, made->register_service({}, loop.now() + 1s));
    EXPECT_EQ(refused.error().code, Code::denied);
    EXPECT_FALSE(*sim::run_on(loop, made->services(loop.now() + 1s)));
    EXPECT_FALSE(*sim::run_on(loop, made->wait("api", 0, 0s, loop.now() + 1s)));
    EXPECT_FALSE(*sim::run_on(loop, made->wait("api", 7, 10s, loop.now() + 11s)));
}

}  // namespace
}  // namespace datapunk::mesh::registry::merged
