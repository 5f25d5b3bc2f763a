#include "io/frame_pool.h"

#include <array>
#include <new>

namespace datapunk::mesh::io {

namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kPooling = false;  // let the sanitizer see every frame's life
#else
constexpr bool kPooling = true;
#endif

constexpr std::size_t kClassBytes = 64;
constexpr std::size_t kClasses = 64;           // frames up to 4 KiB; larger ones are rare
constexpr std::size_t kKeptPerClassMax = 512;  // a burst's memory goes back to the heap

struct Block {
    Block* next;
};

struct Pool {
    std::array<Block*, kClasses> head{};
    std::array<std::size_t, kClasses> count{};
    bool alive = true;

    ~Pool() {
        alive = false;
        for (Block*& list : head) {
            while (list != nullptr) {
                Block* next = list->next;
                ::operator delete(list);
                list = next;
            }
        }
    }
};

thread_local Pool pool;

}  // namespace

void* allocate_frame(std::size_t bytes) {
    const std::size_t at = (bytes - 1) / kClassBytes;
    if (!kPooling || at >= kClasses) return ::operator new(bytes);
    if (Block* block = pool.head[at]; block != nullptr) {
        pool.head[at] = block->next;
        --pool.count[at];
        return block;
    }
    return ::operator new((at + 1) * kClassBytes);
}

void free_frame(void* frame, std::size_t bytes) noexcept {
    const std::size_t at = (bytes - 1) / kClassBytes;
    if (!kPooling || at >= kClasses || !pool.alive || pool.count[at] >= kKeptPerClassMax) {
        ::operator delete(frame);
        return;
    }
    auto* block = static_cast<Block*>(frame);
    block->next = pool.head[at];
    pool.head[at] = block;
    ++pool.count[at];
}

}  // namespace datapunk::mesh::io
