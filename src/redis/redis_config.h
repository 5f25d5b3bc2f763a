#pragma once

// RedisConfig: where a Redis server is, who we are to it, and what its failures may cost us. A
// value.

#include <datapunk/mesh/discovery.h>
#include <datapunk/mesh/policy.h>
#include <datapunk/mesh/result.h>
#include <datapunk/mesh/time.h>

#include <cstdint>
#include <memory>
#include <string>

#include "io/tls.h"
#include "wire/resp/reply_reader.h"

namespace datapunk::mesh::redis {

struct RedisConfig {
    std::string host = "127.0.0.1";
    std::uint16_t port = 6379;
    std::string username{};  // empty: the default user; needs a password
    std::string password{};
    std::uint32_t database = 0;                          // 0..1023
    std::shared_ptr<const io::TlsContext> tls{};         // not null: TLS with it
    std::string tls_server_name{};                       // empty: host
    Duration connect_timeout = std::chrono::seconds(1);  // TCP, TLS, AUTH and SELECT together
    // A connection whose oldest command is unanswered for so long is given up with all that wait on
    // it: answers come in order, so nothing behind it would come either. 10 ms .. 1 min
    Duration reply_timeout = std::chrono::seconds(1);
    Duration ping_interval = std::chrono::seconds(15);  // of an idle connection; 1 s .. 1 h
    std::uint32_t queue_max = 256;                      // 1..65536: commands without an answer
    std::size_t queue_bytes_max = 32U << 20U;           // of commands that are not sent yet
    wire::resp::ReplyLimits reply{};
    BackoffConfig reconnect{
        .base = std::chrono::milliseconds(100), .max = std::chrono::seconds(10)
    };

    std::string address() const;  // "host:port", for people
};

// Every field in its range? The error names all that are not; it never shows the password.
[[nodiscard]] Result<> check(const RedisConfig& config);

// How the server that `shared` names is spoken to; null without TLS. An error names the certificate
// or key that cannot be used.
[[nodiscard]] Result<std::shared_ptr<const io::TlsContext>> tls_of(const SharedCacheConfig& shared);

// The server that `shared` names, checked. Errors: also those of tls_of().
[[nodiscard]] Result<RedisConfig> config_of(
    const SharedCacheConfig& shared, wire::resp::ReplyLimits reply
);

}  // namespace datapunk::mesh::redis
