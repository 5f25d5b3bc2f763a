#pragma once

// subset_of(): which few of many endpoints this process talks to, so that a thousand clients do not
// keep a thousand connections each. Rendezvous hashing by the process's own seed (gRPC proposal
// A68, random subsetting): every client takes the `size` endpoints that rank highest for it. When
// one endpoint comes or goes, a client's subset changes by at most one; how many clients an
// endpoint gets varies (binomially): take twenty or more.
//
// Pure. O(n).

#include <cstdint>
#include <span>
#include <vector>

namespace datapunk::mesh::balance {

// Positions in `keys` (core::hash64 of the ids), ascending. All, if there are no more than `size`
// or `size` is 0.
std::vector<std::uint32_t> subset_of(
    std::span<const std::uint64_t> keys, std::size_t size, std::uint64_t seed
);

}  // namespace datapunk::mesh::balance
