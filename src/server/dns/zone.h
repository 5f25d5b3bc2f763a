#pragma once

// Zone: the registry's DNS answers, as Consul 1.16 gives them.
//
//   question ─ ours? ─ what does it name (zone_name.h)? ─ the catalog's rows ─ records ─ fit ─
//   bytes
//
// A service's records come in random order, without instances that are critical. SRV weights are
// the instance's, for warning ones their weight for that. A name that exists without records of the
// wanted type is NOERROR, one that does not is NXDOMAIN, both with the SOA. What a prepared query
// finds, with whose rights and for how long it may be kept, the query says. Unlike Consul, an
// answer to a question with EDNS always has EDNS (RFC 6891 6.1.1), also when records were left out.
// One loop's object. Cost: O(instances) for a service; only as many records are made as can be
// sent.

#include <datapunk/mesh/time.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "catalog/catalog.h"
#include "core/rng.h"
#include "server/acl/acl_gate.h"
#include "server/dns/dns_door_config.h"
#include "server/dns/zone_name.h"
#include "wire/dns/message.h"

namespace datapunk::mesh::server::dns {

// What a question came with.
struct Asked {
    bool is_tcp = false;
    bool is_local = false;  // from this machine
    Instant now{};
    WallTime wall_now{};
    std::size_t bytes_max = 0;  // of the answer; Zone finds it out itself
};

class Zone {
  public:
    // `catalog` must outlive it.
    Zone(const catalog::Catalog& catalog, DnsDoorConfig config, core::Rng rng);

    // The answer to a message, to be sent as it is; empty if there must be none (an answer itself,
    // or too short to be a question).
    std::string answer(std::string_view message, const Asked& asked);

    // The question back without records, marked as cut: come by TCP.
    static std::string cut_answer(std::string_view message);

  private:
    using Message = wire::dns::DnsMessage;
    using Name = wire::dns::DnsName;
    using Type = wire::dns::DnsType;
    using Record = wire::dns::DnsRecord;

    // Whose an address is: what it is called in DNS and in the catalog.
    struct Owner {
        Name full;
        std::string name;
        bool is_node = false;
    };

    // Names and addresses that the catalog cannot look up itself.
    struct Directory {
        std::map<std::string, std::string> services;  // in lowercase -> as registered
        std::map<std::string, std::string> nodes;     // likewise
        std::map<std::string, Owner> by_address;      // bytes of the address -> whose it is
        std::uint64_t services_index = 0;
        std::uint64_t nodes_index = 0;
        Instant made{};
        bool is_made = false;
    };

    Message reply_to(const Message& query, const Asked& asked);
    void answer_zone(Message& reply, const Asked& asked);
    void answer_reverse(Message& reply, const Asked& asked);
    void answer_service(Message& reply, const ZoneName& name, const Asked& asked);
    void answer_node(Message& reply, const ZoneName& name, const Asked& asked);
    void answer_address(Message& reply, const ZoneName& name);
    void answer_query(Message& reply, const ZoneName& name, const Asked& asked);
    void shuffle(std::vector<catalog::InstanceRef>& instances);
    // `instances` are those to show, in this order; none means that the name is not there.
    void add_instances(
        Message& reply,
        std::vector<catalog::InstanceRef> instances,
        Duration ttl,
        const Asked& asked
    );
    void add_srv(Message& reply, const catalog::InstanceRef& ref, std::uint32_t ttl_s) const;
    bool add_address(
        std::vector<Record>& to,
        const Name& owner,
        std::string_view ip,
        Type wanted,
        std::uint32_t ttl_s
    ) const;
    void add_texts(
        std::vector<Record>& to, const Name& owner, const Metadata& meta, std::uint32_t ttl_s
    ) const;
    void add_nameserver(std::vector<Record>& to, std::vector<Record>& glue) const;
    Record soa(const Asked& asked) const;
    static bool may_see(const Access& access, const catalog::InstanceRef& ref);
    void no_such_name(Message& reply, const Asked& asked) const;
    void no_such_record(Message& reply, const Asked& asked) const;

    std::vector<catalog::InstanceRef> find_service(const ZoneName& name, const Asked& asked);
    const catalog::CatalogNode* find_node(const std::string& name, const Asked& asked);
    const Directory& directory(Instant now);
    std::optional<Name> name_in_zone(std::vector<std::string_view> labels) const;
    std::optional<Name> node_name(const catalog::CatalogNode& node) const;

    std::size_t bytes_max(const Message& query, const Asked& asked) const;
    std::string fit(Message reply, const Asked& asked) const;

    const catalog::Catalog& catalog_;
    DnsDoorConfig config_;
    core::Rng rng_;
    Name domain_;
    AclGate gate_;
    Access access_;  // of the question being answered
    Directory directory_;
};

}  // namespace datapunk::mesh::server::dns
