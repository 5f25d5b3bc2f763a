#pragma once

// connect: from what a user wrote about a registry to the backend that talks to it; for the library
// and the agent alike. Errors: what was written cannot be. Nobody is asked yet.

#include <datapunk/mesh/registries.h>
#include <datapunk/mesh/result.h>

#include <memory>

#include "core/log.h"
#include "io/epoll_loop.h"
#include "io/network.h"
#include "metrics/metric_registry.h"
#include "registry/backend.h"

namespace datapunk::mesh::internal {

struct ConnectParts {
    io::EpollLoop& loop;
    io::Network& network;
    const core::Logger& log;
    metrics::MetricRegistry* metrics = nullptr;
};

using Connected = Result<std::unique_ptr<registry::Backend>>;

Connected connect(const ConnectParts& parts, const Consul& choice);
Connected connect(const ConnectParts& parts, const Etcd& choice);
Connected connect(const ConnectParts& parts, const Zookeeper& choice);
Connected connect(const ConnectParts& parts, const Dns& choice);
Connected connect(const ConnectParts& parts, const File& choice);
Connected connect(const ConnectParts& parts, const Fixed& choice);
Connected connect(const ConnectParts& parts, const Custom& choice);
Connected connect(const ConnectParts& parts, const Merged& choice);

}  // namespace datapunk::mesh::internal
