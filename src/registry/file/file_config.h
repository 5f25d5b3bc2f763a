#pragma once

// FileConfig: which file or directory is the registry, and how often it is looked at. A value;
// reads nothing.

#include <datapunk/mesh/result.h>
#include <datapunk/mesh/time.h>

#include <cstddef>
#include <string>

namespace datapunk::mesh::registry::file {

struct FileConfig {
    // A .json file, any other file (YAML), or a directory: its *.yaml, *.yml and *.json.
    std::string path{};
    // A file counts when it has been the same for so long: 0 to 10 s. A writer that does not
    // replace the file by a rename must not pause longer than this.
    Duration settle = std::chrono::milliseconds(100);
    // Looked at also without a change being told: network file systems tell none. 1 s to 1 h.
    Duration poll = std::chrono::seconds(10);
    std::size_t endpoints_max = 20'000;  // 1 to 100,000
};

// Code::invalid with every field that cannot be.
Result<> check(const FileConfig& config);

}  // namespace datapunk::mesh::registry::file
