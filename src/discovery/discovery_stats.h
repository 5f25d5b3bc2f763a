#pragma once

// DiscoveryStats: what discovery counts, for a collector to read. Plain numbers of one loop.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace datapunk::mesh::discovery {

struct DiscoveryStats {
    std::uint64_t hits = 0;             // answered from what was known
    std::uint64_t misses = 0;           // the registry was asked, or was being asked already
    std::uint64_t negative_hits = 0;    // of hits: "there is none", or a failure repeated
    std::uint64_t shared_hits = 0;      // sets taken from the shared cache
    std::uint64_t shared_misses = 0;    // it was asked and had none
    std::uint64_t snapshot_hits = 0;    // sets taken from the disk snapshot
    std::uint64_t expired = 0;          // of those two: too old before the registry answered
    std::uint64_t invalidations = 0;    // notices of other processes that made us ask again
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
    std::uint64_t snapshots_written = 0;
    std::uint64_t snapshots_failed = 0;
    std::string_view snapshot_load{
    };  // "ok", "absent", "damaged", "old", "error"; empty: not tried
    bool registry_up = true;  // nothing has failed since the last success
    // As of now.
    std::size_t services = 0;
    std::size_t watched = 0;
    std::size_t failing = 0;  // of those: the last question failed
};

}  // namespace datapunk::mesh::discovery
