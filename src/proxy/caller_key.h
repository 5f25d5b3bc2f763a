#pragma once

// caller_of(): for whom a request or connection counts where limits are per caller (CallersConfig):
// who has proved a SPIFFE id, else who a header says, else the address. Pure; allocates nothing.
//
// The order matters: a header cannot speak for somebody else who has proved an identity, nor
// instead of one's own. Of an IPv6 address the first 64 bits count: a single caller has all the
// others at its command (RFC 6177).

#include <datapunk/mesh/limits.h>

#include <cstdint>

#include "policy/call_limits.h"
#include "proxy/connection_info.h"
#include "wire/http1/message.h"

namespace datapunk::mesh::proxy {

// CallState::caller; 0 if `limits` has none per caller.
std::uint64_t caller_of(
    const policy::CallLimits& limits,
    const CallersConfig& config,
    const wire::http1::RequestHead& request,
    const ConnectionInfo& from
) noexcept;
// Of a connection that carries no requests.
std::uint64_t caller_of(const policy::CallLimits& limits, const ConnectionInfo& from) noexcept;

}  // namespace datapunk::mesh::proxy
