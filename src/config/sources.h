#pragma once

// read_sources(): the files behind `--config`, as text. The one place of this room that touches the
// file system.

#include <string>
#include <vector>

#include "config/load.h"

namespace datapunk::mesh::config {

// Each path is a file, a directory (its *.yaml and *.yml, in name order) or "-" for standard input.
Result<std::vector<SourceText>> read_sources(const std::vector<std::string>& paths);

// A file that holds a secret, at most 64 KiB: for Sources::read_secret_file.
Result<std::string> read_secret_file(const std::string& path);

}  // namespace datapunk::mesh::config
