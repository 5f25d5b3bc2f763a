#include "io/signals.h"

#include <fmt/format.h>
#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "io/epoll_loop.h"

namespace datapunk::mesh::io {

Task<Result<int>> Signals::next(Instant deadline) {
    if (waiting_.empty()) {
        const bool came = co_await came_.wait(deadline);
        if (!came || waiting_.empty()) {
            co_return Error{.code = Code::timeout, .what = "no signal before the deadline"};
        }
    }
    const int signal = waiting_.front();
    waiting_.erase(waiting_.begin());
    if (waiting_.empty()) came_.clear();
    co_return signal;
}

void Signals::deliver(int signal) {
    if (std::find(waiting_.begin(), waiting_.end(), signal) != waiting_.end()) return;
    waiting_.push_back(signal);
    came_.set();
}

struct KernelSignals::Source final : FdHandler {
    Source(EpollLoop& l, int descriptor, const sigset_t& m) : loop(l), fd(descriptor), mask(m) {}

    ~Source() {
        loop.remove(fd, *this);
        ::close(fd);
        pthread_sigmask(SIG_UNBLOCK, &mask, nullptr);
    }

    void on_events(std::uint32_t /*events*/) override {
        signalfd_siginfo info{};
        while (::read(fd, &info, sizeof info) == sizeof info) {
            owner->deliver(static_cast<int>(info.ssi_signo));
        }
    }

    EpollLoop& loop;
    int fd;
    sigset_t mask;
    KernelSignals* owner = nullptr;
};

Result<std::unique_ptr<KernelSignals>> KernelSignals::create(
    EpollLoop& loop, const std::vector<int>& signals
) {
    sigset_t mask;
    sigemptyset(&mask);
    for (const int signal : signals) sigaddset(&mask, signal);
    const int fd = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0) {
        return Error{
            .code = Code::exhausted, .what = fmt::format("signalfd: {}", std::strerror(errno))
        };
    }
    pthread_sigmask(SIG_BLOCK, &mask, nullptr);
    auto source = std::make_unique<Source>(loop, fd, mask);
    if (const int error = loop.add(fd, *source); error != 0) {
        return Error{
            .code = Code::exhausted, .what = fmt::format("signals: {}", std::strerror(error))
        };
    }
    return std::unique_ptr<KernelSignals>(new KernelSignals(loop, std::move(source)));
}

KernelSignals::KernelSignals(EpollLoop& loop, std::unique_ptr<Source> source)
    : Signals(loop), source_(std::move(source)) {
    source_->owner = this;
}

KernelSignals::~KernelSignals() = default;

}  // namespace datapunk::mesh::io
