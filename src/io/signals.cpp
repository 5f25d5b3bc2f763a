#include "io/signals.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "io/epoll_loop.h"
#include "io/signal_fd.h"

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
    Source(EpollLoop& l, int descriptor, std::vector<int> signals)
        : loop(l), fd(descriptor), blocked(std::move(signals)) {}

    ~Source() {
        loop.remove(fd, *this);
        ::close(fd);
        unblock_signals(blocked);
    }

    void on_events(std::uint32_t /*events*/) override {
        while (const auto signal = read_signal(fd)) owner->deliver(*signal);
    }

    EpollLoop& loop;
    int fd;
    std::vector<int> blocked;
    KernelSignals* owner = nullptr;
};

Result<std::unique_ptr<KernelSignals>> KernelSignals::create(
    EpollLoop& loop, const std::vector<int>& signals
) {
    auto fd = open_signal_fd(signals);
    if (!fd) return std::move(fd).error();
    (void)block_signals(signals);
    auto source = std::make_unique<Source>(loop, *fd, signals);
    if (const int error = loop.add(*fd, *source); error != 0) {
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
