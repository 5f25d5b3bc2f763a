#include <datapunk/mesh/signals.h>
#include <unistd.h>

#include <csignal>
#include <utility>

#include "io/signal_fd.h"

namespace datapunk::mesh {

Result<StopSignals> StopSignals::create(std::vector<int> signals) {
    if (signals.empty()) signals = {SIGTERM, SIGINT};
    for (const int signal : signals) {
        const bool can_be = signal > 0 && signal <= SIGRTMAX && signal != SIGKILL &&
                            signal != SIGSTOP && signal != SIGSEGV && signal != SIGBUS &&
                            signal != SIGFPE && signal != SIGILL;
        if (!can_be) {
            return Error{
                .code = Code::invalid,
                .what = "signal " + std::to_string(signal) + " cannot be waited for"
            };
        }
    }
    std::vector<int> blocked = io::block_signals(signals);
    auto fd = io::open_signal_fd(signals);
    if (!fd) {
        io::unblock_signals(blocked);
        return std::move(fd).error();
    }
    return StopSignals(*fd, std::move(blocked));
}

StopSignals::StopSignals(StopSignals&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), blocked_(std::move(other.blocked_)) {}

StopSignals& StopSignals::operator=(StopSignals&& other) noexcept {
    if (this != &other) {
        close();
        fd_ = std::exchange(other.fd_, -1);
        blocked_ = std::move(other.blocked_);
    }
    return *this;
}

StopSignals::~StopSignals() {
    close();
}

void StopSignals::close() noexcept {
    if (fd_ < 0) return;
    ::close(std::exchange(fd_, -1));
    io::unblock_signals(blocked_);
}

Result<int> StopSignals::wait(Duration at_most) {
    if (io::wait_readable(fd_, at_most)) {
        if (const auto signal = io::read_signal(fd_)) return *signal;
    }
    return Error{.code = Code::timeout, .what = "no signal came"};
}

}  // namespace datapunk::mesh
