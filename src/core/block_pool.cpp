#include "core/block_pool.h"

#include <array>
#include <new>
#include <utility>

namespace datapunk::mesh::core {

namespace {

constexpr std::size_t kClassBytes = 64;
constexpr std::size_t kClasses = 64;           // blocks up to 4 KiB; larger ones are rare
constexpr std::size_t kKeptPerClassMax = 512;  // a burst's memory goes back to the heap

struct Block {
    Block* next;
};

// A list of free blocks of one class.
struct List {
    Block* first = nullptr;
    std::size_t count = 0;

    void push(Block* block) noexcept {
        block->next = first;
        first = block;
        ++count;
    }

    Block* pop() noexcept {
        Block* block = first;
        if (block != nullptr) {
            first = block->next;
            --count;
        }
        return block;
    }
};

// Trivially destroyed, so that blocks freed while the thread ends still find it; the guard empties
// it. (A destructor of its own could not say "closed": stores into a dying object are dropped.)
struct Pool {
    std::array<List, kClasses> free{};
    // Of what was free at the last sweep, what has not been needed since: taken from last.
    std::array<List, kClasses> unused{};
    // Of each class; 0 before there is a guard, and when the thread ends.
    std::size_t kept_max = 0;
    bool closed = false;
};

constinit thread_local Pool pool;

struct Guard {
    ~Guard() {
        pool.closed = true;
        pool.kept_max = 0;
        for (auto* lists : {&pool.free, &pool.unused}) {
            for (List& list : *lists) {
                while (Block* block = list.pop()) ::operator delete(block);
            }
        }
    }
};

void guard_pool() {
    thread_local const Guard guard;
    pool.kept_max = kKeptPerClassMax;
}

}  // namespace

void* allocate_block(std::size_t bytes) {
    const std::size_t at = (bytes - 1) / kClassBytes;
    if (!kBlocksArePooled || at >= kClasses) return ::operator new(bytes);
    if (Block* block = pool.free[at].pop(); block != nullptr) return block;
    if (Block* block = pool.unused[at].pop(); block != nullptr) return block;
    return ::operator new((at + 1) * kClassBytes);
}

void free_block(void* memory, std::size_t bytes) noexcept {
    const std::size_t at = (bytes - 1) / kClassBytes;
    if (!kBlocksArePooled || at >= kClasses ||
        pool.free[at].count + pool.unused[at].count >= pool.kept_max) {
        const bool is_first = kBlocksArePooled && pool.kept_max == 0 && !pool.closed;
        if (is_first) guard_pool();
        ::operator delete(memory);
        return;
    }
    pool.free[at].push(static_cast<Block*>(memory));
}

void sweep_blocks() noexcept {
    if (pool.closed) return;
    for (std::size_t at = 0; at < kClasses; ++at) {
        List& free = pool.free[at];
        List& unused = pool.unused[at];
        // Rounded up: the last one goes too.
        for (std::size_t left = (unused.count + 1) / 2; left > 0; --left) {
            ::operator delete(unused.pop());
        }
        while (Block* block = unused.pop()) free.push(block);
        std::swap(free, unused);
    }
}

}  // namespace datapunk::mesh::core
