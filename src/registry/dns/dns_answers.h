#pragma once

// Reading answers: which records say what was asked, for how long they hold, and what a TXT record
// tells of an instance. Pure functions over messages; what they return points into the message.

#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/time.h>

#include <optional>
#include <string>
#include <vector>

#include "wire/dns/message.h"

namespace datapunk::mesh::registry::dns {

struct Records {
    std::vector<const wire::dns::DnsRecord*> found;
    // Where the CNAMEs led: the name asked for, or another one that the message may know nothing
    // more of.
    wire::dns::DnsName name;
    std::uint32_t ttl_s = UINT32_MAX;  // the least on the way
};

// The records of `name` and `type` among the answers, CNAMEs followed (at most 8).
Records records_of(
    const wire::dns::DnsMessage& message, const wire::dns::DnsName& name, wire::dns::DnsType type
);
// The same among answers and additional records, without CNAMEs.
std::vector<const wire::dns::DnsRecord*> mentioned(
    const wire::dns::DnsMessage& message, const wire::dns::DnsName& name, wire::dns::DnsType type
);

// How long "there is none" holds: the least of the SOA's TTL and its minimum (RFC 2308 5); nothing
// if the message does not say.
std::optional<std::uint32_t> negative_ttl_s(const wire::dns::DnsMessage& message);

// What the TXT records of an instance say (RFC 6763 6): key=value, keys without regard to case, the
// first of a key counts, a key alone has an empty value. What is no key of ours ([A-Za-z0-9_-], at
// most 128 bytes), has control bytes or is beyond 64 pairs is left out. The key "tags" is a list
// with commas ("\," is a comma in a tag) and becomes tags.
struct InstanceText {
    Metadata metadata;
    std::vector<std::string> tags;
};

InstanceText read_texts(const std::vector<std::string>& texts);

// A label as an id: at most 255 printable bytes without '/'.
std::string id_of(std::string_view label);

}  // namespace datapunk::mesh::registry::dns
