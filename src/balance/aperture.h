#pragma once

// Deterministic aperture (Finagle's DeterministicAperture): which part of a ring of endpoints one
// of several numbered callers takes.
//
//     endpoints  |----a----|----b----|----c----|----d----|     by weight, all of it [0, 1)
//     caller 1 of 3         |<------- aperture ------->|       b: 0.7, c: 1, d: 0.7
//
// Every aperture is a whole number of caller-widths, so that each point of the ring is covered by
// the same number of callers, and endpoints get exactly equal shares by weight, if callers make
// equally many calls. Pure; O(n).

#include <cstdint>
#include <span>
#include <vector>

namespace datapunk::mesh::balance {

// Of each endpoint, in the ring's order, the part within the aperture: 0..1. `size`: how many mean
// endpoints it must cover at least. caller < callers.
std::vector<double> aperture_parts(
    std::span<const std::uint32_t> weights,
    std::uint32_t size,
    std::uint32_t caller,
    std::uint32_t callers
);

}  // namespace datapunk::mesh::balance
