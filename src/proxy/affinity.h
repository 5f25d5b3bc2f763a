#pragma once

// affinity_hash(): what a request wants to stay with one endpoint for, as AffinityConfig says. The
// same in every process. Pure; allocates nothing.

#include <datapunk/mesh/policy.h>

#include <cstdint>
#include <optional>
#include <string_view>

#include "wire/http1/message.h"

namespace datapunk::mesh::proxy {

// Nothing if the request has no such header or cookie. Of several cookies of one name the first
// counts, as servers read them (RFC 6265 5.4 puts the most specific one first).
std::optional<std::uint64_t> affinity_hash(
    const AffinityConfig& config, const wire::http1::RequestHead& request, std::string_view address
) noexcept;

}  // namespace datapunk::mesh::proxy
