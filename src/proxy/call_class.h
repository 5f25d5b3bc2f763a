#pragma once

// priority_of(): the class that a request claims, as PriorityConfig says. Pure; allocates nothing.

#include <datapunk/mesh/limits.h>

#include "wire/http1/message.h"

namespace datapunk::mesh::proxy {

// normal without the header, or with anything in it that is not a class in lower case.
CallPriority priority_of(
    const PriorityConfig& config, const wire::http1::RequestHead& request
) noexcept;

}  // namespace datapunk::mesh::proxy
