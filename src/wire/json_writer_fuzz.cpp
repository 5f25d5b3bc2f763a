// Whatever the bytes, the string that is written is printable JSON: no control byte, no bare quote.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "wire/json_writer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace datapunk::mesh::wire;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    std::string out;
    append_json_string(out, text);
    if (out.size() < 2 || out.front() != '"' || out.back() != '"') std::abort();
    bool is_escaped = false;
    for (std::size_t i = 1; i + 1 < out.size(); ++i) {
        if (static_cast<unsigned char>(out[i]) < 0x20) std::abort();
        if (out[i] == '"' && !is_escaped) std::abort();
        is_escaped = out[i] == '\\' && !is_escaped;
    }
    if (is_escaped) std::abort();
    // Written text is valid UTF-8: nothing in it is replaced when it is written again.
    std::string again;
    append_json_string(again, out);
    std::size_t before = 0;
    std::size_t after = 0;
    for (std::size_t at = 0; (at = out.find("ufffd", at)) != std::string::npos; ++at) ++before;
    for (std::size_t at = 0; (at = again.find("ufffd", at)) != std::string::npos; ++at) ++after;
    if (before != after) std::abort();
    return 0;
}
