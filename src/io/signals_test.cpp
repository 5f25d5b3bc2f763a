#include "io/signals.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <csignal>
#include <optional>

#include "io/epoll_loop.h"
#include "sim/run.h"
#include "sim/sim_loop.h"
#include "sim/sim_signals.h"

namespace datapunk::mesh::io {
namespace {

using namespace std::chrono_literals;

TEST(SignalsTest, TakesRealSignalsFromTheKernelOnTheLoop) {
    const auto loop = EpollLoop::create().value();
    const auto signals = KernelSignals::create(*loop, {SIGUSR1, SIGUSR2}).value();
    const auto next = [&] { return sim::run_on(*loop, signals->next(loop->now() + 10s)).value(); };
    ::raise(SIGUSR1);
    ::raise(SIGUSR1);  // pending already: one
    EXPECT_EQ(next().value(), SIGUSR1);
    ::raise(SIGUSR2);
    EXPECT_EQ(next().value(), SIGUSR2);
    const auto none = sim::run_on(*loop, signals->next(loop->now() + 2ms)).value();
    EXPECT_EQ(none.error().code, Code::timeout);
}

TEST(SignalsTest, TheMaskIsRestored) {
    const auto loop = EpollLoop::create().value();
    sigset_t now;
    {
        const auto signals = KernelSignals::create(*loop, {SIGUSR1}).value();
        pthread_sigmask(SIG_BLOCK, nullptr, &now);
        EXPECT_EQ(sigismember(&now, SIGUSR1), 1);
    }
    pthread_sigmask(SIG_BLOCK, nullptr, &now);
    EXPECT_EQ(sigismember(&now, SIGUSR1), 0);
}

TEST(SignalsTest, SimulatedSignalsWakeAWaiterAndKeepTheirOrder) {
    sim::SimLoop loop(1);
    sim::SimSignals signals(loop);
    const auto next = [&] { return sim::run_on(loop, signals.next(loop.now() + 1s)).value(); };
    EXPECT_FALSE(next().ok());
    signals.raise(SIGTERM);
    signals.raise(SIGHUP);
    signals.raise(SIGTERM);
    EXPECT_EQ(next().value(), SIGTERM);
    EXPECT_EQ(next().value(), SIGHUP);
    EXPECT_FALSE(next().ok());
    loop.post([&] { signals.raise(SIGINT); });
    EXPECT_EQ(next().value(), SIGINT);
}

}  // namespace
}  // namespace datapunk::mesh::io
