#include "balance/subset.h"

#include <algorithm>
#include <numeric>

#include "balance/hashing.h"

namespace datapunk::mesh::balance {

std::vector<std::uint32_t> subset_of(
    std::span<const std::uint64_t> keys, std::size_t size, std::uint64_t seed
) {
    std::vector<std::uint32_t> chosen(keys.size());
    std::iota(chosen.begin(), chosen.end(), 0U);
    if (size == 0 || keys.size() <= size) return chosen;
    std::vector<std::uint64_t> rank(keys.size());
    for (std::size_t i = 0; i < keys.size(); ++i) rank[i] = mix64(keys[i], seed);
    const auto higher = [&](std::uint32_t a, std::uint32_t b) {
        return rank[a] != rank[b] ? rank[a] > rank[b] : keys[a] > keys[b];
    };
    const auto end = chosen.begin() + static_cast<std::ptrdiff_t>(size);
    std::nth_element(chosen.begin(), end, chosen.end(), higher);
    chosen.erase(end, chosen.end());
    std::sort(chosen.begin(), chosen.end());
    return chosen;
}

}  // namespace datapunk::mesh::balance
