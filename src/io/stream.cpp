#include "io/stream.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

namespace datapunk::mesh::io {

std::string Stream::explain(int error) const {
    return std::strerror(error);
}

namespace detail {

void StreamWait::suspend(std::coroutine_handle<> waiting) {
    waiting_ = waiting;
    if (direction_ == Direction::read) {
        stream_.set_reader(this);
    } else {
        stream_.set_writer(this);
    }
    stream_.loop().timers().arm(timer_, deadline_);
}

void StreamWait::unregister() {
    waiting_ = {};
    timer_.cancel();
    if (direction_ == Direction::read) {
        stream_.set_reader(nullptr);
    } else {
        stream_.set_writer(nullptr);
    }
}

void StreamWait::finish() {
    const std::coroutine_handle<> waiting = waiting_;
    unregister();
    waiting.resume();
}

Error StreamWait::failure(int error, const char* verb) const {
    const std::string peer = stream_.peer().to_string();
    if (timed_out_) {
        return {
            .code = Code::timeout,
            .what = fmt::format("{} {}: no progress before the deadline", verb, peer),
            .source = Source::upstream,
            .retryable = true
        };
    }
    return {
        .code = error == ECANCELED ? Code::aborted : Code::unavailable,
        .what = fmt::format("{} {}: {}", verb, peer, stream_.explain(error)),
        .source = Source::upstream,
        .retryable = true
    };
}

}  // namespace detail

Result<std::size_t> ReadAwait::await_resume() {
    if (timed_out_ || result_.state == IoResult::State::failed) {
        return failure(result_.error, "read from");
    }
    return result_.bytes;
}

bool WriteAwait::attempt() {
    while (!slices_.empty()) {
        result_ = stream().write_some(slices_.data(), slices_.count());
        if (result_.state != IoResult::State::done) {
            return result_.state != IoResult::State::would_block;
        }
        slices_.consume(result_.bytes);
    }
    result_.state = IoResult::State::done;
    return true;
}

Result<> WriteAwait::await_resume() {
    if (timed_out_ || result_.state == IoResult::State::failed) {
        return failure(result_.error, "write to");
    }
    return Ok{};
}

Result<> ReadableAwait::await_resume() {
    if (timed_out_) return failure(0, "wait for");
    return Ok{};
}

}  // namespace datapunk::mesh::io
