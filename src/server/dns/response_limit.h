#pragma once

// ResponseLimit: how many answers a network gets by UDP in a second. The sender of a question by
// UDP can be forged, and an answer is larger than its question: without a limit we would be a
// weapon against whoever the forger names.
//
//   up to the limit: answered · up to ten times: "come by TCP", as short as the question · beyond:
//   silence
//
// A table of fixed size; networks that share a place share a limit, where the seed keeps a stranger
// from choosing whose. One loop's object; ~20 ns.

#include <datapunk/mesh/time.h>

#include <cstdint>
#include <vector>

#include "io/address.h"

namespace datapunk::mesh::server::dns {

class ResponseLimit {
  public:
    enum class Verdict : std::uint8_t { answer, cut, silent };

    ResponseLimit(std::uint32_t per_second_max, std::uint64_t seed)
        : per_second_max_(per_second_max), seed_(seed), places_(kPlaces) {}

    // Counts one question. This machine's own are always answered: its addresses do not come from
    // outside.
    Verdict ask(const io::SocketAddress& from, Instant now);

  private:
    struct Place {
        Instant since{};
        std::uint64_t count = 0;
    };

    static constexpr std::size_t kPlaces = 4096;
    static constexpr std::uint64_t kSilentFactor = 10;

    std::uint32_t per_second_max_;
    std::uint64_t seed_;
    std::vector<Place> places_;
};

}  // namespace datapunk::mesh::server::dns
