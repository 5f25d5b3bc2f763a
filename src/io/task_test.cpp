#include "io/task.h"

#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <vector>

#include "io/epoll_loop.h"
#include "sim/run.h"

namespace datapunk::mesh::io {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

// Says when it is destroyed.
struct Witness {
    explicit Witness(std::vector<std::string>& into, std::string what)
        : log(into), name(std::move(what)) {}

    ~Witness() { log.push_back(name); }

    std::vector<std::string>& log;
    std::string name;
};

class TaskTest : public ::testing::Test {
  protected:
    TaskTest() : loop(EpollLoop::create().value()) {}

    std::unique_ptr<EpollLoop> loop;
    std::vector<std::string> log;
};

Task<int> answer(int value) {
    co_return value;
}

Task<std::unique_ptr<int>> boxed(int value) {
    co_return std::make_unique<int>(value);
}

Task<int> add_up(int count) {
    int sum = 0;
    for (int i = 0; i < count; ++i) {
        const int one = co_await answer(1);
        sum += one;
    }
    co_return sum;
}

TEST_F(TaskTest, ReturnsValuesIncludingMoveOnlyOnes) {
    const auto box = sim::run_on(*loop, boxed(7));
    ASSERT_TRUE(box.has_value());
    EXPECT_EQ(**box, 7);
}

TEST_F(TaskTest, AMillionAwaitsInALoopDoNotGrowTheStack) {
#if defined(__SANITIZE_ADDRESS__)
    constexpr int kAwaits = 1'000;  // g++ makes no tail calls at -O1
#else
    constexpr int kAwaits = 1'000'000;
#endif
    EXPECT_EQ(sim::run_on(*loop, add_up(kAwaits)), kAwaits);
}

TEST_F(TaskTest, IsLazyAndDestroyingAnUnstartedOneIsFine) {
    bool started = false;
    struct Body {
        static Task<void> run(bool* flag) {
            *flag = true;
            co_return;
        }
    };
    {
        const auto task = Body::run(&started);
    }
    EXPECT_FALSE(started);
}

Task<void> wait_forever(Loop* loop, std::vector<std::string>* log, std::string name) {
    const Witness witness(*log, name);
    co_await sleep_until(*loop, kNever);
}

Task<void> outer(Loop* loop, std::vector<std::string>* log) {
    const Witness witness(*log, "outer");
    co_await wait_forever(loop, log, "inner");
}

TEST_F(TaskTest, DestroyingTheGroupDestroysWaitingTasksFromTheInsideOut) {
    {
        TaskGroup group;
        group.spawn(outer(loop.get(), &log));
        EXPECT_EQ(group.size(), 1U);
        EXPECT_TRUE(log.empty());
    }
    EXPECT_THAT(log, ElementsAre("inner", "outer"));
    EXPECT_EQ(loop->timers().next(), kNever);
}

TEST_F(TaskTest, ACancelledSleepDoesNotResume) {
    TaskGroup group;
    struct Body {
        static Task<void> run(Loop* loop, std::vector<std::string>* log) {
            co_await sleep_for(*loop, 1ms);
            log->push_back("resumed");
        }
    };
    group.spawn(Body::run(loop.get(), &log));
    group.cancel();
    EXPECT_TRUE(group.empty());
    loop->turn(loop->now() + 5ms);
    loop->turn(loop->now() + 5ms);
    EXPECT_TRUE(log.empty());
}

TEST_F(TaskTest, AGroupForgetsTasksThatEnd) {
    TaskGroup group;
    struct Body {
        static Task<void> run(Loop* loop) { co_await sleep_for(*loop, 1ms); }
    };
    for (int i = 0; i < 10; ++i) group.spawn(Body::run(loop.get()));
    EXPECT_EQ(group.size(), 10U);
    while (!group.empty()) loop->turn(kNever);
    EXPECT_EQ(group.size(), 0U);
}

TEST_F(TaskTest, ATaskMaySpawnIntoItsOwnGroup) {
    struct Body {
        static Task<void> run(TaskGroup* group, int left, int* runs) {
            ++*runs;
            if (left > 0) group->spawn(run(group, left - 1, runs));
            co_return;
        }
    };
    TaskGroup group;
    int runs = 0;
    group.spawn(Body::run(&group, 5, &runs));
    EXPECT_EQ(runs, 6);
    EXPECT_TRUE(group.empty());
}

}  // namespace
}  // namespace datapunk::mesh::io
