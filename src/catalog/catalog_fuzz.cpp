// Any bytes as a snapshot, then as a log of commands on top of it: nothing crashes, and what was
// accepted survives encoding.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "catalog/catalog.h"
#include "catalog/command.h"

namespace catalog = datapunk::mesh::catalog;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    catalog::Catalog state;
    if (auto restored = catalog::Catalog::decode_state(bytes)) state = std::move(restored).value();
    (void)state.apply(catalog::SetLocalNode{{.name = "n", .address = "::1"}}).ok();
    // Records of up to 255 bytes, each behind its length.
    for (std::size_t at = 0; at < bytes.size();) {
        const auto length = static_cast<unsigned char>(bytes[at]);
        const auto command = catalog::decode_command(bytes.substr(at + 1, length));
        at += 1 + std::size_t{length};
        if (!command) continue;
        const auto back = catalog::decode_command(catalog::encode(*command));
        if (!back || !(*back == *command)) std::abort();
        (void)state.apply(*command).ok();
    }
    const std::string encoded = state.encode_state();
    const auto again = catalog::Catalog::decode_state(encoded);
    if (!again || again->encode_state() != encoded) std::abort();
    return 0;
}
