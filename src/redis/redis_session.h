#pragma once

// open_session: a connection to a Redis server that has let us in: TCP, TLS if configured, AUTH,
// SELECT, PING. What clients and subscriptions begin with.

#include <datapunk/mesh/result.h>

#include "io/network.h"
#include "io/task.h"
#include "redis/redis_config.h"
#include "wire/resp/value.h"

namespace datapunk::mesh::redis {

// Errors: unavailable, timeout; denied: wrong password, or the certificate does not convince;
// invalid: it does not speak RESP.
io::Task<Result<io::StreamPtr>> open_session(
    io::Network& network, RedisConfig config, Instant deadline
);

// What an error reply means to a program: OOM is exhausted, WRONGTYPE conflict, LOADING unavailable
// …
Error error_of_reply(const wire::resp::RespValue& reply);

}  // namespace datapunk::mesh::redis
