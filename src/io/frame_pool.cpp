#include "io/frame_pool.h"

#include "core/block_pool.h"

namespace datapunk::mesh::io {

void* allocate_frame(std::size_t bytes) {
    return core::allocate_block(bytes);
}

void free_frame(void* frame, std::size_t bytes) noexcept {
    core::free_block(frame, bytes);
}

}  // namespace datapunk::mesh::io
