#include "registry/merged/merge.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

namespace datapunk::mesh::registry::merged {

namespace {

// Whether its last word counts as if it had just said it.
bool is_believed(const MergeRules& rules, const MergePart& part, Instant now) {
    return !part.failing_since || now - *part.failing_since < rules.failover_after;
}

std::vector<ServiceEndpoint> first_that_has_any(
    const MergeRules& rules, const std::vector<MergePart>& parts, Instant now
) {
    for (const MergePart& part : parts) {
        if (!part.endpoints.empty() && is_believed(rules, part, now)) return part.endpoints;
    }
    for (const MergePart& part : parts) {
        if (!part.endpoints.empty()) return part.endpoints;  // better than nothing
    }
    return {};
}

std::vector<ServiceEndpoint> together(
    const MergeRules& rules, const std::vector<MergePart>& parts
) {
    std::map<std::string, ServiceEndpoint> by_id;
    std::set<std::pair<std::string, std::uint16_t>> taken;  // by the members before
    for (const MergePart& part : parts) {
        std::vector<std::pair<std::string, std::uint16_t>> places;
        for (const ServiceEndpoint& one : part.endpoints) {
            const auto known = by_id.find(one.id);
            if (known != by_id.end()) {
                ServiceEndpoint& kept = known->second;
                const bool is_same_place = kept.host == one.host && kept.port == one.port;
                if (is_same_place && rules.health == MergeHealth::worst) {
                    kept.health = std::max(kept.health, one.health);
                }
                continue;
            }
            if (taken.contains({one.host, one.port})) continue;
            by_id.emplace(one.id, one);
            places.emplace_back(one.host, one.port);
        }
        taken.insert(places.begin(), places.end());
    }
    std::vector<ServiceEndpoint> out;
    out.reserve(by_id.size());
    for (auto& [id, one] : by_id) out.push_back(std::move(one));
    return out;
}

}  // namespace

std::vector<ServiceEndpoint> merge(
    const MergeRules& rules, const std::vector<MergePart>& parts, Instant now
) {
    return rules.mode == MergeMode::priority ? first_that_has_any(rules, parts, now)
                                             : together(rules, parts);
}

Instant merge_due(const MergeRules& rules, const std::vector<MergePart>& parts, Instant now) {
    Instant due = kNever;
    if (rules.mode != MergeMode::priority) return due;
    for (const MergePart& part : parts) {
        if (!part.failing_since || !is_believed(rules, part, now)) continue;
        due = std::min(due, *part.failing_since + rules.failover_after);
    }
    return due;
}

}  // namespace datapunk::mesh::registry::merged
