#pragma once

// GroupedBalancer: groups of endpoints (spread.h), a Balancer for each. A pick chooses a group by
// the groups' shares, with a hash by the hash, so that a session stays in its group, else at
// random; a group that has nobody to offer passes the pick on to the others in their order. With
// one group, the usual case, it costs nothing over the Balancer.
//
// Indices are positions in the list of all groups' candidates one behind the other. Threads: as
// Balancer.

#include <cstdint>
#include <optional>
#include <vector>

#include "balance/balancer.h"

namespace datapunk::mesh::balance {

class GroupedBalancer {
  public:
    struct Group {
        std::vector<Candidate> candidates;
        double share = 1;
    };

    GroupedBalancer(const BalanceConfig& config, std::vector<Group> groups);

    std::optional<std::uint32_t> pick(const PickQuery& query, PickState& state) const noexcept {
        if (places_.size() == 1) [[likely]] {
            return first_.pick(query, state);
        }
        return pick_group(query, state);
    }

  private:
    struct Place {
        std::uint32_t offset = 0;
        double until = 0;  // sum of the shares up to and with this one
        double share = 0;
    };

    std::optional<std::uint32_t> pick_group(const PickQuery& query, PickState& state)
        const noexcept;
    std::optional<std::uint32_t> pick_from(
        std::size_t group, const PickQuery& query, PickState& state
    ) const noexcept;

    Balancer first_;  // here, so that the usual pick has no further to go
    std::vector<Balancer> others_;
    std::vector<Place> places_;  // of all groups
};

}  // namespace datapunk::mesh::balance
