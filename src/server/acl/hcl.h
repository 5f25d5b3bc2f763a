#pragma once

// The part of HCL 1 that rules are written in, and JSON: text -> a tree of objects, lists and
// texts. For acl_rules.cpp only: includes nlohmann. Pure; bounded in depth.
//
//     body  = { key ( "=" value | { "label" } "{" body "}" ) [ "," ] }
//     value = "text" | number | true | false | "[" value, … "]" | "{" body "}"
//
// Comments: # and // to the end of the line, /* */. What comes several times becomes a list.

#include <datapunk/mesh/result.h>

#include <nlohmann/json.hpp>
#include <string_view>

namespace datapunk::mesh::server {

inline constexpr unsigned kHclDepthMax = 16;  // rules need three

// Errors as HCL's own: "At LINE:COLUMN: what".
Result<nlohmann::json> parse_hcl(std::string_view text);

}  // namespace datapunk::mesh::server
