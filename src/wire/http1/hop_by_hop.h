#pragma once

// Which fields end at this hop (RFC 9110 7.6.1): the fixed ones, and those that Connection lists.
// Connection may nominate unknown fields only. Otherwise a client could have a proxy strip what it
// or others rely on: "Connection: x-forwarded-for" has been an attack on real systems.

#include <string_view>
#include <vector>

#include "wire/http1/message.h"

namespace datapunk::mesh::wire::http1 {

// Connection, Keep-Alive, Proxy-*, TE, Transfer-Encoding, Upgrade. Who speaks TE: trailers or
// upgrades on the other side says so with fields of its own.
bool is_hop_by_hop(Header id) noexcept;

bool nominated_by_connection(const std::vector<Field>& fields, std::string_view name) noexcept;

// Whether TE lists "trailers": the receiver keeps trailer fields (gRPC insists on it).
bool accepts_trailers(const std::vector<Field>& fields) noexcept;

}  // namespace datapunk::mesh::wire::http1
