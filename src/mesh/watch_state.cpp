#include "mesh/watch_state.h"

#include <utility>

#include "discovery/endpoint_diff.h"
#include "io/thread_clock.h"

namespace datapunk::mesh::internal {

WatchState::WatchState(WatchCallback callback)
    : callback_(std::move(callback)), process_id_(io::process_id()) {}

bool WatchState::offer(EndpointSetPtr set, const EndpointChange* change) {
    const std::lock_guard lock(mutex_);
    if (is_stopped_) return false;
    const bool is_from_told = change != nullptr && newest_ == told_;
    next_.reset();
    if (is_from_told) next_ = *change;
    newest_ = std::move(set);
    return !std::exchange(is_on_the_way_, true);
}

WatchState::Delivered WatchState::deliver() {
    EndpointSetPtr now;
    EndpointSetPtr before;
    std::optional<EndpointChange> known;
    {
        const std::lock_guard lock(mutex_);
        now = newest_;
        if (is_stopped_ || now == told_) {
            is_on_the_way_ = false;
            return {};
        }
        caller_ = std::this_thread::get_id();
        before = std::exchange(told_, now);
        known = std::exchange(next_, std::nullopt);
    }
    Delivered out;
    try {
        const EndpointChange change =
            known ? *std::move(known) : discovery::difference(before.get(), now);
        // There and back again since the last call is no news.
        const bool is_news =
            !change.added.empty() || !change.removed.empty() || !change.changed.empty();
        if (is_news || before == nullptr) callback_(change);
    } catch (...) {
        out.thrown = std::current_exception();
    }
    {
        const std::lock_guard lock(mutex_);
        caller_ = {};
        is_on_the_way_ = !is_stopped_ && newest_ != now;
        out.again = is_on_the_way_;
    }
    ended_.notify_all();
    return out;
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
