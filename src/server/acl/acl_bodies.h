#pragma once

// Bodies of /v1/acl -> plain data. As bodies.h: nothing is trusted, errors are Consul's texts.

#include <datapunk/mesh/result.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "catalog/acl.h"

namespace datapunk::mesh::server {

// A link to a policy: by id, or else by name.
struct PolicyLink {
    std::string id;
    std::string name;
};

struct TokenBody {
    catalog::AclTokenRow row;  // without policies
    std::vector<PolicyLink> policies;
    std::string expiration_time;                 // RFC 3339, or ""
    Duration expiration_ttl = Duration::zero();  // zero = not given
};

Result<TokenBody> parse_token(std::string_view body);
Result<catalog::AclPolicyRow> parse_policy(std::string_view body);
// PUT /acl/token/ID/clone: the new description; nothing if none is given.
Result<std::optional<std::string>> parse_clone(std::string_view body);
// PUT /acl/bootstrap: BootstrapSecret, or "".
Result<std::string> parse_bootstrap(std::string_view body);

// RFC 3339 in UTC, with as many digits of a second as it takes: "2026-11-21T03:24:48.1Z".
std::string format_rfc3339(Duration since_1970);
std::optional<Duration> parse_rfc3339(std::string_view text);

}  // namespace datapunk::mesh::server
