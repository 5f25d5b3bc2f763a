#include "registry/answer_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/strings.h"

namespace datapunk::mesh::registry {

namespace {

constexpr std::size_t kShownBytesMax = 80;  // of a body that makes no sense

}  // namespace

std::string shown(std::string_view text, std::size_t bytes_max) {
    const std::string_view trimmed = core::trim(text);
    std::string out(trimmed.substr(0, bytes_max));
    std::replace_if(
        out.begin(),
        out.end(),
        [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; },
        ' '
    );
    if (trimmed.size() > bytes_max) out += "…";
    return out;
}

Error malformed_answer(std::string_view body, std::string_view why) {
    return {
        .code = Code::invalid,
        .what = fmt::format(
            "the answer makes no sense ({}), it begins with \"{}\"",
            why,
            shown(body, kShownBytesMax)
        ),
        .source = Source::registry,
        .retryable = true
    };
}

}  // namespace datapunk::mesh::registry
