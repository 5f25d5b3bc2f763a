#include "io/process.h"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <optional>

#include "core/strings.h"
#include "io/epoll_loop.h"
#include "sim/run.h"
#include "sim/sim_loop.h"
#include "sim/sim_processes.h"

namespace datapunk::mesh::io {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;

ProcessSpec shell(std::string script) {
    return {.arguments = {"sh", "-c", std::move(script)}};
}

Task<void> keep(Task<Result<ProcessResult>> task, std::optional<Result<ProcessResult>>* out) {
    auto value = co_await std::move(task);
    out->emplace(std::move(value));
}

class ProcessTest : public ::testing::Test {
  protected:
    ProcessTest() : loop(EpollLoop::create().value()), processes(*loop) {}

    Result<ProcessResult> run(ProcessSpec spec, Duration within = 20s) {
        auto task = processes.run(std::move(spec), loop->now() + within);
        return sim::run_on(*loop, std::move(task)).value();
    }

    std::unique_ptr<EpollLoop> loop;
    KernelProcesses processes;
};

TEST_F(ProcessTest, ReturnsStatusOutputAndErrors) {
    const auto done = run(shell("echo out; echo err >&2; exit 3")).value();
    EXPECT_EQ(done.exit_status, 3);
    EXPECT_EQ(done.signal, 0);
    EXPECT_EQ(done.output, "out\n");
    EXPECT_EQ(done.errors, "err\n");
    EXPECT_FALSE(done.is_cut || done.timed_out || done.ok());
    EXPECT_TRUE(run(shell("exit 0")).value().ok());
}

TEST_F(ProcessTest, GivesTheChildItsEnvironmentAndAnEmptyInput) {
    auto spec = shell("cat; echo $MESH_TEST_A$HOME");
    spec.environment = {"MESH_TEST_A=one", "HOME=/two"};
    EXPECT_EQ(run(spec).value().output, "one/two\n");
}

TEST_F(ProcessTest, AMissingProgramIsAnErrorThatNamesIt) {
    const auto missing = run({.arguments = {"/no/such/program"}});
    ASSERT_FALSE(missing.ok());
    EXPECT_EQ(missing.error().code, Code::not_found);
    EXPECT_THAT(missing.error().what, HasSubstr("run /no/such/program: No such file"));
    EXPECT_FALSE(run({}).ok());
}

TEST_F(ProcessTest, KeepsOnlySoMuchOutputButLetsTheChildFinish) {
    auto spec = shell("head -c 3000000 /dev/zero; echo done >&2");
    spec.output_bytes_max = 1'000;
    const auto done = run(spec).value();
    EXPECT_THAT(done.output, SizeIs(1'000));
    EXPECT_EQ(done.errors, "done\n");
    EXPECT_TRUE(done.is_cut);
    spec = shell("printf 12345");
    spec.output_bytes_max = 5;
    EXPECT_FALSE(run(spec).value().is_cut);
}

TEST_F(ProcessTest, ASignalThatEndsTheChildIsReported) {
    EXPECT_EQ(run(shell("kill -USR1 $$")).value().signal, SIGUSR1);
}

TEST_F(ProcessTest, TheDeadlineEndsTheChildPolitelyFirst) {
    const auto polite =
        run(shell("trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.01; done"), 1s)
            .value();
    EXPECT_TRUE(polite.timed_out);
    EXPECT_EQ(polite.exit_status, 7);
    EXPECT_EQ(polite.output, "up\nbye\n");
    auto stubborn = shell("trap '' TERM; while :; do sleep 0.01; done");
    stubborn.grace = 20ms;
    const auto killed = run(stubborn, 1s).value();
    EXPECT_TRUE(killed.timed_out);
    EXPECT_EQ(killed.signal, SIGKILL);
}

TEST_F(ProcessTest, WhatTheChildLeftBehindIsKilledAndNotWaitedFor) {
    const auto done = run(shell("sleep 1000 & echo $!")).value();
    EXPECT_TRUE(done.ok());
    const std::string_view line(done.output.data(), done.output.find('\n'));
    const auto orphan = core::parse_number<int>(line);
    ASSERT_TRUE(orphan.has_value()) << done.output;
    // A killed orphan may stay a zombie until init looks; it must not run.
    const Instant end = loop->now() + 10s;
    auto stat = shell("cut -d' ' -f3 /proc/" + std::to_string(*orphan) + "/stat 2>/dev/null");
    std::string state;
    do {
        state = run(stat).value().output;
    } while (state != "" && state != "Z\n" && loop->now() < end);
    EXPECT_TRUE(state.empty() || state == "Z\n") << state;
}

TEST_F(ProcessTest, DestroyingTheTaskKillsAndReapsTheChild) {
    std::optional<Result<ProcessResult>> out;
    TaskGroup group;
    group.spawn(keep(processes.run(shell("sleep 1000"), kNever), &out));
    siginfo_t info{};
    ASSERT_EQ(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT), 0);
    EXPECT_EQ(info.si_pid, 0);  // one child, still running
    group.cancel();
    const Instant end = loop->now() + 10s;
    while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && loop->now() < end) {
        loop->turn(loop->now() + 1ms);
    }
    EXPECT_EQ(errno, ECHILD);  // none is left, not even a zombie
}

TEST(SimProcessesTest, AnswersByScriptInVirtualTime) {
    sim::SimLoop loop(1);
    sim::SimProcesses processes(loop);
    processes.script("check", {.exit_status = 1, .output = "warn"}, 3s);
    const ProcessSpec spec{.arguments = {"check", "-v"}, .output_bytes_max = 2};
    auto fast = sim::run_on(loop, processes.run(spec, loop.now() + 10s)).value().value();
    EXPECT_EQ(fast.exit_status, 1);
    EXPECT_EQ(fast.output, "wa");
    EXPECT_TRUE(fast.is_cut);
    const Instant before = loop.now();
    EXPECT_TRUE(sim::run_on(loop, processes.run(spec, before + 1s)).value().value().timed_out);
    EXPECT_EQ(loop.now() - before, 1s);
    EXPECT_FALSE(sim::run_on(loop, processes.run({.arguments = {"other"}}, kNever)).value().ok());
    EXPECT_THAT(processes.runs(), SizeIs(3));
}

}  // namespace
}  // namespace datapunk::mesh::io
