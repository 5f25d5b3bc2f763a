#pragma once

// Request bodies as Consul's API has them -> commands. Field names in any case and with Consul's
// snake_case aliases; unknown fields, wrong types and malformed JSON are errors with Go's texts.
// Durations are Go's ("10s") or nanoseconds. Nothing is trusted: size, depth and every type are
// checked; defaults and limits of the values are catalog::prepare()'s. Pure.

#include <datapunk/mesh/result.h>

#include <string_view>

#include "catalog/command.h"

namespace datapunk::mesh::server {

inline constexpr std::size_t kJsonBytesMax = 1024 * 1024;  // 64 checks with every text at its limit
inline constexpr std::size_t kJsonDepthMax = 16;           // the deepest real body has 5

// All errors are the client's (status 400), their text is the whole answer.
Result<catalog::RegisterService> parse_service(std::string_view body);
Result<catalog::RegisterCheck> parse_check(std::string_view body);
// PUT /agent/check/update: Status and Output.
Result<catalog::UpdateCheck> parse_check_update(std::string_view body);
Result<catalog::CatalogRegister> parse_catalog_register(std::string_view body);
Result<catalog::CatalogDeregister> parse_catalog_deregister(std::string_view body);

}  // namespace datapunk::mesh::server
