#pragma once

// DnsClient: asks DNS servers one question at a time: a stub resolver of our own, since the
// system's gives neither SRV nor times to live.
//
//   ask ─ server, by UDP ──┬─ answer (NOERROR, NXDOMAIN) ───────────────► done; stays with it
//            ▲             ├─ truncated ─ the same by TCP ──────────────► done
//            │             ├─ FORMERR, NOTIMP, BADVERS ─ without EDNS ──► …
//            └── next ◄────┴─ timeout, refused, SERVFAIL, REFUSED, nonsense
//
// Against forged answers: a socket and a source port for each question, connected to the server; a
// random id; the question must come back, in the case it was asked in. What does not match is not
// an answer, and waiting goes on. One loop's object; tasks must end before it does.
// Source: RFC 1035, 5452 (forgery), 6891 (EDNS0), 7766 (TCP), draft-vixie-dnsext-dns0x20.

#include <datapunk/mesh/result.h>

#include <vector>

#include "io/network.h"
#include "metrics/metric_registry.h"
#include "registry/dns/dns_config.h"
#include "wire/dns/message.h"

namespace datapunk::mesh::registry::dns {

struct DnsClientStats {
    std::uint64_t questions = 0;   // sent, by UDP or TCP
    std::uint64_t by_tcp = 0;      // of these
    std::uint64_t mismatched = 0;  // messages that answered another question, or none
    std::uint64_t failures = 0;    // attempts at one server that gave no answer
};

class DnsClient {
  public:
    // `config` is checked.
    DnsClient(io::Network& network, const DnsConfig& config);

    // An answer, which may say that there is no such name or record. Errors are the registry's:
    // no server gave one in time.
    io::Task<Result<wire::dns::DnsMessage>> ask(
        wire::dns::DnsName name, wire::dns::DnsType type, Instant deadline
    );

    const DnsClientStats& stats() const noexcept { return stats_; }

    // From now on the same numbers are metrics, too.
    void count_into(metrics::MetricRegistry& metrics);

    const std::vector<io::SocketAddress>& servers() const noexcept { return servers_; }

  private:
    using Answered = Result<wire::dns::DnsMessage>;

    io::Task<Answered> ask_server(
        io::SocketAddress server, wire::dns::DnsQuestion question, Instant deadline
    );
    io::Task<Answered> ask_udp(
        io::SocketAddress server, wire::dns::DnsMessage query, Instant deadline
    );
    io::Task<Answered> ask_tcp(
        io::SocketAddress server, wire::dns::DnsMessage query, Instant deadline
    );
    wire::dns::DnsMessage make_query(const wire::dns::DnsQuestion& question, bool with_edns);
    void count_mismatched();
    wire::dns::DnsName mixed(const wire::dns::DnsName& name);

    io::Network& network_;
    std::vector<io::SocketAddress> servers_;
    std::size_t preferred_ = 0;  // the one that answered last
    Duration attempt_timeout_;
    std::uint32_t rounds_;
    std::uint16_t udp_bytes_max_;
    bool mix_case_;
    DnsClientStats stats_;
    metrics::Counter udp_questions_;
    metrics::Counter tcp_questions_;
    metrics::Counter failures_;
    metrics::Counter mismatched_;
};

}  // namespace datapunk::mesh::registry::dns
