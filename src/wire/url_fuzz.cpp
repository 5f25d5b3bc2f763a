// Round trips: what is encoded decodes to itself, what is printed parses to itself.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "wire/url.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace datapunk::mesh::wire;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (percent_decode(percent_encode(text)) != text) std::abort();
    if (const auto address = parse_host_port(text)) {
        const auto again = parse_host_port(address->text());
        if (!again || !(*again == *address)) std::abort();
    }
    if (const auto url = parse_url(text)) {
        if (url->host.empty() || url->path.front() != '/') std::abort();
    }
    if (const auto query = Query::parse(text)) {
        for (const Query::Parameter& parameter : query->parameters()) {
            if (!query->has(parameter.key)) std::abort();
        }
    }
    return 0;
}
