#include "io/heap_trim.h"

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "core/block_pool.h"

namespace datapunk::mesh::io {

namespace {

// Less than this is not worth the faults of taking it again.
constexpr std::uint64_t kWorthwhileBytes = 512UL * 1024;
constexpr Duration kLookInterval = std::chrono::seconds(5);

std::uint64_t page_bytes() noexcept {
    return static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

std::uint64_t spare(const HeapUse& use) noexcept {
    return use.resident_bytes - std::min(use.resident_bytes, use.in_use_bytes);
}

bool has_written_text(const dl_phdr_info& object) noexcept {
    for (unsigned i = 0; i < object.dlpi_phnum; ++i) {
        const ElfW(Phdr)& part = object.dlpi_phdr[i];
        if (part.p_type != PT_DYNAMIC) continue;
        const auto* entry = reinterpret_cast<const ElfW(Dyn)*>(object.dlpi_addr + part.p_vaddr);
        for (; entry->d_tag != DT_NULL; ++entry) {
            if (entry->d_tag == DT_TEXTREL) return true;
            if (entry->d_tag == DT_FLAGS && (entry->d_un.d_val & DF_TEXTREL) != 0) return true;
        }
    }
    return false;
}

int forget_pages_of(dl_phdr_info* object, std::size_t /*size*/, void* /*data*/) noexcept {
    const std::uint64_t page = page_bytes();
    if (has_written_text(*object)) return 0;
    for (unsigned i = 0; i < object->dlpi_phnum; ++i) {
        const ElfW(Phdr)& part = object->dlpi_phdr[i];
        if (part.p_type != PT_LOAD || (part.p_flags & PF_W) != 0) continue;
        const std::uint64_t begin = (object->dlpi_addr + part.p_vaddr) & ~(page - 1);
        const std::uint64_t end = object->dlpi_addr + part.p_vaddr + part.p_filesz;
        // Private and never written: the file has the same bytes.
        madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
    }
    return 0;
}

}  // namespace

bool HeapTrim::is_due(const HeapUse& now) noexcept {
    const bool is_growing = now.in_use_bytes > in_use_before_ + in_use_before_ / 16;
    in_use_before_ = now.in_use_bytes;
    if (!has_looked_) {
        has_looked_ = true;
        spare_left_ = spare(now);
        return false;
    }
    spare_left_ = std::min(spare_left_, spare(now));
    return !is_growing && spare(now) >= spare_left_ + kWorthwhileBytes;
}

void HeapTrim::trimmed(const HeapUse& left) noexcept {
    spare_left_ = spare(left);
}

HeapUse read_heap_use() noexcept {
    HeapUse use;
    if (std::FILE* file = std::fopen("/proc/self/statm", "re"); file != nullptr) {
        unsigned long long total = 0;
        unsigned long long resident = 0;
        unsigned long long of_files = 0;
        if (std::fscanf(file, "%llu %llu %llu", &total, &resident, &of_files) == 3)
            use.resident_bytes = (resident - std::min(resident, of_files)) * page_bytes();
        std::fclose(file);
    }
#if defined(__GLIBC__)
    const auto heap = mallinfo2();
    use.in_use_bytes = heap.uordblks + heap.hblkhd;
#endif
    return use;
}

void trim_heap_if_due(HeapTrim& rule) noexcept {
#if defined(__GLIBC__)
    if (!rule.is_due(read_heap_use())) return;
    malloc_trim(0);
    rule.trimmed(read_heap_use());
#else
    static_cast<void>(rule);
#endif
}

Task<void> keep_heap_small(Loop& loop) {
    HeapTrim rule;
    for (;;) {
        trim_heap_if_due(rule);
        co_await sleep_for(loop, kLookInterval);
        core::sweep_blocks();
    }
}

void forget_start_pages() noexcept {
    dl_iterate_phdr(forget_pages_of, nullptr);
}

}  // namespace datapunk::mesh::io
