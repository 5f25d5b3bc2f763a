#include "resilience/pending_queue.h"

namespace datapunk::mesh::resilience {

PendingCall* PendingQueue::push(PendingCall& call, Instant now) noexcept {
    const auto own = static_cast<std::size_t>(call.priority);
    PendingCall* out = nullptr;
    if (size_ >= config_.max) {
        std::size_t worst = kPriorities - 1;
        while (worst > own && lists_[worst].empty()) --worst;
        if (worst <= own) return &call;
        out = &lists_[worst].back();
        remove(*out);
    }
    if (size_ == 0) busy_since_ = now;
    call.since = now;
    lists_[own].push_back(call);
    ++size_;
    return out;
}

PendingCall* PendingQueue::pop(CallPriority lowest, Instant old, Instant now) noexcept {
    List* best = nullptr;
    bool is_shed = false;  // of a class that only those who have waited long may leave
    Instant best_rank = Instant::max();
    for (std::size_t i = 0; i < kPriorities; ++i) {
        if (lists_[i].empty()) continue;
        const Instant since = lists_[i].front().since;
        const bool is_low = i > static_cast<std::size_t>(lowest);
        if (is_low && since >= old) continue;
        const Instant rank = since + config_.aging * static_cast<int>(i);
        if (rank >= best_rank) continue;
        best = &lists_[i];
        best_rank = rank;
        is_shed = is_low;
    }
    if (best == nullptr) return nullptr;
    PendingCall& next = is_overloaded(now) && !is_shed ? best->back() : best->front();
    remove(next);
    return &next;
}

CallPriority PendingQueue::highest() const noexcept {
    std::size_t i = 0;
    while (i + 1 < kPriorities && lists_[i].empty()) ++i;
    return static_cast<CallPriority>(i);
}

void PendingQueue::remove(PendingCall& call) noexcept {
    call.unlink();
    --size_;
}

}  // namespace datapunk::mesh::resilience
