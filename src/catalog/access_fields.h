#pragma once

// The fields of access control and prepared queries; see fields.h, which includes this.

#include "catalog/access_commands.h"

namespace datapunk::mesh::catalog {

// clang-format off
void fields(auto& a, auto& r, const AclPolicyRow*) {
    all(a, r.id, r.name, r.description, r.rules, r.datacenters, r.index);
}
void fields(auto& a, auto& r, const AclServiceIdentity*) { all(a, r.service, r.datacenters); }
void fields(auto& a, auto& r, const AclNodeIdentity*) { all(a, r.node, r.datacenter); }
void fields(auto& a, auto& r, const AclTokenRow*) {
    all(a, r.accessor, r.secret, r.description, r.policies, r.service_identities, r.node_identities,
        r.local, r.created, r.expires, r.index);
}
void fields(auto& a, auto& r, const AclStore::State*) {
    all(a, r.tokens, r.policies, r.bootstrap_index, r.index);
}
void fields(auto& a, auto& r, const QueryRow*) {
    all(a, r.id, r.name, r.token, r.service, r.only_passing, r.ignore_checks, r.near, r.tags,
        r.node_meta, r.service_meta, r.dns_ttl, r.index);
}
void fields(auto& a, auto& r, const QueryStore::State*) { all(a, r.rows, r.index); }

void fields(auto& a, auto& r, const BootstrapAcl*) { all(a, r.token); }
void fields(auto& a, auto& r, const SetAclToken*) { all(a, r.token, r.now); }
void fields(auto& a, auto& r, const DeleteAclToken*) { all(a, r.accessor); }
void fields(auto& a, auto& r, const SetAclPolicy*) { all(a, r.policy); }
void fields(auto& a, auto& r, const DeleteAclPolicy*) { all(a, r.id); }
void fields(auto& a, auto& r, const SetQuery*) { all(a, r.query); }
void fields(auto& a, auto& r, const DeleteQuery*) { all(a, r.id); }
// clang-format on

}  // namespace datapunk::mesh::catalog
