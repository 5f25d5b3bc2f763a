#include "balance/maglev.h"

#include <algorithm>
#include <numeric>

namespace datapunk::mesh::balance {
namespace {

constexpr std::uint32_t kNobody = ~std::uint32_t{0};

bool is_prime(std::uint64_t n) noexcept {
    if (n < 2) return false;
    for (std::uint64_t d = 2; d * d <= n; ++d) {
        if (n % d == 0) return false;
    }
    return true;
}

std::uint64_t prime_from(std::uint64_t n) noexcept {
    while (!is_prime(n)) ++n;
    return n;
}

// The order in which one endpoint wants the table's places: a permutation, since the size is prime.
struct Wishes {
    std::uint64_t next;
    std::uint64_t skip;
    double turns = 0;  // taken or due so far, in units of the heaviest one's
};

}  // namespace

MaglevPicker::MaglevPicker(const Maglev& config, std::vector<Candidate> candidates)
    : candidates_(std::move(candidates)), bound_(config.bounded_load, candidates_) {
    if (candidates_.empty()) return;
    const std::uint64_t size =
        prime_from(std::max<std::uint64_t>(config.table_size, candidates_.size()));
    std::vector<Wishes> wishes;
    wishes.reserve(candidates_.size());
    std::uint32_t heaviest = 1;
    for (const Candidate& c : candidates_) {
        wishes.push_back({.next = mix64(c.key, 1) % size, .skip = mix64(c.key, 2) % (size - 1) + 1}
        );
        heaviest = std::max(heaviest, c.weight);
    }
    // Turns go by key, not by place in the list, so that the table depends on the members only.
    std::vector<std::uint32_t> order(candidates_.size());
    std::iota(order.begin(), order.end(), 0U);
    std::sort(order.begin(), order.end(), [this](std::uint32_t a, std::uint32_t b) {
        return candidates_[a].key < candidates_[b].key;
    });
    table_.assign(size, kNobody);
    std::uint64_t filled = 0;
    for (double round = 1; filled < size; ++round) {
        for (const std::uint32_t i : order) {
            Wishes& own = wishes[i];
            // At least one place each, however light.
            const double due = std::max(1.0, round * candidates_[i].weight / heaviest);
            if (due < own.turns + 1) continue;
            own.turns += 1;
            while (table_[own.next] != kNobody) own.next = (own.next + own.skip) % size;
            table_[own.next] = i;
            if (++filled == size) break;
        }
    }
}

std::optional<std::uint32_t> MaglevPicker::pick(const PickQuery& query, PickState& state)
    const noexcept {
    if (table_.empty()) return std::nullopt;
    const std::uint64_t hash = query.hash ? mix64(*query.hash) : state.rng();
    const std::uint32_t owner = table_[hash % table_.size()];
    const Candidate& candidate = candidates_[owner];
    if (!query.excludes(candidate.load) && !bound_.is_full(candidate, query)) return owner;
    return rendezvous(candidates_, query, hash, bound_);
}

}  // namespace datapunk::mesh::balance
