#pragma once

// The sections about how answers of the registry are kept, and how it is spared. Part of config.h.

#include <datapunk/mesh/time.h>

#include <cstdint>
#include <string>

namespace datapunk::mesh::config {

struct RegistryBreakerSection {
    bool enabled = true;
    std::uint32_t consecutive = 5;
    double failure_rate = 0.5;
    Duration open_for = std::chrono::seconds(1);
    Duration open_max = std::chrono::seconds(10);
    friend bool operator==(const RegistryBreakerSection&, const RegistryBreakerSection&) = default;
};

struct SnapshotSection {
    std::string file;
    Duration delay = std::chrono::seconds(1);
    Duration max_age = std::chrono::hours(24);
    friend bool operator==(const SnapshotSection&, const SnapshotSection&) = default;
};

struct DiscoverySection {
    Duration cache_ttl = std::chrono::seconds(30);
    Duration negative_ttl = std::chrono::seconds(1);
    Duration removal_grace = std::chrono::seconds(5);
    double removal_share_max = 0.5;
    Duration reset_grace = std::chrono::seconds(30);
    Duration fallback_after = std::chrono::milliseconds(250);
    double queries_per_second = 10;
    SnapshotSection snapshot;
    friend bool operator==(const DiscoverySection&, const DiscoverySection&) = default;
};

}  // namespace datapunk::mesh::config
