#pragma once

// create_zookeeper(): a registry in ZooKeeper, through its C client (libzookeeper-st), if the build
// has found it. Registrations are ephemeral nodes of one session, which the backend renews; it
// makes them again when a session has ended. Being disconnected is not the end of a session: what
// is known stays. ZooKeeper knows nothing of health: who registers must run the check and report it
// by heartbeat(). See ephemeral_store.h for what stands where. A real loop's object: the client has
// its own socket.

#include <datapunk/mesh/result.h>

#include <memory>

#include "core/log.h"
#include "io/epoll_loop.h"
#include "io/network.h"
#include "registry/backend.h"
#include "registry/zookeeper/zookeeper_config.h"

namespace datapunk::mesh::registry::zookeeper {

// Whether this build knows ZooKeeper.
bool is_built_in() noexcept;

// Talks to nobody yet. Code::invalid if the configuration is not usable or ZooKeeper not built in.
Result<std::unique_ptr<Backend>> create_zookeeper(
    io::EpollLoop& loop, io::Network& network, ZookeeperConfig config, core::Logger log
);

}  // namespace datapunk::mesh::registry::zookeeper
