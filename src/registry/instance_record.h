#pragma once

// InstanceRecord: a registered instance as we write it where a registry only stores bytes (etcd,
// ZooKeeper): one JSON object. Pure.
//
//   {"host":"10.0.0.1","port":8080,"weight":1,"tags":["v1"],"meta":{"zone":"a"},"health":"passing",
//    "note":"","node":"web-1","owner":"web-1#9f0c…","generation":3}
//
// Others may write such records by hand: host and port are enough. Its id and service are in the
// key, not in the record.

#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/registration.h>
#include <datapunk/mesh/result.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "registry/backend.h"

namespace datapunk::mesh::registry {

struct InstanceRecord {
    ServiceEndpoint endpoint;
    std::string note;              // on its health
    std::string owner;             // the backend object that wrote it; nobody else renews it
    std::uint64_t generation = 0;  // counts registrations of the id; the newest one holds it

    friend bool operator==(const InstanceRecord&, const InstanceRecord&) = default;
};

// Who holds an id: the service it is registered for, and by whom. Stands beside the record where an
// id alone finds it.
struct Claim {
    std::string service;
    std::string owner;
    std::uint64_t generation = 0;
};

// Another process has the id.
inline constexpr std::string_view kTaken = "another process has registered it";

// How a writer finds what it writes: the id is free, its own, or somebody else's.
struct Contention {
    bool is_others = false;
    std::uint64_t generation = 0;  // of the record to write
};

Contention contention(const std::optional<Claim>& claim, const InstanceRecord& record);
// What stands in the way of erasing what `owner` (empty: anybody) has registered; nothing if it is
// `owner`'s.
std::optional<std::string_view> not_to_erase(
    const std::optional<Claim>& claim, std::string_view owner
);

std::string to_json(const Claim& claim);
// What makes no sense is nobody's claim.
std::optional<Claim> parse_claim(std::string_view bytes);

// A record that was just registered: its health is unknown, so critical, if it has a check.
InstanceRecord fresh_record(const ServiceConfig& config, std::string node, std::string owner);

std::string to_json(const InstanceRecord& record);
// `bytes` with the id and service of its key. Code::invalid says what is wrong with it.
Result<InstanceRecord> parse_record(std::string_view bytes, std::string service, std::string id);

// The metadata of one that is there; none if it makes no sense.
Metadata metadata_of_record(std::string_view bytes, std::string service, std::string id);

// "etcd: ID: why", retryable if it is `unavailable`.
Error store_problem(std::string_view store, std::string_view id, std::string_view why, Code code);

// Sums up what is registered; sorted by name, as Backend::services() wants it.
std::vector<ServiceSummary> summarise(const std::vector<ServiceEndpoint>& endpoints);

}  // namespace datapunk::mesh::registry
