#pragma once

// Who announced a registration: an owner, stable from one run of a program to the next, and the run
// (io/incarnation.h). Both stand in the metadata (meta_key), so that what a crashed run left can be
// told from what is in use.
//
//   owner       configured, or the host's name
//   orphan      of our owner and of a run that is over:
//               * the kernel says so (same boot and pid namespace, and no such process), or
//               * it cannot know, and the owner was configured: a configured owner is a promise
//                 that only one run of it exists at a time, wherever it runs
//
// Never an orphan: what has no marks, another owner, our own run, or a run that is alive.

#include <datapunk/mesh/endpoint.h>

#include <string>

namespace datapunk::mesh::internal {

struct Ownership {
    std::string owner{};  // empty: nothing is marked and nothing is removed
    std::string incarnation{};
    bool is_configured = false;

    // Of this process; `configured` may be empty.
    static Ownership of_this_process(const std::string& configured);

    Metadata marks() const;
    // Whether metadata that stands in a registry has another run's marks, or this one's. Without
    // marks: neither.
    bool is_another(const Metadata& metadata) const;
    bool is_this(const Metadata& metadata) const;
    bool is_orphan(const ServiceEndpoint& endpoint) const;
};

}  // namespace datapunk::mesh::internal
