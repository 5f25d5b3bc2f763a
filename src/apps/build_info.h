#pragma once

#include "metrics/process_metrics.h"

namespace datapunk::mesh::apps {

// Version, source revision and compiler of this binary.
metrics::BuildInfo build_info() noexcept;

}  // namespace datapunk::mesh::apps
