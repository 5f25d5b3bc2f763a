#pragma once

// Balancer: the algorithm that a service's BalanceConfig names, built on an immutable list of
// candidates. When membership, weights or the config change, build another one; what was learned
// about the endpoints stays in their EndpointLoads. Indices are positions in the list.
//
// WeightedResponseTime and ReportedLoad are weights that somebody renews (measured_weights.h), and
// here a static stride over them; Adaptive is what somebody chose for it (adaptive.h), and here its
// first choice.
//
// Threads: see candidate.h. pick() never returns an excluded candidate, and returns nothing only if
// all are excluded.

#include <datapunk/mesh/policy.h>

#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "balance/candidate.h"
#include "balance/custom.h"
#include "balance/least_request.h"
#include "balance/maglev.h"
#include "balance/peak_ewma.h"
#include "balance/random.h"
#include "balance/ring_hash.h"
#include "balance/round_robin.h"
#include "balance/static_stride.h"
#include "balance/weighted_round_robin.h"

namespace datapunk::mesh::balance {

class Balancer {
  public:
    Balancer(const BalanceConfig& config, std::vector<Candidate> candidates);

    std::optional<std::uint32_t> pick(const PickQuery& query, PickState& state) const noexcept;

  private:
    using Picker = std::variant<
        PeakEwmaPicker,
        RoundRobinPicker,
        WeightedRoundRobinPicker,
        StaticStridePicker,
        RandomPicker,
        LeastRequestPicker,
        RingHashPicker,
        MaglevPicker,
        CustomPicker>;

    static Picker make(const BalanceConfig& config, std::vector<Candidate> candidates);

    Picker picker_;
};

}  // namespace datapunk::mesh::balance
