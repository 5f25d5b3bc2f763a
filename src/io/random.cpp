#include "io/random.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <cerrno>

#include "core/assert.h"

namespace datapunk::mesh::io {

std::string random_bytes(std::size_t count) {
    std::string out(count, '\0');
    std::size_t filled = 0;
    while (filled < count) {
        const ssize_t got = getrandom(out.data() + filled, count - filled, 0);
        // It cannot fail for want of entropy, only be interrupted; and going on without is no way.
        MESH_ASSERT(got > 0 || errno == EINTR);
        if (got > 0) filled += static_cast<std::size_t>(got);
    }
    return out;
}

std::string random_uuid() {
    const std::string bytes = random_bytes(16);
    std::string out;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        if (i == 4 || i == 6 || i == 8 || i == 10) out += '-';
        out += fmt::format("{:02x}", static_cast<unsigned char>(bytes[i]));
    }
    return out;
}

}  // namespace datapunk::mesh::io
