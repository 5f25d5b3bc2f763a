#include "io/datagram.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

namespace datapunk::mesh::io {

void ReceiveAwait::await_suspend(std::coroutine_handle<> waiting) {
    waiting_ = waiting;
    socket_.set_receiver(this);
    socket_.loop().timers().arm(timer_, deadline_);
}

Result<Received> ReceiveAwait::await_resume() {
    if (timed_out_) {
        return Error{
            .code = Code::timeout,
            .what = "receive: no message before the deadline",
            .source = Source::upstream,
            .retryable = true
        };
    }
    if (result_.state == IoResult::State::failed) {
        return Error{
            .code = result_.error == ECANCELED ? Code::aborted : Code::unavailable,
            .what = fmt::format("receive: {}", std::strerror(result_.error)),
            .source = Source::upstream,
            .retryable = true
        };
    }
    return received_;
}

}  // namespace datapunk::mesh::io
