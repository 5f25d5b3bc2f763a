#include "core/epoch.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

namespace datapunk::mesh::core {

constinit thread_local ThreadSlot* this_thread_slot = nullptr;
constinit std::atomic<std::uint64_t> current_epoch{1};

namespace {

// Numbering threads is the one thing here that the process must agree on; it holds no state of any
// mesh.
constinit std::array<ThreadSlot, kThreadsMax> slots;
constinit ThreadSlot shared_slot{.index = kThreadsMax, .is_shared = true};
constinit std::atomic<std::uint32_t> slots_used{0};  // none at or above was ever taken
constinit std::atomic<std::uint64_t> shared_readers{0};

bool have_membarrier() noexcept {
    static const bool registered =
        syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
    return registered;
}

// Gives the slot back when the thread ends.
struct SlotOwner {
    ThreadSlot* slot = nullptr;

    ~SlotOwner() {
        if (slot == nullptr) return;
        this_thread_slot = &shared_slot;  // for destructors that run after this one
        slot->taken.store(false, std::memory_order_release);
    }
};

}  // namespace

ThreadSlot* join_thread_slots() noexcept {
    thread_local SlotOwner owner;
    for (std::uint32_t i = 0; i < kThreadsMax; ++i) {
        if (slots[i].taken.exchange(true, std::memory_order_acq_rel)) continue;
        slots[i].index = i;
        slots[i].depth = 0;
        slots[i].needs_fence = !have_membarrier();
        std::uint32_t used = slots_used.load();
        while (used < i + 1 && !slots_used.compare_exchange_weak(used, i + 1)) {
        }
        owner.slot = &slots[i];
        this_thread_slot = &slots[i];
        return this_thread_slot;
    }
    this_thread_slot = &shared_slot;
    return this_thread_slot;
}

void heavy_barrier() noexcept {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (have_membarrier()) syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}

void enter_shared_slot() noexcept {
    shared_readers.fetch_add(1, std::memory_order_seq_cst);
}

void leave_shared_slot() noexcept {
    shared_readers.fetch_sub(1, std::memory_order_release);
}

RetiredList::~RetiredList() {
    for (Retired& one : retired_) one.destroy();
}

void RetiredList::add(UniqueFunction<void()> destroy) {
    retired_.push_back({.epoch = current_epoch.fetch_add(1), .destroy = std::move(destroy)});
}

std::size_t RetiredList::collect() {
    if (retired_.empty()) return 0;
    heavy_barrier(
    );  // every reader's "note the epoch, then read the pointer" happens in that order
    if (shared_readers.load(std::memory_order_acquire) > 0) return 0;
    std::uint64_t oldest = std::numeric_limits<std::uint64_t>::max();
    const std::uint32_t used = slots_used.load();
    for (std::uint32_t i = 0; i < used; ++i) {
        const std::uint64_t entered = slots[i].entered.load(std::memory_order_acquire);
        if (entered != 0) oldest = std::min(oldest, entered);
    }
    // In order of age, so what may go is a prefix. Taken out first: destroying may retire more.
    const auto first_kept = std::find_if(retired_.begin(), retired_.end(), [&](const auto& one) {
        return one.epoch >= oldest;
    });
    std::vector<Retired> free(
        std::make_move_iterator(retired_.begin()), std::make_move_iterator(first_kept)
    );
    retired_.erase(retired_.begin(), first_kept);
    for (Retired& one : free) one.destroy();
    return free.size();
}

}  // namespace datapunk::mesh::core
