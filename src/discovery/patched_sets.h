#pragma once

// PatchedSets: makes a service's next EndpointSet from the one before and what has changed, without
// copying ten thousand endpoints for one of them. A set that nobody holds any more comes back
// instead of being freed, and is brought up to date:
//
//     set 7 (given up) ──what 8 and 9 changed──> like set 9 ──the patch──> set 10
//
// Snapshots stay immutable: a set comes back when its last shared_ptr has gone, so nobody can see
// it. There is one in reserve at most, of large services only, which costs the memory of one set;
// while old sets are still held somewhere, the new one is a copy.
//
// Threads: its loop's, but for the end of a set, which may come from any. It may go before its
// sets. Cost: O(changes) comparisons; endpoints that come or go move those behind them.

#include <datapunk/mesh/endpoint.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "registry/backend.h"

namespace datapunk::mesh::discovery {

// What the patch changes of `before`, as callers can tell (is_same()): without `all`.
EndpointChange effect_of(registry::Patch patch, const std::vector<ServiceEndpoint>& before);

// Makes the change, whose endpoints are sorted by id as these are.
void apply_change(std::vector<ServiceEndpoint>& endpoints, const EndpointChange& change);

class PatchedSets {
  public:
    PatchedSets();
    ~PatchedSets();
    PatchedSets(const PatchedSets&) = delete;
    PatchedSets& operator=(const PatchedSets&) = delete;

    // An empty one, which comes back when nobody holds it any more.
    std::shared_ptr<EndpointSet> fresh();
    // The endpoints of `latest` with the change made, as the next generation, or as the same one if
    // it changes nothing. The rest is the caller's to fill in.
    std::shared_ptr<EndpointSet> next(const EndpointSet& latest, const EndpointChange& change);
    // Nobody asks any more: what is in reserve is freed.
    void rest();

    // Sets whose endpoints were copied because none was in reserve.
    std::uint64_t copies() const noexcept { return copies_; }

  private:
    class Reserve;

    // Ids that a generation changed.
    struct Step {
        std::uint64_t generation;
        std::vector<std::string> ids;
    };

    bool bring_up_to(EndpointSet& set, const EndpointSet& latest) const;

    static constexpr std::size_t kStepsMax = 8;      // older sets are copied anew
    static constexpr std::size_t kStepIdsMax = 256;  // a greater change is as well

    std::shared_ptr<Reserve> reserve_;
    std::deque<Step> steps_;
    std::uint64_t copies_ = 0;
};

}  // namespace datapunk::mesh::discovery
