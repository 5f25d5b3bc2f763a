// What is accepted is written back as itself (version 00) and cut states stay acceptable.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "wire/traceparent.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace datapunk::mesh::wire;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (const auto parent = parse_traceparent(text)) {
        std::string out;
        append_traceparent(out, *parent);
        if (parse_traceparent(out) != parent) std::abort();
        if (out.substr(2, 50) != text.substr(2, 50)) std::abort();
    }
    const std::string_view state = fit_tracestate(text);
    if (state.size() > 512 || fit_tracestate(state) != state) std::abort();
    return 0;
}
