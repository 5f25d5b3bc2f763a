#pragma once

// What the hashing algorithms share: the mixing function that places endpoints, the bound on one
// endpoint's load, and the exact choice when the table's answer is excluded.
//
// Everything here depends on the endpoints' keys and the call's hash alone, so that processes of
// any version that know the same endpoints choose the same one.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>

#include "balance/candidate.h"

namespace datapunk::mesh::balance {

// The finaliser of splitmix64 (Steele 2014). Never change it: it would move every session.
constexpr std::uint64_t mix64(std::uint64_t x) noexcept {
    x += 0x9e3779b97f4a7c15U;
    x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27U)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31U);
}

constexpr std::uint64_t mix64(std::uint64_t a, std::uint64_t b) noexcept {
    return mix64(a ^ mix64(b));
}

// Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2016): nobody carries more
// than `factor` times its share of all calls in flight; the next in line takes what is beyond.
class LoadBound {
  public:
    // Factor 0: no bound; else at least 1.
    LoadBound(double factor, std::span<const Candidate> candidates) noexcept : factor_(factor) {
        for (const Candidate& c : candidates) weights_ += c.weight;
    }

    bool is_full(const Candidate& candidate, const PickQuery& query) const noexcept {
        if (factor_ <= 0) return false;
        const double share = static_cast<double>(query.in_flight + 1) * candidate.weight / weights_;
        const double limit = std::max(1.0, factor_ * share);
        const auto carried = candidate.load->in_flight.load(std::memory_order_relaxed);
        return carried + 1 > limit;
    }

  private:
    double factor_;
    double weights_ = 0;
};

// Rendezvous hashing (Thaler, Ravishankar 1998) over who is included: the same answer everywhere,
// O(n). For when the table's own answers are excluded. Full ones only if all included are full.
std::optional<std::uint32_t> rendezvous(
    std::span<const Candidate> candidates,
    const PickQuery& query,
    std::uint64_t hash,
    const LoadBound& bound
) noexcept;

}  // namespace datapunk::mesh::balance
