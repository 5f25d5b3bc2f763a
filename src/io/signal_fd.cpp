#include "io/signal_fd.h"

#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <limits>

namespace datapunk::mesh::io {

namespace {

sigset_t set_of(const std::vector<int>& signals) {
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : signals) sigaddset(&set, signal);
    return set;
}

}  // namespace

Result<int> open_signal_fd(const std::vector<int>& signals) {
    const sigset_t set = set_of(signals);
    const int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd >= 0) return fd;
    return Error{
        .code = Code::exhausted, .what = fmt::format("signalfd: {}", std::strerror(errno))
    };
}

std::optional<int> read_signal(int fd) noexcept {
    signalfd_siginfo info{};
    if (::read(fd, &info, sizeof info) != sizeof info) return std::nullopt;
    return static_cast<int>(info.ssi_signo);
}

bool wait_readable(int fd, Duration at_most) noexcept {
    using std::chrono::milliseconds;
    const auto begun = std::chrono::steady_clock::now();
    for (;;) {
        const auto waited = std::chrono::steady_clock::now() - begun;
        const Duration left = at_most - std::min<Duration>(waited, at_most);
        const auto ms =
            std::chrono::ceil<milliseconds>(std::min<Duration>(left, std::chrono::hours(1)));
        pollfd one{.fd = fd, .events = POLLIN, .revents = 0};
        const int ready = ::poll(&one, 1, static_cast<int>(ms.count()));
        if (ready > 0) return true;
        if (ready < 0 && errno != EINTR) return false;
        if (ready == 0 && left == Duration::zero()) return false;
    }
}

std::vector<int> block_signals(const std::vector<int>& signals) {
    const sigset_t set = set_of(signals);
    sigset_t before;
    pthread_sigmask(SIG_BLOCK, &set, &before);
    std::vector<int> blocked;
    for (const int signal : signals) {
        if (sigismember(&before, signal) == 0) blocked.push_back(signal);
    }
    return blocked;
}

void unblock_signals(const std::vector<int>& signals) noexcept {
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : signals) sigaddset(&set, signal);
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

AllSignalsBlocked::AllSignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    // A thread's own faults must not be blocked: it would be killed without a word.
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP}) sigdelset(&all, fault);
    pthread_sigmask(SIG_BLOCK, &all, &before_);
}

AllSignalsBlocked::~AllSignalsBlocked() {
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

}  // namespace datapunk::mesh::io
