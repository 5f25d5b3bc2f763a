// What is taken for base64 is the same bytes however it is split, and encodes to what was sent.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/strings.h"
#include "wire/grpc/web.h"

namespace {

using namespace datapunk::mesh;

void require(bool holds) {
    if (!holds) std::abort();
}

bool decode(std::string_view text, std::size_t step, std::string& out) {
    wire::grpc::Base64Stream stream;
    for (std::size_t at = 0; at < text.size(); at += step) {
        if (!stream.decode(text.substr(at, step), out)) return false;
    }
    return stream.is_whole();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    std::string whole;
    std::string pieces;
    const bool is_good = decode(text, text.size(), whole);
    require(decode(text, data[0] % 7 + std::size_t{1}, pieces) == is_good);
    if (!is_good) return 0;
    require(whole == pieces);
    const std::size_t pad = text.find('=');
    if (pad == std::string_view::npos || pad + 2 >= text.size())
        require(core::base64_encode(whole) == text);
    (void)wire::grpc::web_type(text);
    return 0;
}
