#include "registry/etcd/keys.h"

#include <fmt/format.h>

namespace datapunk::mesh::registry::etcd {

std::string services_prefix(std::string_view prefix) {
    return fmt::format("{}/services/", prefix);
}

std::string service_prefix(std::string_view prefix, std::string_view service) {
    return fmt::format("{}/services/{}/", prefix, service);
}

std::string instance_key(std::string_view prefix, std::string_view service, std::string_view id) {
    return fmt::format("{}/services/{}/{}", prefix, service, id);
}

std::string claim_key(std::string_view prefix, std::string_view id) {
    return fmt::format("{}/ids/{}", prefix, id);
}

std::optional<InstanceKey> parse_instance_key(std::string_view prefix, std::string_view key) {
    const std::string start = services_prefix(prefix);
    if (!key.starts_with(start)) return std::nullopt;
    key.remove_prefix(start.size());
    const std::size_t slash = key.find('/');
    if (slash == std::string_view::npos || slash == 0 || slash + 1 == key.size() ||
        key.find('/', slash + 1) != std::string_view::npos) {
        return std::nullopt;
    }
    return InstanceKey{
        .service = std::string(key.substr(0, slash)), .id = std::string(key.substr(slash + 1))
    };
}

}  // namespace datapunk::mesh::registry::etcd
