#pragma once

// PendingQueue: calls that wait for a place of a concurrency limit, and who gets the next one.
//
//   push ─► critical │■■■            pop: of the oldest of each class the one with the least
//           high     │■■                  since + class x aging
//           normal   │■■■■■          full: the newest of the lowest class goes, or the one that
//           low      │■                    would be pushed
//           bulk     │
//
// Classes age: a call counts as having arrived `aging` later for each class that it is below
// critical, so that who has waited 4 x aging longer goes first whatever its class, and no class
// starves. Within a class it is first in, first out; or, with adaptive_lifo, last in, first out
// while the queue has not been empty for kOverloadedAfter: under overload the oldest are the ones
// whose callers have given up (Facebook, "Fail at Scale", ACM Queue 2015).
//
// Invariants, tested against a model: never more than `max` calls; with fifo, calls of one class
// leave in the order in which they came; nobody is passed by a call that came 4 x aging later.
//
// Thread rule: one owner, or a lock around all of it. O(1), nothing is allocated. A PendingCall
// must not die while it is in a queue that somebody else may use.

#include <datapunk/mesh/limits.h>
#include <datapunk/mesh/time.h>

#include <array>
#include <cstdint>

#include "core/intrusive_list.h"

namespace datapunk::mesh::resilience {

inline constexpr std::size_t kPriorities = 5;
static_assert(static_cast<std::size_t>(CallPriority::bulk) + 1 == kPriorities);

class PendingCall : public core::ListNode {
  public:
    CallPriority priority = CallPriority::normal;
    Instant since{};         // when it began to wait
    Instant until = kNever;  // when it has waited enough
};

struct PendingConfig {
    std::uint32_t max = 0;
    Duration aging{};
    PendingOrder order = PendingOrder::fifo;
};

class PendingQueue {
  public:
    static constexpr Duration kOverloadedAfter = std::chrono::milliseconds(100);

    // Those that wait already stay, also if they are more than the new `max`.
    void configure(const PendingConfig& config) noexcept { config_ = config; }

    // Who has to go for it: null = nobody, there was room; `call` itself, if the queue is full of
    // others that are no worse; or another, which is out of the queue now.
    PendingCall* push(PendingCall& call, Instant now) noexcept;

    // The next to get a place, out of the queue; null if nobody may. Of classes below `lowest` only
    // those that came before `old` may. One whose `until` has come is to be told so instead.
    PendingCall* pop(CallPriority lowest, Instant old, Instant now) noexcept;

    void remove(PendingCall& call) noexcept;

    std::uint32_t size() const noexcept { return size_; }

    // Of those that wait; bulk if nobody does.
    CallPriority highest() const noexcept;

  private:
    using List = core::IntrusiveList<PendingCall>;

    bool is_overloaded(Instant now) const noexcept {
        return config_.order == PendingOrder::adaptive_lifo && now - busy_since_ > kOverloadedAfter;
    }

    PendingConfig config_;
    std::array<List, kPriorities> lists_;  // by class, oldest first
    std::uint32_t size_ = 0;
    Instant busy_since_{};  // not empty since
};

}  // namespace datapunk::mesh::resilience
