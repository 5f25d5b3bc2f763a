#pragma once

// DnsNotify: hears NOTIFY (RFC 1996), a zone's primary saying that the zone has changed, and passes
// the zone's name on.
//
//   datagram ─ known sender? ─ NOTIFY of SOA? ─ signed, if a key is configured? ─ not too many? ─►
//   heard(zone)
//                 no: silence                    no: NOTAUTH                       all of these:
//                 answered
//
// What it causes is one question to our own server, so a forged one costs little; TSIG (RFC 8945,
// hmac-sha256) makes it cost nothing. One loop's object.

#include <datapunk/mesh/result.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/log.h"
#include "io/network.h"
#include "registry/dns/dns_config.h"
#include "resilience/token_bucket.h"
#include "wire/dns/message.h"

namespace datapunk::mesh::registry::dns {

struct DnsNotifyStats {
    std::uint64_t received = 0;  // datagrams
    std::uint64_t heard = 0;     // passed on
    std::uint64_t refused = 0;   // of strangers, not NOTIFY, unsigned or wrongly signed
    std::uint64_t paced = 0;     // good ones, but too many
};

class DnsNotify {
  public:
    using Heard = std::function<void(const wire::dns::DnsName& zone)>;

    // Listens from now on. `config` is checked and has an address.
    static Result<std::unique_ptr<DnsNotify>> start(
        io::Network& network,
        const DnsNotifyConfig& config,
        const std::vector<io::SocketAddress>& servers,
        core::Logger log,
        Heard heard
    );

    io::SocketAddress local() const { return socket_->local(); }

    const DnsNotifyStats& stats() const noexcept { return stats_; }

  private:
    DnsNotify(io::Network& network, const DnsNotifyConfig& config, core::Logger log, Heard heard);

    enum class Signed : std::uint8_t { no_need, yes, bad_signature, bad_key, bad_time };

    io::Task<void> listen();
    // What to answer; empty = nothing.
    std::string handle(std::string_view bytes, const io::SocketAddress& from);
    Signed check_signature(std::string_view bytes, const wire::dns::DnsMessage& message) const;
    std::string reply_to(const wire::dns::DnsMessage& message, Signed verdict) const;

    io::Network& network_;
    core::Logger log_;
    Heard heard_;
    std::vector<io::SocketAddress> allowed_;  // ports are 0
    bool wants_key_ = false;
    wire::dns::DnsName key_;
    std::string secret_;
    resilience::TokenBucket pace_;
    DnsNotifyStats stats_;
    io::DatagramPtr socket_;
    io::TaskGroup tasks_;  // last: destroyed first
};

}  // namespace datapunk::mesh::registry::dns
