#pragma once

// What can be said against a command of access control or a query without looking at the catalog:
// for prepare.cpp.

#include <datapunk/mesh/result.h>

#include "catalog/access_commands.h"

namespace datapunk::mesh::catalog {

Result<> prepare_access(const BootstrapAcl& c);
Result<> prepare_access(const SetAclToken& c);
Result<> prepare_access(const SetAclPolicy& c);
Result<> prepare_access(const SetQuery& c);

}  // namespace datapunk::mesh::catalog
