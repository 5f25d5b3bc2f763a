#pragma once

// Small memory from per-thread free lists by size class, for what comes and goes with every call
// (coroutine frames, streams): ~10 ns instead of malloc's ~25, and nothing in steady state reaches
// the heap. A block is freed on the thread that made it; freeing elsewhere is correct, only slower
// later. At most 512 blocks of a class are kept, and those that a thread's sweeps find unused go
// back to the heap.

#include <cstddef>

namespace datapunk::mesh::core {

#if !defined(__has_feature)
#define __has_feature(x) 0
#endif

// Not under AddressSanitizer: it is to see every block's life.
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
inline constexpr bool kBlocksArePooled = false;
#else
inline constexpr bool kBlocksArePooled = true;
#endif

// `bytes` at least 1, and the same at both. Aligned as by operator new.
void* allocate_block(std::size_t bytes);
void free_block(void* memory, std::size_t bytes) noexcept;

// Half of what this thread has not needed since the last time goes back to the heap. Call about
// once a second; costs ~1 us, and ~10 ns a block.
void sweep_blocks() noexcept;

}  // namespace datapunk::mesh::core
