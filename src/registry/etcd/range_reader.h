#pragma once

// read_prefix: all keys below a prefix, at one revision, in pages that no limit of etcd's stops.

#include <datapunk/mesh/result.h>

#include <string>

#include "io/task.h"
#include "registry/etcd/etcd_client.h"
#include "registry/etcd/messages.h"

namespace datapunk::mesh::registry::etcd {

io::Task<Result<RangeAnswer>> read_prefix(EtcdClient& client, std::string prefix, Instant deadline);

}  // namespace datapunk::mesh::registry::etcd
