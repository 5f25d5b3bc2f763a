#include "core/block_pool.h"

#include <array>
#include <new>

namespace datapunk::mesh::core {

namespace {

constexpr std::size_t kClassBytes = 64;
constexpr std::size_t kClasses = 64;           // blocks up to 4 KiB; larger ones are rare
constexpr std::size_t kKeptPerClassMax = 512;  // a burst's memory goes back to the heap

struct Block {
    Block* next;
};

// Trivially destroyed, so that blocks freed while the thread ends still find it; the guard empties
// it. (A destructor of its own could not say "closed": stores into a dying object are dropped.)
struct Pool {
    std::array<Block*, kClasses> head{};
    std::array<std::size_t, kClasses> count{};
    // Of each class; 0 before there is a guard, and when the thread ends.
    std::size_t kept_max = 0;
    bool closed = false;
};

constinit thread_local Pool pool;

struct Guard {
    ~Guard() {
        pool.closed = true;
        pool.kept_max = 0;
        for (Block*& list : pool.head) {
            while (list != nullptr) {
                Block* next = list->next;
                ::operator delete(list);
                list = next;
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
    if (Block* block = pool.head[at]; block != nullptr) {
        pool.head[at] = block->next;
        --pool.count[at];
        return block;
    }
    return ::operator new((at + 1) * kClassBytes);
}

void free_block(void* memory, std::size_t bytes) noexcept {
    const std::size_t at = (bytes - 1) / kClassBytes;
    if (!kBlocksArePooled || at >= kClasses || pool.count[at] >= pool.kept_max) {
        const bool is_first = kBlocksArePooled && pool.kept_max == 0 && !pool.closed;
        if (is_first) guard_pool();
        ::operator delete(memory);
        return;
    }
    auto* block = static_cast<Block*>(memory);
    block->next = pool.head[at];
    pool.head[at] = block;
    ++pool.count[at];
}

}  // namespace datapunk::mesh::core
