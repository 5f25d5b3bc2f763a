#include "catalog/aliases.h"

#include <fmt/format.h>

#include "catalog/catalog.h"

namespace datapunk::mesh::catalog {

namespace {

// The servers' word on the node, which an agent that looks at its own checks does not see.
constexpr std::string_view kServersCheck = "serfHealth";

// One check after another; true when there is nothing worse to come.
bool look(const CheckRow& check, AliasVerdict& verdict) {
    if (check.status == Health::passing) {
        if (verdict.status == Health::passing) verdict.output = "All checks passing.";
        return false;
    }
    verdict.status = check.status;
    verdict.output = fmt::format("Aliased check \"{}\" failing: {}", check.name, check.output);
    return check.status == Health::critical;
}

}  // namespace

void AliasTable::add(const CheckRow& check) {
    const CheckDefinition& d = check.definition;
    if (followers_[{d.alias_node, d.alias_service}].insert(check.id).second) ++size_;
    due_.insert(check.id);
}

void AliasTable::remove(const CheckRow& check) {
    const CheckDefinition& d = check.definition;
    const auto found = followers_.find({d.alias_node, d.alias_service});
    if (found == followers_.end()) return;
    size_ -= found->second.erase(check.id);
    if (found->second.empty()) followers_.erase(found);
    due_.erase(check.id);
}

void AliasTable::moved(std::string_view node, bool is_local, std::string_view service_id) {
    if (followers_.empty()) return;
    moved_at(node, service_id);
    if (is_local) moved_at({}, service_id);
}

void AliasTable::moved_at(std::string_view node, std::string_view service_id) {
    const Target target{std::string(node), std::string(service_id)};
    for (auto at = followers_.lower_bound(target);
         at != followers_.end() && at->first.first == node;
         ++at) {
        if (!service_id.empty() && at->first.second != service_id) break;
        due_.insert(at->second.begin(), at->second.end());
    }
}

std::optional<std::string> AliasTable::take_due() {
    if (due_.empty()) return std::nullopt;
    return std::move(due_.extract(due_.begin()).value());
}

AliasVerdict alias_verdict(const Catalog& catalog, const CheckRow& alias) {
    const CheckDefinition& d = alias.definition;
    const bool is_own_node = d.alias_node.empty();
    const CatalogNode* node = is_own_node ? catalog.local() : catalog.node(d.alias_node).data;
    const auto is_self = [&](const CheckRow& check) {
        return node == catalog.local() && check.id == alias.id;
    };
    const Instance* instance = nullptr;
    if (node != nullptr) {
        const auto found = node->services.find(d.alias_service);
        if (found != node->services.end()) instance = &found->second;
    }
    AliasVerdict verdict{.status = Health::passing, .output = "No checks found."};
    bool is_known = instance != nullptr;
    bool is_decided = false;
    if (node != nullptr) {
        for (const auto& [id, check] : node->checks) {
            if (is_self(check) || (is_own_node && id == kServersCheck)) continue;
            is_known = is_known || d.alias_service.empty();
            if (!is_decided) is_decided = look(check, verdict);
        }
    }
    if (instance != nullptr) {
        for (const auto& [id, check] : instance->checks) {
            if (!is_decided && !is_self(check)) is_decided = look(check, verdict);
        }
    }
    if (is_known) return verdict;
    return {
        .status = Health::critical,
        .output =
            fmt::format("Service {} could not be found on node {}", d.alias_service, d.alias_node)
    };
}

}  // namespace datapunk::mesh::catalog
