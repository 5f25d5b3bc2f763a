#pragma once

// open_command_log: where an embedded registry keeps its commands: DIR/registry.db, the directory
// made if need be, or nowhere if no directory is named.

#include <datapunk/mesh/result.h>

#include <memory>
#include <string>

#include "store/command_log.h"

namespace datapunk::mesh::registry::embedded {

Result<std::unique_ptr<store::CommandLog>> open_command_log(const std::string& data_dir);

}  // namespace datapunk::mesh::registry::embedded
