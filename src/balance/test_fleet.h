#pragma once

// Tests only: endpoints with loads to balance over.

#include <array>
#include <cstdlib>
#include <deque>
#include <string>
#include <vector>

#include "balance/candidate.h"
#include "core/hash.h"

namespace datapunk::mesh::balance {

inline Instant at_ms(std::int64_t ms) {
    return Instant(std::chrono::milliseconds(ms));
}

// The seed of a randomised test: SEED= in the environment, else its default. Print it.
inline std::uint64_t test_seed(std::uint64_t fallback) {
    const char* given = std::getenv("SEED");
    return given == nullptr ? fallback : std::strtoull(given, nullptr, 10);
}

class TestFleet {
  public:
    explicit TestFleet(const std::vector<std::uint32_t>& weights) : loads_(weights.size()) {
        for (std::size_t i = 0; i < weights.size(); ++i) {
            const std::uint64_t key = core::hash64("endpoint-" + std::to_string(i));
            candidates_.push_back({.load = &loads_[i], .weight = weights[i], .key = key});
        }
    }

    explicit TestFleet(std::size_t size) : TestFleet(std::vector<std::uint32_t>(size, 1)) {}

    EndpointLoad& operator[](std::size_t i) { return loads_[i]; }

    const std::vector<Candidate>& candidates() const { return candidates_; }

    std::size_t size() const { return loads_.size(); }

    void exclude(std::size_t i, Instant until = kNever) {
        loads_[i].unavailable_until = until.time_since_epoch().count();
    }

    void include(std::size_t i) {
        loads_[i].unavailable_until = std::numeric_limits<std::int64_t>::min();
    }

  private:
    std::deque<EndpointLoad> loads_;
    std::vector<Candidate> candidates_;
};

// How often each candidate is picked; nobody is ever in flight.
template <class Picker>
std::vector<int> count_picks(
    const Picker& picker, std::size_t size, int picks, std::uint64_t seed, PickQuery query = {}
) {
    PickState state(seed);
    std::vector<int> counts(size);
    for (int i = 0; i < picks; ++i) {
        const auto picked = picker.pick(query, state);
        if (picked) ++counts[*picked];
    }
    return counts;
}

}  // namespace datapunk::mesh::balance
