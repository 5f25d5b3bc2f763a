#pragma once

// Epoch-based reclamation: readers follow a published pointer without lock, reference count or
// written shared line; a writer that replaces the pointer learns when the old object can go.
//
//   reader   { const EpochGuard guard; use(published.load(std::memory_order_acquire)); }
//   writer   old = published.exchange(fresh); retired.add([old] { delete old; });
//            retired.collect();     frees what no reader that is still inside can have seen
//
// A guard notes the current epoch in the thread's own slot. The order "note, then read the pointer"
// costs the reader nothing: the writer pays for it with membarrier(2), or, where the kernel has no
// such call, both sides pay with a fence. Writers never wait for readers; they collect later.
//
// thread_index() numbers the living threads from 0, and reuses the numbers of those that ended, so
// that per-thread state can be a plain array.
//
// Threads: all of it from any thread, but one RetiredList belongs to one writer at a time. Guards
// nest and must end in the thread that made them; keep them short. Cost: ~1 ns per guard.
// Source: Fraser 2004, chapter 5; Desnoyers, "membarrier" (Linux 4.3, expedited 4.14).

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/function.h"

namespace datapunk::mesh::core {

// Threads that may be known at the same time. More work too, but share the number kThreadsMax and
// keep writers from collecting while they read.
inline constexpr std::uint32_t kThreadsMax = 512;

struct ThreadSlot {
    alignas(64) std::atomic<std::uint64_t> entered{0};  // the epoch seen on entry; 0 = outside
    std::uint32_t depth = 0;                            // the thread's own
    std::uint32_t index = 0;
    bool needs_fence = false;
    bool is_shared = false;
    std::atomic<bool> taken{false};
};

// This thread's slot; null until its first use of this header.
extern constinit thread_local ThreadSlot* this_thread_slot;
extern constinit std::atomic<std::uint64_t> current_epoch;

ThreadSlot* join_thread_slots() noexcept;
void enter_shared_slot() noexcept;
void leave_shared_slot() noexcept;

inline ThreadSlot& thread_slot() noexcept {
    ThreadSlot* slot = this_thread_slot;
    if (slot == nullptr) [[unlikely]]
        slot = join_thread_slots();
    return *slot;
}

// In [0, kThreadsMax): this thread's alone while it lives. kThreadsMax: shared, see there.
inline std::uint32_t thread_index() noexcept {
    return thread_slot().index;
}

class EpochGuard {
  public:
    EpochGuard() noexcept : slot_(thread_slot()) {
        if (slot_.is_shared) [[unlikely]] {
            enter_shared_slot();
            return;
        }
        if (slot_.depth++ > 0) return;
        slot_.entered.store(
            current_epoch.load(std::memory_order_acquire), std::memory_order_release
        );
        if (slot_.needs_fence) {
            std::atomic_thread_fence(std::memory_order_seq_cst);
        } else {
            std::atomic_signal_fence(std::memory_order_seq_cst);
        }
    }

    ~EpochGuard() {
        if (slot_.is_shared) [[unlikely]] {
            leave_shared_slot();
            return;
        }
        if (--slot_.depth == 0) slot_.entered.store(0, std::memory_order_release);
    }

    EpochGuard(const EpochGuard&) = delete;
    EpochGuard& operator=(const EpochGuard&) = delete;

  private:
    ThreadSlot& slot_;
};

// The two halves of an order between threads, where one side runs often: if a thread writes A,
// calls light_barrier() and reads B, and another writes B, calls heavy_barrier() and reads A, then
// at least one of them sees what the other wrote. The light one costs nothing but on kernels
// without membarrier(2); the heavy one is a system call.
inline void light_barrier() noexcept {
    const ThreadSlot& slot = thread_slot();
    if (slot.needs_fence || slot.is_shared) [[unlikely]] {
        std::atomic_thread_fence(std::memory_order_seq_cst);
    } else {
        std::atomic_signal_fence(std::memory_order_seq_cst);
    }
}

void heavy_barrier() noexcept;

// What a writer has unpublished and still has to destroy. Its owner must outlive all readers of
// what it holds: the destructor destroys everything at once.
class RetiredList {
  public:
    RetiredList() = default;
    RetiredList(const RetiredList&) = delete;
    RetiredList& operator=(const RetiredList&) = delete;
    ~RetiredList();

    // Call after new readers can no longer find the object.
    void add(UniqueFunction<void()> destroy);
    // Destroys what nobody can be reading any more. O(threads + retired), one system call.
    std::size_t collect();

    std::size_t size() const noexcept { return retired_.size(); }

  private:
    struct Retired {
        std::uint64_t epoch;  // readers that entered after it cannot have seen the object
        UniqueFunction<void()> destroy;
    };

    std::vector<Retired> retired_;
};

}  // namespace datapunk::mesh::core
