#include "mesh/watch_state.h"

#include <utility>

#include "io/thread_clock.h"

namespace datapunk::mesh::internal {

WatchState::WatchState(WatchCallback callback)
    : callback_(std::move(callback)), process_id_(io::process_id()) {}

void WatchState::call(const EndpointChange& change) {
    {
        const std::lock_guard lock(mutex_);
        if (is_stopped_) return;
        caller_ = std::this_thread::get_id();
    }
    struct End {  // the callback may throw
        WatchState& watch;

        ~End() { watch.end_call(); }
    } const end{*this};

    callback_(change);
}

void WatchState::end_call() {
    {
        const std::lock_guard lock(mutex_);
        caller_ = {};
    }
    ended_.notify_all();
}

void WatchState::stop() {
    // After fork() the thread that calls back exists in the parent only.
    if (io::process_id() != process_id_) return;
    std::unique_lock lock(mutex_);
    is_stopped_ = true;
    if (caller_ == std::this_thread::get_id()) return;
    ended_.wait(lock, [&] { return caller_ == std::thread::id(); });
}

}  // namespace datapunk::mesh::internal
