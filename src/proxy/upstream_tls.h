#pragma once

// TLS towards the endpoints of a service: UpstreamTls is what an operator says of it, shared by all
// workers; UpstreamTlsUse is one worker's part: its session tickets and what it counts.

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include "io/task.h"
#include "io/tls_slot.h"
#include "metrics/metric_registry.h"

namespace datapunk::mesh::proxy {

struct UpstreamTls {
    std::shared_ptr<const io::TlsSlot> contexts;  // null: plain text is spoken
    std::string server_name;  // what certificates must be for; empty = the endpoint's host
};

struct SecuredUpstream {
    std::unique_ptr<io::TlsStream> stream;
    std::uint64_t context = 0;  // id of what it was made with
    bool is_http2 = false;      // that has been agreed
};

class UpstreamTlsUse {
  public:
    // `tls` outlives it.
    UpstreamTlsUse(
        const UpstreamTls& tls,
        metrics::MetricRegistry& registry,
        metrics::Shard shard,
        std::string_view service
    );

    // The id of the context in force: a connection made with another one is not used again.
    std::uint64_t context() const { return tls_.contexts->get()->id(); }

    // The handshake with what is at host:port, resuming a session if there is one. HTTP/2 is
    // offered beside HTTP/1.1 if it is wanted; a server that agrees on nothing speaks HTTP/1.1.
    io::Task<Result<SecuredUpstream>> secure(
        io::StreamPtr raw,
        std::string host,
        std::uint16_t port,
        Instant deadline,
        bool wants_http2 = false
    );

  private:
    static constexpr std::size_t kFailures = 11;

    const UpstreamTls& tls_;
    std::shared_ptr<io::TlsSessions> sessions_;
    metrics::Counter done_;
    metrics::Counter resumed_;
    std::array<metrics::Counter, kFailures> failed_;  // by io::TlsFailure
};

}  // namespace datapunk::mesh::proxy
