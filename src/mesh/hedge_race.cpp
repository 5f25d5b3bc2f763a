#include "mesh/hedge_race.h"

#include <datapunk/mesh/call.h>

#include <utility>

namespace datapunk::mesh {

bool Attempt::is_cancelled() const noexcept {
    return race_ != nullptr && race_->is_cancelled(slot_);
}

void Attempt::on_cancel(std::function<void()> callback) {
    if (race_ != nullptr) race_->on_cancel(slot_, std::move(callback));
}

namespace internal {

bool HedgeRace::is_cancelled(std::size_t slot) const {
    const std::lock_guard lock(mutex_);
    return sides_.at(slot).is_cancelled;
}

void HedgeRace::on_cancel(std::size_t slot, std::function<void()> callback) {
    {
        const std::lock_guard lock(mutex_);
        Side& side = sides_.at(slot);
        if (!side.is_cancelled) {
            side.callback = std::move(callback);
            return;
        }
    }
    callback();
}

void HedgeRace::cancel(std::size_t slot) {
    std::unique_lock lock(mutex_);
    Side& side = sides_.at(slot);
    if (side.is_cancelled || side.has_left) return;
    side.is_cancelled = true;
    const auto callback = std::exchange(side.callback, nullptr);
    if (!callback) return;
    side.is_called = true;
    lock.unlock();
    try {
        callback();
    } catch (...) {  // the other side waits for us, and has an answer
    }
    lock.lock();
    side.is_called = false;
    changed_.notify_all();
}

void HedgeRace::leave(std::size_t slot) {
    std::unique_lock lock(mutex_);
    Side& side = sides_.at(slot);
    side.has_left = true;
    side.callback = nullptr;
    changed_.wait(lock, [&side] { return !side.is_called; });
}

}  // namespace internal

}  // namespace datapunk::mesh
