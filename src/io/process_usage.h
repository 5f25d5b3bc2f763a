#pragma once

// What this process uses, from the kernel's own accounting. ~50 µs: for scrapes, not for requests.

#include <datapunk/mesh/time.h>

#include <cstdint>

namespace datapunk::mesh::io {

struct ProcessUsage {
    std::uint64_t resident_bytes = 0;
    std::uint64_t open_fds = 0;
    std::uint64_t max_fds = 0;
    Duration cpu = Duration::zero();  // user and system, since the start
    WallTime started_at;
};

ProcessUsage read_process_usage();

// Lets this process have as many files open as the hard limit allows: the soft one, often 1,024, is
// there for programs that use select(). At the start of a server.
void raise_file_limit();

}  // namespace datapunk::mesh::io
