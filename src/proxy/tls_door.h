#pragma once

// TlsDoor: where callers of one listener come in by TLS: the handshake with its deadline, no more
// of them at a time than allowed, each counted by what came of it. Those that fail are logged, with
// the reason and a bound on how many lines. One worker's object.

#include <array>
#include <memory>
#include <string>

#include "core/log.h"
#include "io/task.h"
#include "io/tls.h"
#include "metrics/metric_registry.h"
#include "proxy/listener_config.h"

namespace datapunk::mesh::proxy {

class TlsDoor {
  public:
    // The config has TLS. It, and the registry, outlive the door.
    TlsDoor(
        const ListenerConfig& config,
        metrics::MetricRegistry& registry,
        metrics::Shard shard,
        core::Logger log
    );

    // `peer` is for the log. nullptr: it did not come about, and has been counted.
    io::Task<std::unique_ptr<io::TlsStream>> enter(io::StreamPtr raw, std::string peer);

  private:
    void refuse(std::string_view peer, std::string_view result, std::string_view why, Instant now);
    bool may_log(Instant now);

    const ListenerConfig& config_;
    metrics::MetricRegistry& registry_;
    metrics::Shard shard_;
    metrics::Counter done_;
    metrics::Counter resumed_;
    core::Logger log_;
    std::size_t running_ = 0;
    Instant log_second_;
    std::size_t logged_ = 0;      // within that second
    std::size_t suppressed_ = 0;  // since the last line
};

}  // namespace datapunk::mesh::proxy
