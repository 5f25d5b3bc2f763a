#pragma once

// Sets of endpoints as JSON text, for the shared cache and the disk snapshot: versioned, bounded,
// and checked field by field when it is read back, since others may have written it. Pure; about
// 1 ns a byte each way.
//
//     {"v":1,"service":"api","index":42,"age_ms":0,"endpoints":[{"id":"a","host":"10.0.0.1",
//      "port":80,"weight":1,"tags":["v1"],"meta":{"zone":"a"},"node":"n1","health":"passing"}]}

#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/result.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace datapunk::mesh::discovery {

// A set, and how long ago the registry last confirmed it, as seen when it was written.
struct AgedSet {
    EndpointSetPtr set;
    Duration age = Duration::zero();
};

std::string encode_set(const EndpointSet& set, Duration age);
// {"v":1,"sets":[…]}
std::string encode_sets(const std::vector<AgedSet>& sets);

// Errors: invalid, with what is wrong. Sorted by id; of a service and with at least one endpoint.
Result<AgedSet> decode_set(std::string_view json);
Result<std::vector<AgedSet>> decode_sets(std::string_view json);

// The same for sets that no caller could tell apart (is_same), in every process.
std::uint64_t content_hash(const std::vector<ServiceEndpoint>& endpoints);

}  // namespace datapunk::mesh::discovery
