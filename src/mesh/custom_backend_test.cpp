#include "mesh/custom_backend.h"

#include <gmock/gmock.h>

#include <thread>

#include "../../examples/own_registry.h"
#include "registry/test_conformance.h"
#include "sim/run.h"
#include "sim/sim_loop.h"

namespace datapunk::mesh::internal {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

// The example of the documents, in virtual time.
class Table final : public registry::RegistryUnderTest {
  public:
    registry::Backend& backend() override { return *backend_; }

    io::Loop& loop() override { return loop_; }

  private:
    sim::SimLoop loop_{sim::seed_for_test(1)};
    std::unique_ptr<CustomBackend> backend_ =
        CustomBackend::create(
            loop_, std::make_shared<TableRegistry>([this] { return loop_.now(); })
        ).value();
};

class CustomConformance : public testing::TestWithParam<registry::Behaviour> {};

TEST_P(CustomConformance, Holds) {
    Table registry;
    GetParam().run(registry);
}

INSTANTIATE_TEST_SUITE_P(
    All, CustomConformance, testing::ValuesIn(registry::behaviours()), registry::behaviour_name
);

// Does with every request what the test says.
class Scripted final : public Registry {
  public:
    std::string kind() const override { return name; }

    RegistryTraits traits() const override { return its_traits; }

    void register_service(const ServiceConfig&, Duration, Reply<Ok> reply) override {
        ++writes;
        on_write(std::move(reply));
    }

    void deregister_service(const std::string&, Duration, Reply<Ok> reply) override {
        ++writes;
        on_write(std::move(reply));
    }

    void has_service(const std::string&, Duration, Reply<bool> reply) override { reply(true); }

    void heartbeat(const std::string&, Health, const std::string&, Duration, Reply<Ok> reply)
        override {
        on_write(std::move(reply));
    }

    void wait(const std::string&, std::uint64_t after, Duration, Reply<RegistryAnswer> reply)
        override {
        waits.push_back(after);
        on_wait(std::move(reply));
    }

    void services(Duration, Reply<std::vector<RegistryEntry>> reply) override {
        reply(std::vector<RegistryEntry>{});
    }

    std::string name = "scripted";
    RegistryTraits its_traits{};
    std::function<void(Reply<Ok>)> on_write{};
    std::function<void(Reply<RegistryAnswer>)> on_wait{};
    std::vector<std::uint64_t> waits;
    int writes = 0;
};

class CustomBackendTest : public testing::Test {
  protected:
    std::unique_ptr<CustomBackend> backend() {
        return CustomBackend::create(loop_, registry_).value();
    }

    Result<> remove(CustomBackend& backend) {
        return *sim::run_on(loop_, backend.deregister_service("x", loop_.now() + seconds(1)));
    }

    sim::SimLoop loop_{sim::seed_for_test(1)};
    std::shared_ptr<Scripted> registry_ = std::make_shared<Scripted>();
};

TEST_F(CustomBackendTest, AReplyMayComeFromAnotherThread) {
    std::thread other;
    registry_->on_write = [&](Reply<Ok> reply) {
        other = std::thread([reply] { reply(Error{.code = Code::conflict, .what = "no"}); });
        other.join();
    };
    const auto backend = this->backend();
    const auto removed = remove(*backend);
    ASSERT_FALSE(removed);
    EXPECT_EQ(removed.error().code, Code::conflict);
    EXPECT_EQ(removed.error().source, Source::registry);
}

TEST_F(CustomBackendTest, OnlyTheFirstReplyCounts) {
    registry_->on_write = [](const Reply<Ok>& reply) {
        EXPECT_TRUE(reply.is_wanted());
        reply(Ok{});
        EXPECT_FALSE(reply.is_wanted());
        reply(Error{.what = "again"});
    };
    const auto backend = this->backend();
    EXPECT_TRUE(remove(*backend));
}

TEST_F(CustomBackendTest, AReplyThatIsDroppedIsAnError) {
    registry_->on_write = [](const Reply<Ok>&) {};
    const auto backend = this->backend();
    const auto removed = remove(*backend);
    ASSERT_FALSE(removed);
    EXPECT_THAT(removed.error().what, HasSubstr("dropped a request"));
    EXPECT_TRUE(removed.error().retryable);
}

TEST_F(CustomBackendTest, AReplyThatComesTooLateIsIgnored) {
    std::optional<Reply<Ok>> kept;
    registry_->on_write = [&](Reply<Ok> reply) { kept = std::move(reply); };
    auto backend = this->backend();
    const auto removed = remove(*backend);
    ASSERT_FALSE(removed);
    EXPECT_EQ(removed.error().code, Code::timeout);
    EXPECT_FALSE(kept->is_wanted());
    backend.reset();
    (*kept)(Ok{});
    loop_.run_for(seconds(1));
}

TEST_F(CustomBackendTest, AnExceptionIsAnError) {
    registry_->on_write = [](const Reply<Ok>&) { throw std::runtime_error("no luck"); };
    const auto backend = this->backend();
    const auto removed = remove(*backend);
    ASSERT_FALSE(removed);
    EXPECT_THAT(removed.error().what, HasSubstr("no luck"));
}

TEST_F(CustomBackendTest, MaySayForHowLongItWantsToBeLeftAlone) {
    Duration wish{};
    registry_->on_write = [&](const Reply<Ok>& reply) {
        reply(Error{.code = Code::unavailable, .what = "busy", .retry_after = wish});
    };
    const auto backend = this->backend();
    for (const auto& [said, taken] : {
             std::pair<Duration, Duration>(seconds(7), seconds(7)),
             {Duration::max(), seconds(60)},
             {seconds(-1), seconds(0)},
         }) {
        wish = said;
        EXPECT_EQ(remove(*backend).error().retry_after, taken);
    }
}

TEST_F(CustomBackendTest, ARegistryThatNeverSpeaksUpIsAskedAnewAfterTheWait) {
    std::vector<Reply<RegistryAnswer>> kept;
    registry_->on_wait = [&](const Reply<RegistryAnswer>& reply) {
        kept.push_back(reply);
        if (registry_->waits.back() == 0) reply(RegistryAnswer{.index = 7});
    };
    const auto backend = this->backend();
    const Instant begun = loop_.now();
    const auto answer =
        *sim::run_on(loop_, backend->wait("web", 7, seconds(2), begun + seconds(5)));
    ASSERT_TRUE(answer) << answer.error().what;
    EXPECT_EQ(answer->index, 7U);
    EXPECT_GE(loop_.now() - begun, seconds(2));
    EXPECT_THAT(registry_->waits, testing::ElementsAre(7, 0));
}

TEST_F(CustomBackendTest, PutsInOrderWhatItIsTold) {
    registry_->on_wait = [](const Reply<RegistryAnswer>& reply) {
        reply(RegistryAnswer{
            .endpoints =
                {{.id = "b", .host = "10.0.0.2", .port = 1},
                 {.id = "a", .host = "10.0.0.1", .port = 1, .weight = 0},
                 {.id = "b", .host = "10.0.0.3", .port = 1},
                 {.id = "nowhere", .port = 1},
                 {.host = "10.0.0.4", .port = 2}},
            .index = 0
        });
    };
    const auto backend = this->backend();
    const auto answer =
        *sim::run_on(loop_, backend->wait("web", 0, Duration::zero(), loop_.now() + seconds(1)));
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->index, 1U);
    ASSERT_EQ(answer->endpoints.size(), 3U);
    EXPECT_EQ(answer->endpoints[0].id, "a");
    EXPECT_EQ(answer->endpoints[0].weight, 1U);
    EXPECT_EQ(answer->endpoints[1].host, "10.0.0.2");
    EXPECT_EQ(answer->endpoints[2].id, "web-10.0.0.4-2");
    EXPECT_EQ(answer->endpoints[2].service, "web");
}

TEST_F(CustomBackendTest, AReadOnlyOneIsNotAskedToWrite) {
    registry_->its_traits.can_register = false;
    const auto backend = this->backend();
    const auto removed = remove(*backend);
    ASSERT_FALSE(removed);
    EXPECT_EQ(removed.error().code, Code::denied);
    EXPECT_EQ(registry_->writes, 0);
}

TEST_F(CustomBackendTest, NeedsARegistryWithAName) {
    EXPECT_FALSE(CustomBackend::create(loop_, nullptr));
    for (const char* name : {"", "Two Words", "x\ny"}) {
        registry_->name = name;
        EXPECT_FALSE(CustomBackend::create(loop_, registry_)) << name;
    }
}

}  // namespace
}  // namespace datapunk::mesh::internal
