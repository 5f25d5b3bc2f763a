#pragma once

// What the tests and benchmarks of this room share: short ways to write commands.

#include <string>
#include <utility>
#include <vector>

#include "catalog/catalog.h"
#include "catalog/command.h"

namespace datapunk::mesh::catalog {

inline SetLocalNode local_node() {
    return {
        .node =
            {.name = "ref1", .id = "3ad04841-5af7-3d3a-a1b9-971a56da8f32", .address = "127.0.0.1"}
    };
}

inline CheckRegistration ttl_check(std::string id, Duration ttl = std::chrono::seconds(10)) {
    CheckRegistration registration;
    registration.check.id = std::move(id);
    registration.check.definition.kind = CheckKind::ttl;
    registration.check.definition.ttl = ttl;
    return registration;
}

inline RegisterService web(std::string id, std::uint16_t port = 80) {
    RegisterService command;
    command.service.id = std::move(id);
    command.service.name = "web";
    command.service.port = port;
    return command;
}

inline RegisterService with_check(RegisterService command, CheckRegistration check) {
    command.checks.push_back(std::move(check));
    return command;
}

inline UpdateCheck status(std::string check_id, Health health, std::string output = {}) {
    return {.check_id = std::move(check_id), .status = health, .output = std::move(output)};
}

}  // namespace datapunk::mesh::catalog
