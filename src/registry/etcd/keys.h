#pragma once

// Where our keys stand in etcd, and what is in them. Pure.
//
//   PREFIX/services/NAME/ID   the instance: an InstanceRecord
//   PREFIX/ids/ID             who holds the id: a Claim
//
// Both are written and deleted together. The second finds an instance by its id alone, and keeps
// two processes from taking turns with one id: who registers counts the generation up, who renews
// must find its own.

#include <optional>
#include <string>
#include <string_view>

namespace datapunk::mesh::registry::etcd {

struct InstanceKey {
    std::string service;
    std::string id;
};

std::string services_prefix(std::string_view prefix);
std::string service_prefix(std::string_view prefix, std::string_view service);
std::string instance_key(std::string_view prefix, std::string_view service, std::string_view id);
std::string claim_key(std::string_view prefix, std::string_view id);

// Nothing if the key does not stand where instances do.
std::optional<InstanceKey> parse_instance_key(std::string_view prefix, std::string_view key);

}  // namespace datapunk::mesh::registry::etcd
