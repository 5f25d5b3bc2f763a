#pragma once

// The body of PUT /txn -> its operations. Pure. Errors are the client's (400) but for one: code
// exhausted is an operation too many (413).

#include <datapunk/mesh/result.h>

#include <string_view>

#include "catalog/txn.h"

namespace datapunk::mesh::server {

[[nodiscard]] Result<catalog::Txn> parse_txn(std::string_view body);

}  // namespace datapunk::mesh::server
