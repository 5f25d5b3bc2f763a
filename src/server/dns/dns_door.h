#pragma once

// DnsDoor: the embedded registry's DNS server, by UDP and TCP on one port.
//
//     UDP ─ ResponseLimit ─┐
//                          ├─► Zone ─► answer
//     TCP ─ length ─ idle ─┘
//
// Everything is answered at once from the catalog; nothing is asked elsewhere, so there is no
// recursion and no cache. One loop's object, the registry's.

#include <datapunk/mesh/result.h>

#include <memory>
#include <string>

#include "core/log.h"
#include "io/network.h"
#include "metrics/metric_registry.h"
#include "registry/embedded/embedded_registry.h"
#include "server/dns/dns_door_config.h"
#include "server/dns/response_limit.h"
#include "server/dns/zone.h"

namespace datapunk::mesh::server::dns {

struct DnsDoorStats {
    std::uint64_t udp_questions = 0;
    std::uint64_t tcp_questions = 0;
    std::uint64_t cut = 0;          // told to come by TCP: over the rate
    std::uint64_t dropped = 0;      // not answered: far over the rate, or no question
    std::uint64_t tcp_refused = 0;  // connections over the limit
};

class DnsDoor {
  public:
    // Listens from now on. `registry` must outlive it. Errors: a configuration that is not usable,
    // an address in use. Port 0 takes one that is free for both.
    static Result<std::unique_ptr<DnsDoor>> open(
        io::Network& network,
        registry::embedded::EmbeddedRegistry& registry,
        const io::SocketAddress& at,
        DnsDoorConfig config,
        core::Logger log
    );

    io::SocketAddress local() const { return socket_->local(); }

    const DnsDoorStats& stats() const noexcept { return stats_; }

    // From now on the same numbers are metrics, too.
    void count_into(metrics::MetricRegistry& metrics);

  private:
    DnsDoor(
        io::Network& network, registry::embedded::EmbeddedRegistry& registry, DnsDoorConfig config
    );

    Result<> listen(const io::SocketAddress& at);
    io::Task<void> serve_udp();
    io::Task<void> serve_tcp();
    io::Task<void> serve_connection(io::StreamPtr stream);
    std::string answer_datagram(std::string_view question, const io::SocketAddress& from);
    Asked asked(bool is_tcp, const io::SocketAddress& from);

    io::Network& network_;
    DnsDoorConfig config_;
    Zone zone_;
    ResponseLimit limit_;
    DnsDoorStats stats_;
    metrics::Counter udp_questions_;
    metrics::Counter tcp_questions_;
    metrics::Counter cut_;
    metrics::Counter dropped_;
    metrics::Counter tcp_refused_;
    io::DatagramPtr socket_;
    std::unique_ptr<io::Listener> listener_;
    std::size_t connections_ = 0;
    io::TaskGroup tasks_;  // last: destroyed first
};

}  // namespace datapunk::mesh::server::dns
