#include "io/loop.h"

#include <atomic>

namespace datapunk::mesh::io {

void Loop::post(Function function) {
    {
        const std::lock_guard lock(posted_mutex_);
        posted_.push_back(std::move(function));
    }
    // The first poster since the loop last looked wakes it; the others ride along.
    if (!has_posted_.exchange(true, std::memory_order_acq_rel)) wake();
}

void Loop::run() {
    stopping_ = false;
    while (!stopping_) turn(kNever);
}

void Loop::stop() {
    post([this] { stopping_ = true; });
}

void Loop::turn(Instant latest) {
    const bool busy = !ready_.empty() || has_posted_.load(std::memory_order_acquire);
    poll(busy ? now_ : std::min(latest, timers_.next()));
    timers_.advance(now_);
    run_posted();
    run_ready();
}

void Loop::run_posted() {
    if (!has_posted_.exchange(false, std::memory_order_acq_rel)) return;
    std::vector<Function> batch;
    {
        const std::lock_guard lock(posted_mutex_);
        batch.swap(posted_);
    }
    for (Function& function : batch) function();
}

void Loop::run_ready() {
    // What becomes ready meanwhile waits for the next turn, so that IO is not starved.
    core::IntrusiveList<Ready> batch;
    batch.splice_back(ready_);
    while (Ready* ready = batch.pop_front()) ready->run();
}

void Event::set() noexcept {
    set_ = true;
    while (Ready* ready = waiting_.pop_front()) {
        auto& wait = static_cast<Wait&>(*ready);
        wait.Timer::cancel();
        wait.reached_ = true;
        loop_.make_ready(*ready);
    }
}

void Event::Wait::await_suspend(std::coroutine_handle<> waiting) noexcept {
    waiting_ = waiting;
    event_.waiting_.push_back(*this);
    event_.loop_.timers().arm(*this, deadline_);
}

void Event::Wait::on_fire(Timer& timer) {
    auto& wait = static_cast<Wait&>(timer);
    static_cast<Ready&>(wait).unlink();
    wait.waiting_.resume();
}

}  // namespace datapunk::mesh::io
