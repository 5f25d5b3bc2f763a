#pragma once

// Counts what the program allocates, for tests that say "nothing". Include it in one .cpp of a test
// program only: it replaces operator new and delete. `total` counts all threads, `here` this one.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace datapunk::mesh::core::test_allocations {

inline std::atomic<std::uint64_t> total{0};
inline thread_local std::uint64_t here = 0;

inline void* counted(std::size_t bytes, std::size_t alignment) {
    total.fetch_add(1, std::memory_order_relaxed);
    ++here;
    const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    void* memory = std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
    if (memory == nullptr) std::abort();
    return memory;
}

}  // namespace datapunk::mesh::core::test_allocations

// g++ 12 inlines one half of a pair and then takes it for a mismatch: noinline.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
    return datapunk::mesh::core::test_allocations::counted(bytes, alignof(std::max_align_t));
}

[[gnu::noinline]] void* operator new(std::size_t bytes, std::align_val_t alignment) {
    return datapunk::mesh::core::test_allocations::counted(
        bytes, static_cast<std::size_t>(alignment)
    );
}

[[gnu::noinline]] void operator delete(void* memory) noexcept {
    std::free(memory);
}

[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}

[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept {
    std::free(memory);
}

[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
    std::free(memory);
}
