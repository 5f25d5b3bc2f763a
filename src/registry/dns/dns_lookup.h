#pragma once

// DnsLookup: one service's endpoints by way of DNS: the questions that it takes, and what their
// answers mean together.
//
//   srv      SRV ─ lowest priority that has members ─ A/AAAA of each target (from the same answer
//            if it has them) ─ one endpoint per address
//   address  A/AAAA ─ one endpoint per address, at the configured port
//   dns_sd   PTR ─ per instance SRV and TXT ─ A/AAAA ─ one endpoint per instance and address
//
// Weights are SRV's, at least 1 (0 means "hardly ever" in RFC 2782), shared among the addresses of
// a target. A priority other than 0 stands in the metadata as "dns-priority". One answer that
// cannot be had fails the whole: half a service must not look like all of it. Belongs to one call.
// Source: RFC 2782, RFC 6763.

#include <datapunk/mesh/endpoint.h>

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "registry/dns/dns_answers.h"
#include "registry/dns/dns_client.h"

namespace datapunk::mesh::registry::dns {

struct Found {
    std::vector<ServiceEndpoint> endpoints;  // sorted by id
    Duration holds_for{};                    // within the configured bounds
};

class DnsLookup {
  public:
    DnsLookup(io::Loop& loop, DnsClient& client, const DnsConfig& config)
        : client_(client), config_(config), all_done_(loop) {}

    // All endpoints of the service. No such name, or no such record: none.
    io::Task<Result<Found>> run(std::string service, Instant deadline);

  private:
    using Name = wire::dns::DnsName;

    // A host and port that its addresses are wanted for.
    struct Target {
        Name host;
        std::uint16_t priority = 0;
        std::uint32_t weight = 1;
        std::uint16_t port = 0;
        std::string id;  // empty = made from the address
        InstanceText text;
        std::vector<std::string> ips;
    };

    // An instance found by browsing.
    struct Browsed {
        Name name;
        std::vector<Target> targets;
    };

    // An answer, and those of its records that were asked for, which point into it.
    struct Listed {
        wire::dns::DnsMessage message;
        Records records;
    };

    // One piece of work, of several that go on at once.
    using Work = io::Task<Result<>> (DnsLookup::*)(std::size_t which, Instant deadline);

    io::Task<Result<Listed>> list(std::string service, wire::dns::DnsType type, Instant deadline);
    io::Task<Result<>> find_srv(std::string service, Instant deadline);
    io::Task<Result<>> find_addresses(std::string service, Instant deadline);
    io::Task<Result<>> browse(std::string service, Instant deadline);

    io::Task<Result<>> describe(std::size_t instance, Instant deadline);
    io::Task<Result<>> resolve(std::size_t target, Instant deadline);
    io::Task<Result<std::vector<std::string>>> ask_ips(
        Name name, wire::dns::DnsType type, Instant deadline
    );
    // `work` for 0 .. count-1, a few at a time; ends with the first error.
    io::Task<Result<>> do_all(Work work, std::size_t count, Instant deadline);
    io::Task<void> do_some(Work work, std::size_t count, Instant deadline);

    void add(const std::string& service);
    std::vector<Target> targets_of(const std::vector<const wire::dns::DnsRecord*>& records) const;
    void note_ttl(std::uint32_t seconds);
    void note_negative(const wire::dns::DnsMessage& message);
    void keep(const wire::dns::DnsMessage& message);

    DnsClient& client_;
    const DnsConfig& config_;
    Found found_;
    bool has_ttl_ = false;
    wire::dns::DnsMessage hints_;  // the additional records so far
    std::vector<Browsed> instances_;
    std::vector<Target> targets_;
    std::set<std::string> ids_;

    std::size_t next_ = 0;  // of do_all(): what nobody has taken yet
    std::size_t working_ = 0;
    io::Event all_done_;
    std::optional<Error> problem_;
};

}  // namespace datapunk::mesh::registry::dns
