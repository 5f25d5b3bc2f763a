#pragma once

// The request target's four forms (RFC 9112 3.2) and the authority in it and in Host.

#include <string_view>

#include "wire/http1/message.h"

namespace datapunk::mesh::wire::http1 {

// host or host:port; a name, an IPv4 address or [IPv6]. No userinfo, no empty host.
bool is_authority(std::string_view text) noexcept;

// Reads out.target: sets out.path, and out.host when the target names an authority.
Reject read_target(RequestHead& out) noexcept;

}  // namespace datapunk::mesh::wire::http1
