// No bytes may crash the reader or make it wait for more than a greeting may have.

#include <cstdlib>

#include "wire/client_hello.h"

namespace wire = datapunk::mesh::wire;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    std::string name;
    const wire::HelloRead read = wire::read_server_name(text, name);
    if (name.size() > 253) std::abort();
    if (read != wire::HelloRead::done && !name.empty() && read == wire::HelloRead::more)
        std::abort();
    // More is asked for only as long as a greeting can go on: at worst a byte a record.
    if (read == wire::HelloRead::more && size > 6 * (wire::kClientHelloBytesMax + 4) + 16'400)
        std::abort();
    if (read == wire::HelloRead::done) {
        std::string part;
        for (std::size_t i = 0; i < size; i += 1 + size / 16) {
            const auto half = wire::read_server_name(text.substr(0, i), part);
            if (half == wire::HelloRead::malformed) std::abort();
        }
    }
    return 0;
}
