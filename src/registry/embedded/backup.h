#pragma once

// A backup of the embedded registry: one file, written by `dpmesh registry snapshot save` and
// GET /v1/snapshot. A head of text lines for people, the catalog's state, and a checksum of both:
//
//     dpmesh-snapshot 1\n
//     created: 2026-11-21T14:00:00.000Z\n
//     node: NAME\n
//     index: N\n   nodes: N\n   services: N\n   instances: N\n   keys: N\n   sessions: N\n
//     bytes: N\n
//     \n
//     N bytes of state (Catalog::encode_state)
//     16 hexadecimal digits: core::hash64 of everything before, seed 0x736e6170\n
//
// Whatever is not exactly that is refused. Pure.

#include <datapunk/mesh/result.h>
#include <datapunk/mesh/time.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "catalog/catalog.h"
#include "store/command_log.h"

namespace datapunk::mesh::registry::embedded {

struct BackupHead {
    std::string created;  // RFC 3339, UTC
    std::string node;
    std::uint64_t index = 0;
    std::uint64_t nodes = 0;
    std::uint64_t services = 0;
    std::uint64_t instances = 0;
    std::uint64_t keys = 0;
    std::uint64_t sessions = 0;
    std::uint64_t state_bytes = 0;
};

struct Backup {
    BackupHead head;
    std::string state;
};

std::string encode_backup(const catalog::Catalog& catalog, WallTime now);
// Errors say what is wrong with the bytes; code invalid.
[[nodiscard]] Result<Backup> decode_backup(std::string_view bytes);

// The catalog that a log's snapshot and entries add up to.
[[nodiscard]] Result<catalog::Catalog> fold(store::StoredState state);

}  // namespace datapunk::mesh::registry::embedded
