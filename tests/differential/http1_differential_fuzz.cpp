// What we take for a message, llhttp and Boost.Beast read as the same one; where one of us refuses
// it, the reason is in the lists of comparison.cpp.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "comparison.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace datapunk::mesh::differential;
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    const Judgement judged = compare(kind_of(bytes), bytes);
    if (judged.finding.empty()) return 0;
    std::fprintf(stderr, "%s: %s\n", judged.finding.c_str(), escaped(bytes).c_str());
    std::abort();
}
