#pragma once

// Bytes that nobody can guess, from the kernel: for secrets and for the keys of hashes. What only
// has to differ is Loop::rng()'s, which a seed replays.

#include <cstddef>
#include <string>

namespace datapunk::mesh::io {

std::string random_bytes(std::size_t count);

// "f4ec51a2-e5af-07e1-bd68-77e870040f58": 128 random bits, as Consul makes them.
std::string random_uuid();

}  // namespace datapunk::mesh::io
