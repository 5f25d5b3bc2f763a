#pragma once

// What one service may occupy here, as plain values. Part of ServicePolicy (policy.h).

#include <cstdint>

namespace datapunk::mesh {

// Bounds on what one service may occupy here; beyond them calls are refused at once.
struct LimitsConfig {
    std::uint32_t connections = 1024;  // 1..1000000: open upstream connections
    std::uint32_t requests = 1024;     // calls in flight
    friend bool operator==(const LimitsConfig&, const LimitsConfig&) = default;
};

}  // namespace datapunk::mesh
