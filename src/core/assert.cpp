#include "core/assert.h"

#include <cstdio>
#include <cstdlib>

namespace datapunk::mesh::core {

void assertion_failed(const char* condition, const std::source_location& where) noexcept {
    std::fprintf(
        stderr,
        "%s:%u: assertion failed: %s (%s)\n",
        where.file_name(),
        static_cast<unsigned>(where.line()),
        condition,
        where.function_name()
    );
    std::abort();
}

}  // namespace datapunk::mesh::core
