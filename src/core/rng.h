#pragma once

// Rng: xoshiro256++ (Blackman and Vigna 2019), seeded by splitmix64. Luck is an argument: the same
// seed gives the same run. Not for secrets. Not thread-safe: one per loop or thread. ~1 ns a draw.

#include <cstdint>
#include <limits>

namespace datapunk::mesh::core {

class Rng {
  public:
    using result_type = std::uint64_t;

    explicit Rng(std::uint64_t seed) noexcept {
        for (auto& word : state_) {
            seed += 0x9e3779b97f4a7c15U;
            std::uint64_t z = seed;
            z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
            z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
            word = z ^ (z >> 31U);
        }
    }

    static constexpr result_type min() noexcept { return 0; }

    static constexpr result_type max() noexcept {
        return std::numeric_limits<std::uint64_t>::max();
    }

    result_type operator()() noexcept {
        const std::uint64_t result = rotl(state_[0] + state_[3], 23) + state_[0];
        const std::uint64_t t = state_[1] << 17U;
        state_[2] ^= state_[0];
        state_[3] ^= state_[1];
        state_[1] ^= state_[2];
        state_[0] ^= state_[3];
        state_[2] ^= t;
        state_[3] = rotl(state_[3], 45);
        return result;
    }

    // Uniform in [0, n); n >= 1. Lemire's multiply-shift; the bias is below n / 2^64.
    std::uint64_t below(std::uint64_t n) noexcept {
        __extension__ using Wide = unsigned __int128;
        return static_cast<std::uint64_t>((static_cast<Wide>((*this)()) * n) >> 64U);
    }

    // Uniform in [0, 1).
    double unit() noexcept { return static_cast<double>((*this)() >> 11U) * 0x1.0p-53; }

    bool chance(double probability) noexcept { return unit() < probability; }

    // A generator of its own, for a part that must not disturb this one's sequence.
    Rng fork() noexcept { return Rng((*this)()); }

  private:
    static constexpr std::uint64_t rotl(std::uint64_t x, unsigned k) noexcept {
        return (x << k) | (x >> (64U - k));
    }

    std::uint64_t state_[4];
};

}  // namespace datapunk::mesh::core
