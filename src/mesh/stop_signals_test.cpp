#include <datapunk/mesh/mesh.h>
#include <datapunk/mesh/signals.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>

namespace datapunk::mesh {
namespace {

using namespace std::chrono_literals;

bool is_blocked(int signal) {
    sigset_t now;
    pthread_sigmask(SIG_BLOCK, nullptr, &now);
    return sigismember(&now, signal) == 1;
}

TEST(StopSignals, AreWaitedForInsteadOfKilling) {
    auto signals = StopSignals::create({SIGUSR1, SIGUSR2});
    ASSERT_TRUE(signals) << signals.error().what;
    EXPECT_EQ(signals->wait(0s).error().code, Code::timeout);
    ::kill(::getpid(), SIGUSR2);
    pollfd one{.fd = signals->fd(), .events = POLLIN, .revents = 0};
    EXPECT_EQ(::poll(&one, 1, 10'000), 1);
    EXPECT_EQ(*signals->wait(), SIGUSR2);
    StopSignals moved = *std::move(signals);
    EXPECT_EQ(signals->fd(), -1);
    ::kill(::getpid(), SIGUSR1);
    EXPECT_EQ(*moved.wait(), SIGUSR1);
    EXPECT_EQ(moved.wait(1ms).error().code, Code::timeout);
}

TEST(StopSignals, LeaveTheMaskAsItWas) {
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &one, nullptr);
    {
        const auto signals = StopSignals::create({SIGUSR1, SIGUSR2});
        EXPECT_TRUE(is_blocked(SIGUSR1));
        EXPECT_TRUE(is_blocked(SIGUSR2));
    }
    EXPECT_TRUE(is_blocked(SIGUSR1)) << "somebody else had blocked it";
    EXPECT_FALSE(is_blocked(SIGUSR2));
    pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
}

TEST(StopSignals, SomeCannotBeWaitedFor) {
    for (const int signal : {0, -1, 999, SIGKILL, SIGSTOP, SIGSEGV}) {
        EXPECT_EQ(StopSignals::create({signal}).error().code, Code::invalid) << signal;
    }
}

std::atomic<pid_t> handled_by{0};

void note_thread(int) {
    handled_by = ::gettid();
}

TEST(StopSignals, AMeshsThreadsDoNotRunTheProgramsHandlers) {
    const auto mesh = ServiceMesh::create({.registry = Fixed{}});
    ASSERT_TRUE(mesh);
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGUSR1);
    struct sigaction ours{};
    struct sigaction before{};
    ours.sa_handler = note_thread;
    sigaction(SIGUSR1, &ours, &before);
    // Blocked here: were the mesh's threads to take signals, the kernel would give it to one.
    pthread_sigmask(SIG_BLOCK, &one, nullptr);
    ::kill(::getpid(), SIGUSR1);
    EXPECT_EQ(handled_by.load(), 0);
    pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
    EXPECT_EQ(handled_by.load(), ::gettid());
    sigaction(SIGUSR1, &before, nullptr);
}

// A whole program: SIGTERM ends it by leaving its blocks, and what it registered is withdrawn.
TEST(StopSignals, EndAProgramByItsDestructors) {
    int done[2];
    ASSERT_EQ(::pipe(done), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        auto signals = StopSignals::create();
        char ended = 'n';
        {
            auto mesh = ServiceMesh::create({.registry = Embedded{}});
            auto me = mesh->register_service({.name = "web", .host = "127.0.0.1", .port = 80});
            if (me && ::write(done[1], "r", 1) == 1) (void)signals->wait(1min);
            ended = 'y';
        }
        ::_exit(::write(done[1], &ended, 1) == 1 ? 7 : 1);
    }
    char byte = 0;
    ASSERT_EQ(::read(done[0], &byte, 1), 1);
    EXPECT_EQ(byte, 'r');
    ::kill(child, SIGTERM);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 7);
    EXPECT_EQ(::read(done[0], &byte, 1), 1);
    EXPECT_EQ(byte, 'y');
    ::close(done[0]);
    ::close(done[1]);
}

}  // namespace
}  // namespace datapunk::mesh
