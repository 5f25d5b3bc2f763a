#include "wire/http2/memory.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>

#include "core/block_pool.h"

namespace datapunk::mesh::wire::http2 {
namespace {

// Who frees does not say how large it was: that stands before it.
struct alignas(std::max_align_t) Header {
    std::size_t bytes;  // with this
};

void* take(std::size_t bytes, void* /*user*/) {
    if (bytes > std::numeric_limits<std::size_t>::max() / 2) return nullptr;
    const std::size_t whole = bytes + sizeof(Header);
    try {
        return new (core::allocate_block(whole)) Header{whole} + 1;
    } catch (const std::bad_alloc&) {
        return nullptr;  // C code calls: it answers with an error of its own
    }
}

Header& header_of(void* memory) {
    return static_cast<Header*>(memory)[-1];
}

void give(void* memory, void* /*user*/) {
    if (memory == nullptr) return;
    Header& header = header_of(memory);
    core::free_block(&header, header.bytes);
}

void* take_zeroed(std::size_t count, std::size_t bytes, void* user) {
    if (bytes != 0 && count > std::numeric_limits<std::size_t>::max() / bytes) return nullptr;
    void* memory = take(count * bytes, user);
    if (memory != nullptr) std::memset(memory, 0, count * bytes);
    return memory;
}

void* resize(void* memory, std::size_t bytes, void* user) {
    if (memory == nullptr) return take(bytes, user);
    void* fresh = take(bytes, user);
    if (fresh == nullptr) return nullptr;
    std::memcpy(fresh, memory, std::min(bytes, header_of(memory).bytes - sizeof(Header)));
    give(memory, user);
    return fresh;
}

}  // namespace

nghttp2_mem* session_memory() noexcept {
    static nghttp2_mem memory{nullptr, take, give, take_zeroed, resize};
    return &memory;
}

}  // namespace datapunk::mesh::wire::http2
