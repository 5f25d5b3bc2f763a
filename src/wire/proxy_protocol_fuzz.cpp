// No bytes may crash the parser, make it take more than it says, or wait for more for ever; what it
// takes it can write again.

#include <cstdlib>

#include "wire/proxy_protocol.h"

namespace wire = datapunk::mesh::wire;

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    wire::ProxyHeader header;
    const wire::ProxyRead read = wire::parse_proxy_header(text, header);
    require(wire::proxy_bytes_wanted(text) >= 1);
    if (read == wire::ProxyRead::more) require(size < wire::kProxyHeaderBytesMax);
    if (read != wire::ProxyRead::done) return 0;
    require(header.bytes <= size && header.bytes <= wire::kProxyHeaderBytesMax);
    require(header.source.has_value() == header.destination.has_value());
    // A part of it is never taken for the whole.
    wire::ProxyHeader part;
    require(
        wire::parse_proxy_header(text.substr(0, header.bytes - 1), part) == wire::ProxyRead::more
    );
    if (!header.source) return 0;
    for (const auto append : {&wire::append_proxy_v1, &wire::append_proxy_v2}) {
        std::string again;
        append(again, *header.source, *header.destination);
        wire::ProxyHeader second;
        require(wire::parse_proxy_header(again, second) == wire::ProxyRead::done);
        require(second.source == header.source && second.destination == header.destination);
        require(second.bytes == again.size());
    }
    return 0;
}
