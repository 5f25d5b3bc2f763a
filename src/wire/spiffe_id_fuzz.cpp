// What is taken for an identity is written in one way only, and matches nobody else's pattern.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "wire/spiffe_id.h"

namespace {

using namespace datapunk::mesh::wire;

void require(bool holds) {
    if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    // A pattern, a blank, an identity.
    const std::size_t blank = bytes.find(' ');
    const std::string_view pattern = bytes.substr(0, blank);
    const std::string_view text = blank == std::string_view::npos ? bytes : bytes.substr(blank + 1);
    const auto id = parse_spiffe_id(text);
    if (!id) return 0;
    require(is_trust_domain(id->trust_domain));
    std::string again = "spiffe://";
    again += id->trust_domain;
    again += id->path;
    require(again == text);
    require(id->path.empty() || (id->path.front() == '/' && id->path.back() != '/'));
    require(id->path.find("/../") == std::string_view::npos);
    require(id->path.find("//") == std::string_view::npos);
    if (!check_spiffe_pattern(pattern) || !spiffe_matches(pattern, text)) return 0;
    const bool is_prefix = pattern.ends_with("/*");
    require(is_prefix ? text.starts_with(pattern.substr(0, pattern.size() - 1)) : text == pattern);
    return 0;
}
