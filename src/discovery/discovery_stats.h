#pragma once

// DiscoveryStats: what discovery counts, for a collector to read. Plain numbers of one loop.

#include <cstddef>
#include <cstdint>

namespace datapunk::mesh::discovery {

struct DiscoveryStats {
    std::uint64_t hits = 0;             // answered from what was known
    std::uint64_t misses = 0;           // the registry was asked, or was being asked already
    std::uint64_t negative_hits = 0;    // of hits: "there is none", or a failure repeated
    std::uint64_t stale_served = 0;     // of both: last known good, the registry being away
    std::uint64_t queries = 0;          // questions that have ended, blocking ones included
    std::uint64_t errors = 0;           // of them: failed
    std::uint64_t reconnects = 0;       // first answers after failures
    std::uint64_t index_resets = 0;     // the registry's index went backwards
    std::uint64_t changes = 0;          // answers that really changed a set
    std::uint64_t held_back = 0;        // endpoints whose removal was not believed at once
    std::uint64_t callbacks = 0;        // watchers called
    std::uint64_t callback_errors = 0;  // of them: threw
    std::uint64_t refused = 0;          // services beyond services_max
    bool registry_up = true;            // nothing has failed since the last success
    // As of now.
    std::size_t services = 0;
    std::size_t watched = 0;
};

}  // namespace datapunk::mesh::discovery
