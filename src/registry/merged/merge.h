#pragma once

// How the answers of several registries about one service become one. Pure: what each member said
// last, and whether it can be asked at present, in; the endpoints to use, out.
//
//   priority  the first member, in order, that has any. One that fails is believed for
//             failover_after still; then the next one that has some steps in.
//   all       every member's endpoints together. One that fails keeps its last known part.
//
// Duplicates, in `all`: the same id at the same address is one endpoint, as the earlier member
// describes it, with the worse of the two healths (or the earlier one's: see MergeHealth). The same
// id elsewhere, or another id at the same address, is the earlier member's alone: an instance that
// is registered twice must not get twice the traffic.

#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/time.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace datapunk::mesh::registry::merged {

enum class MergeMode : std::uint8_t { priority, all };

// Of an endpoint that two members know.
enum class MergeHealth : std::uint8_t { worst, first };

struct MergeRules {
    MergeMode mode = MergeMode::priority;
    MergeHealth health = MergeHealth::worst;
    Duration failover_after = std::chrono::seconds(30);
};

// What one member said about the service.
struct MergePart {
    bool has_answered = false;
    std::vector<ServiceEndpoint> endpoints{};  // of its last answer; sorted by id
    std::optional<Instant> failing_since{};    // unset: its last answer was a good one
};

// Sorted by id.
std::vector<ServiceEndpoint> merge(
    const MergeRules& rules, const std::vector<MergePart>& parts, Instant now
);

// When merge() may say something else although no part has changed; kNever if never.
Instant merge_due(const MergeRules& rules, const std::vector<MergePart>& parts, Instant now);

}  // namespace datapunk::mesh::registry::merged
