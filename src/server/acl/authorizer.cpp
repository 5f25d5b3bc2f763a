#include "server/acl/authorizer.h"

#include <algorithm>
#include <utility>

namespace datapunk::mesh::server {

namespace {

bool grants(Grant grant, Verb verb) {
    switch (grant) {
        case Grant::write:
            return true;
        case Grant::list:
            return verb != Verb::write;
        case Grant::read:
            return verb == Verb::read;
        case Grant::deny:
            return false;
    }
    return false;
}

}  // namespace

std::string_view to_string(Verb verb) noexcept {
    constexpr std::array<std::string_view, 3> kNames = {"read", "list", "write"};
    return kNames[static_cast<std::size_t>(verb)];
}

Authorizer Authorizer::all() {
    Authorizer out({}, true);
    out.is_all_ = true;
    return out;
}

Authorizer::Authorizer(AclRules rules, bool is_default_allow)
    : is_default_allow_(is_default_allow), rules_(std::move(rules)) {
    for (std::size_t i = 0; i < kResources; ++i) {
        for (const auto& [name, grant] : rules_.by_resource[i].prefix) {
            prefix_lengths_[i].insert(name.size());
        }
    }
}

std::optional<Grant> Authorizer::rule_for(Resource resource, std::string_view name) const {
    const ResourceRules& rules = rules_.of(resource);
    if (rules.all) return rules.all;
    if (const auto exact = rules.exact.find(name); exact != rules.exact.end()) {
        return exact->second;
    }
    const std::set<std::size_t>& lengths = prefix_lengths_[static_cast<std::size_t>(resource)];
    for (auto length = lengths.rbegin(); length != lengths.rend(); ++length) {
        if (*length > name.size()) continue;
        const auto prefix = rules.prefix.find(name.substr(0, *length));
        if (prefix != rules.prefix.end()) return prefix->second;
    }
    return std::nullopt;
}

bool Authorizer::may(Resource resource, Verb verb, std::string_view name) const {
    if (is_all_) return true;
    const std::optional<Grant> rule = rule_for(resource, name);
    if (rule) return grants(*rule, verb);
    // Who may do everything by default may not change who may do what.
    return is_default_allow_ && resource != Resource::acl;
}

bool Authorizer::may_write_all(Resource resource, std::string_view prefix) const {
    if (is_all_) return true;
    const ResourceRules& rules = rules_.of(resource);
    std::optional<Grant> above;
    for (std::size_t length = 0; length <= prefix.size(); ++length) {
        const auto rule = rules.prefix.find(prefix.substr(0, length));
        if (rule != rules.prefix.end()) above = rule->second;
    }
    if (above ? *above != Grant::write : !is_default_allow_) return false;
    const auto allows_below = [&](const std::map<std::string, Grant, std::less<>>& below) {
        for (auto at = below.lower_bound(prefix); at != below.end(); ++at) {
            if (!at->first.starts_with(prefix)) break;
            if (at->second != Grant::write) return false;
        }
        return true;
    };
    return allows_below(rules.exact) && allows_below(rules.prefix);
}

}  // namespace datapunk::mesh::server
