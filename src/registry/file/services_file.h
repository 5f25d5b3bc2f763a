#pragma once

// What a file registry's files say. Pure: texts in, endpoints out, or every problem with its line.
//
//   services:
//     api_service:
//       - host: 10.0.0.1
//         port: 8080
//         # and if wanted: id, weight, tags, meta
//         tags: [v1, canary]
//         meta: {zone: eu-1}
//
// JSON has the same shape. Several files are one registry: a service may be in many of them, an id
// once. The rules for names and values are those of a registration.

#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/result.h>

#include <cstddef>
#include <string>
#include <vector>

namespace datapunk::mesh::registry::file {

struct NamedText {
    std::string name;  // JSON if it ends with ".json"
    std::string text;

    friend bool operator==(const NamedText&, const NamedText&) = default;
};

// Sorted by service and id. The error is one line: the first problems, and how many more there are.
Result<std::vector<ServiceEndpoint>> parse_services_files(
    const std::vector<NamedText>& files, std::size_t endpoints_max
);

}  // namespace datapunk::mesh::registry::file
