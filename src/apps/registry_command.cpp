#include "apps/commands.h"
namespace datapunk::mesh::apps {
int run_registry(const RegistryCommand&) {
    return exit_failed;
}
}  // namespace datapunk::mesh::apps
