#pragma once

// HeapTrim: gives a burst's memory back to the system once the burst is over. malloc keeps the
// pages that its users have freed, for good, as soon as anything younger lies above them;
// malloc_trim() finds them. It locks each arena in turn, ~2 ms for 20 MiB, so that it is called
// when there is something to gain and never on a worker's thread.
//
// It compares what of the process is resident with what malloc's users hold: the difference is what
// might be given back, less what was left of it the last time (pages with something still in use).

#include <cstdint>

#include "io/loop.h"
#include "io/task.h"

namespace datapunk::mesh::io {

struct HeapUse {
    std::uint64_t resident_bytes = 0;  // of all memory that is no file's
    std::uint64_t in_use_bytes = 0;    // of the heap
};

class HeapTrim {
  public:
    // Look every few seconds. True: trim, and tell what is left.
    bool is_due(const HeapUse& now) noexcept;
    void trimmed(const HeapUse& left) noexcept;

  private:
    bool has_looked_ = false;
    std::uint64_t in_use_before_ = 0;
    std::uint64_t spare_left_ = 0;
};

// ~30 us.
HeapUse read_heap_use() noexcept;

// Looks, and trims if that is due.
void trim_heap_if_due(HeapTrim& rule) noexcept;

// Does so every few seconds, and sweeps this thread's free blocks, until it is destroyed.
Task<void> keep_heap_small(Loop& loop);

// Unmaps the pages of the program and its libraries that nobody has written to: most were needed to
// start and never again. What is needed comes back with a page fault (~1 us for 64 KiB), from the
// page cache. Once, when a program has started.
void forget_start_pages() noexcept;

}  // namespace datapunk::mesh::io
