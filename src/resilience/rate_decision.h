#pragma once

// RateDecision: what a rate limit says to a call.

#include <datapunk/mesh/time.h>

namespace datapunk::mesh::resilience {

struct RateDecision {
    bool is_admitted = true;
    Duration wait{};  // until its turn; of a refused call, until it is worth asking again

    friend bool operator==(const RateDecision&, const RateDecision&) = default;
};

}  // namespace datapunk::mesh::resilience
