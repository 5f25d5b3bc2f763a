// How the public structs of limits.h are written in the configuration.

#include "config/codecs.h"

namespace datapunk::mesh::config {

namespace {

constexpr double kCountMax = 1'000'000;  // what one process can hold at the very most

}  // namespace

// clang-format off
template <>
const Table& table_of<LimitsConfig>() {
    using L = LimitsConfig;
    static const Table table =
        TableOf<L>("limits", "What one service may occupy here; beyond it calls are refused at once. 1024 each, as Envoy has it.")
            .field("connections", &L::connections, "Open connections to its endpoints.", between(1, kCountMax))
            .field("requests", &L::requests, "Calls in flight.", between(1, kCountMax))
            .table();
    return table;
}
// clang-format on

}  // namespace datapunk::mesh::config
