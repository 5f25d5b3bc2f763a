#include "apps/build_info.h"

// MESH_VERSION and MESH_REVISION come from CMakeLists.txt.

namespace datapunk::mesh::apps {

metrics::BuildInfo build_info() noexcept {
    return {.version = MESH_VERSION, .revision = MESH_REVISION, .compiler = __VERSION__};
}

}  // namespace datapunk::mesh::apps
