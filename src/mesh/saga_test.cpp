#include "mesh/saga.h"

#include <gmock/gmock.h>

#include "sim/run.h"
#include "sim/sim_loop.h"

namespace datapunk::mesh::internal {
namespace {

using ::testing::ElementsAre;

class SagaTest : public ::testing::Test {
  protected:
    io::Task<Result<>> act(std::string line, bool works) {
        log_.push_back(line);
        co_await io::sleep_for(loop_, std::chrono::milliseconds(1));
        if (works) co_return Ok{};
        co_return Error{.code = Code::conflict, .what = line + " broke", .retryable = true};
    }

    // The step `breaks` fails, and undoing `stays`.
    std::vector<SagaStep> steps(int breaks, int stays = -1) {
        static constexpr std::string_view kNames[] = {"one", "two", "three"};
        std::vector<SagaStep> all;
        for (int i = 0; i < 3; ++i) {
            const std::string name(kNames[i]);
            all.push_back(
                {.name = kNames[i],
                 .run = [this, name, works = i != breaks] { return act(name, works); },
                 .undo = [this, name, works = i != stays] { return act("not " + name, works); }}
            );
        }
        return all;
    }

    Result<> run(std::vector<SagaStep> all) {
        return *sim::run_on(loop_, run_saga("make it", std::move(all)));
    }

    sim::SimLoop loop_{sim::seed_for_test(1)};
    std::vector<std::string> log_;
};

TEST_F(SagaTest, DoesAllInOrderAndUndoesNothing) {
    EXPECT_TRUE(run(steps(-1)));
    EXPECT_THAT(log_, ElementsAre("one", "two", "three"));
}

TEST_F(SagaTest, UndoesTheStepThatFailedAndThoseBeforeItInReverse) {
    const auto failed = run(steps(1));
    ASSERT_FALSE(failed);
    EXPECT_THAT(log_, ElementsAre("one", "two", "not two", "not one"));
    EXPECT_EQ(failed.error().what, "make it failed at two: two broke; undone: two, one");
    EXPECT_EQ(failed.error().code, Code::conflict);
    EXPECT_TRUE(failed.error().retryable);
}

TEST_F(SagaTest, AnUndoThatFailsIsSaidAndKeepsNoOtherFromRunning) {
    const auto failed = run(steps(2, 1));
    ASSERT_FALSE(failed);
    EXPECT_THAT(log_, ElementsAre("one", "two", "three", "not three", "not two", "not one"));
    EXPECT_EQ(
        failed.error().what,
        "make it failed at three: three broke; undone: three, one; not undone: two (not two broke)"
    );
}

TEST_F(SagaTest, AStepThatLeavesNothingIsNotListed) {
    std::vector<SagaStep> all = steps(0);
    all[0].undo = nullptr;
    const auto failed = run(std::move(all));
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().what, "make it failed at one: one broke");
}

TEST_F(SagaTest, ADestroyedOneGoesNoFurther) {
    for (int turns = 0; turns < 4; ++turns) {
        log_.clear();
        {
            std::optional<Result<>> result;
            io::TaskGroup group;
            group.spawn(sim::detail::keep(run_saga("make it", steps(1)), &result));
            for (int i = 0; i < turns; ++i) loop_.turn(loop_.now() + std::chrono::seconds(1));
        }
        const auto at_the_end = log_;
        loop_.run_for(std::chrono::seconds(1));
        EXPECT_EQ(log_, at_the_end);
    }
}

}  // namespace
}  // namespace datapunk::mesh::internal
