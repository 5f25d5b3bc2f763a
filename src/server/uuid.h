#pragma once

// Random UUIDs in Consul's form. Unique, not secret: who knows one can use it, as in Consul.

#include <string>

#include "core/rng.h"

namespace datapunk::mesh::server {

std::string new_uuid(core::Rng& rng);

}  // namespace datapunk::mesh::server
