#include "io/loop.h"

#include <gmock/gmock.h>

#include <memory>
#include <thread>
#include <vector>

#include "io/epoll_loop.h"
#include "io/task.h"
#include "sim/run.h"

namespace datapunk::mesh::io {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

class LoopTest : public ::testing::Test {
  protected:
    LoopTest() : loop(EpollLoop::create().value()) {}

    std::unique_ptr<EpollLoop> loop;
};

TEST_F(LoopTest, RunsWhatOtherThreadsPostInOrderAndLosesNothing) {
    constexpr int kThreads = 4;
    constexpr int kEach = 5'000;
    std::vector<int> last(kThreads, -1);
    int seen = 0;
    bool in_order = true;
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < kEach; ++i) {
                loop->post([&, t, i] {
                    in_order = in_order && last[static_cast<std::size_t>(t)] == i - 1;
                    last[static_cast<std::size_t>(t)] = i;
                    if (++seen == kThreads * kEach) loop->stop();
                });
            }
        });
    }
    loop->run();
    for (std::thread& thread : threads) thread.join();
    EXPECT_TRUE(in_order);
    EXPECT_EQ(seen, kThreads * kEach);
}

TEST_F(LoopTest, StopFromAnotherThreadEndsAnIdleRun) {
    std::thread stopper([&] { loop->stop(); });
    loop->run();
    stopper.join();
    EXPECT_TRUE(loop->is_stopping());
}

TEST_F(LoopTest, AStopBeforeRunIsNotLost) {
    loop->stop();
    loop->run();
    EXPECT_TRUE(loop->is_stopping());
}

TEST_F(LoopTest, APostedFunctionMayPost) {
    int runs = 0;
    loop->post([&] {
        ++runs;
        loop->post([&] { ++runs; });
    });
    loop->turn(loop->now());
    EXPECT_EQ(runs, 1);
    loop->turn(loop->now());
    EXPECT_EQ(runs, 2);
}

Task<Duration> nap(Loop* loop, Duration time) {
    const Instant before = loop->now();
    co_await sleep_for(*loop, time);
    co_return loop->now() - before;
}

TEST_F(LoopTest, SleepsAtLeastAsLongAsAsked) {
    const auto slept = sim::run_on(*loop, nap(loop.get(), 3ms));
    ASSERT_TRUE(slept.has_value());
    EXPECT_GE(*slept, 3ms);
    EXPECT_EQ(sim::run_on(*loop, nap(loop.get(), 0ms)), Duration::zero());
}

Task<void> wait_and_log(Event* event, Instant deadline, std::vector<int>* log, int id) {
    const bool reached = co_await event->wait(deadline);
    log->push_back(reached ? id : -id);
}

TEST_F(LoopTest, AnEventResumesAllWaitersInOrderButNotInsideSet) {
    Event event(*loop);
    std::vector<int> log;
    TaskGroup group;
    for (int id = 1; id <= 3; ++id) group.spawn(wait_and_log(&event, kNever, &log, id));
    event.set();
    EXPECT_TRUE(log.empty());
    loop->turn(loop->now());
    EXPECT_THAT(log, ElementsAre(1, 2, 3));
    group.spawn(wait_and_log(&event, kNever, &log, 4));  // already set: at once
    EXPECT_THAT(log, ElementsAre(1, 2, 3, 4));
}

TEST_F(LoopTest, AnEventWaitTimesOut) {
    Event event(*loop);
    std::vector<int> log;
    TaskGroup group;
    group.spawn(wait_and_log(&event, loop->now() + 2ms, &log, 1));
    group.spawn(wait_and_log(&event, kNever, &log, 2));
    while (log.empty()) loop->turn(kNever);
    EXPECT_THAT(log, ElementsAre(-1));
    event.set();
    loop->turn(loop->now());
    EXPECT_THAT(log, ElementsAre(-1, 2));
}

TEST_F(LoopTest, ADestroyedWaiterIsForgottenEvenAfterSet) {
    Event event(*loop);
    std::vector<int> log;
    TaskGroup first;
    TaskGroup second;
    first.spawn(wait_and_log(&event, kNever, &log, 1));
    second.spawn(wait_and_log(&event, kNever, &log, 2));
    event.set();
    first.cancel();
    loop->turn(loop->now());
    EXPECT_THAT(log, ElementsAre(2));
}

TEST_F(LoopTest, ReadyWorkThatMakesItselfReadyAgainDoesNotStarveTimers) {
    struct Again : Ready {
        explicit Again(Loop& l) : loop(l) {}

        void run() override {
            ++runs;
            loop.make_ready(*this);
        }

        Loop& loop;
        int runs = 0;
    };

    Again again(*loop);
    loop->make_ready(again);
    EXPECT_TRUE(sim::run_on(*loop, nap(loop.get(), 2ms)).has_value());
    EXPECT_GT(again.runs, 1);
}

}  // namespace
}  // namespace datapunk::mesh::io
