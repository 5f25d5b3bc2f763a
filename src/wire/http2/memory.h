#pragma once

// nghttp2's memory: some sixteen small pieces for each request, from the thread's free lists
// instead of the heap.

#include <nghttp2/nghttp2.h>

namespace datapunk::mesh::wire::http2 {

// For nghttp2_session_*_new3(). Never null; not written to.
nghttp2_mem* session_memory() noexcept;

}  // namespace datapunk::mesh::wire::http2
