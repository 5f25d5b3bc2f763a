#pragma once

// A core::Logger that writes lines to MeshOptions::log, or to stderr.

#include <datapunk/mesh/mesh.h>

#include <functional>
#include <string_view>

#include "core/log.h"

namespace datapunk::mesh::internal {

core::Logger make_logger(LogLevel level, std::function<void(LogLevel, std::string_view)> write);

}  // namespace datapunk::mesh::internal
