// Any bytes as a policy's rules: no crash, no exception, no stack without bound.

#include <cstdint>
#include <string_view>

#include "server/acl/acl_bodies.h"
#include "server/acl/acl_rules.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace datapunk::mesh::server;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (auto rules = parse_acl_rules(text)) {
        AclRules twice = *rules;
        twice.add(*rules);
        if (!(twice == *rules)) __builtin_trap();
    }
    (void)parse_token(text);
    (void)parse_policy(text);
    if (const auto time = parse_rfc3339(text)) {
        const auto back = parse_rfc3339(format_rfc3339(*time));
        if (!back || *back != *time) __builtin_trap();
    }
    return 0;
}
