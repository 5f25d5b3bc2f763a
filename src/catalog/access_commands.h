#pragma once

// The commands that change access control and prepared queries. See command.h. Ids, secrets and
// times come with the command: applying it must give the same state each time.

#include <string>

#include "catalog/acl.h"
#include "catalog/queries.h"

namespace datapunk::mesh::catalog {

// The first management token; refused once there was one.
struct BootstrapAcl {
    AclTokenRow token;
    friend bool operator==(const BootstrapAcl&, const BootstrapAcl&) = default;
};

// Creates or replaces the token; tokens that have expired by `now` go.
struct SetAclToken {
    AclTokenRow token;
    Duration now = Duration::zero();  // since 1970
    friend bool operator==(const SetAclToken&, const SetAclToken&) = default;
};

struct DeleteAclToken {
    std::string accessor;
    friend bool operator==(const DeleteAclToken&, const DeleteAclToken&) = default;
};

struct SetAclPolicy {
    AclPolicyRow policy;
    friend bool operator==(const SetAclPolicy&, const SetAclPolicy&) = default;
};

// Tokens lose it.
struct DeleteAclPolicy {
    std::string id;
    friend bool operator==(const DeleteAclPolicy&, const DeleteAclPolicy&) = default;
};

struct SetQuery {
    QueryRow query;
    friend bool operator==(const SetQuery&, const SetQuery&) = default;
};

struct DeleteQuery {
    std::string id;
    friend bool operator==(const DeleteQuery&, const DeleteQuery&) = default;
};

}  // namespace datapunk::mesh::catalog
