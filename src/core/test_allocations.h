#pragma once

// Counts what the program allocates, for tests that say "nothing". Include it in one .cpp of a test
// program only: it replaces operator new and delete. `total` counts all threads, `here` this one.
// Sanitizers bring theirs: there nothing is counted, and such tests are skipped.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MESH_COUNTS_ALLOCATIONS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define MESH_COUNTS_ALLOCATIONS 0
#endif
#endif
#ifndef MESH_COUNTS_ALLOCATIONS
#define MESH_COUNTS_ALLOCATIONS 1
#endif

namespace datapunk::mesh::core::test_allocations {

inline constexpr bool kIsCounting = MESH_COUNTS_ALLOCATIONS != 0;

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

#if MESH_COUNTS_ALLOCATIONS

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

#endif
