#include "mesh/ownership.h"

#include "io/incarnation.h"

namespace datapunk::mesh::internal {

Ownership Ownership::of_this_process(const std::string& configured) {
    Ownership who{
        .owner = configured.empty() ? io::host_name() : configured,
        .incarnation = io::incarnation(),
        .is_configured = !configured.empty()
    };
    if (who.incarnation.empty()) who.owner.clear();  // we could not tell our own
    return who;
}

Metadata Ownership::marks() const {
    if (owner.empty()) return {};
    return {
        {std::string(meta_key::owner), owner}, {std::string(meta_key::incarnation), incarnation}
    };
}

bool Ownership::is_another(const Metadata& metadata) const {
    const auto differs = [&](std::string_view key, const std::string& ours) {
        const auto at = metadata.find(key);
        return at != metadata.end() && at->second != ours;
    };
    if (owner.empty()) return false;
    return differs(meta_key::incarnation, incarnation) || differs(meta_key::owner, owner);
}

bool Ownership::is_this(const Metadata& metadata) const {
    return !owner.empty() && metadata.contains(meta_key::incarnation) && !is_another(metadata);
}

bool Ownership::is_orphan(const ServiceEndpoint& endpoint) const {
    const std::string_view run = endpoint.meta(meta_key::incarnation);
    if (owner.empty() || endpoint.meta(meta_key::owner) != owner) return false;
    if (run.empty() || run == incarnation) return false;
    switch (io::life_of(run)) {
        case io::Life::alive:
            return false;
        case io::Life::dead:
            return true;
        case io::Life::unknown:
            break;
    }
    return is_configured;
}

}  // namespace datapunk::mesh::internal
