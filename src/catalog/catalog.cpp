#include "catalog/catalog.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "catalog/apply.h"
#include "catalog/fields.h"
#include "catalog/limits.h"

namespace datapunk::mesh::catalog {

namespace {

bool has_tags(const std::vector<std::string>& have, const std::vector<std::string>& want) {
    return std::all_of(want.begin(), want.end(), [&](const std::string& tag) {
        return std::find(have.begin(), have.end(), tag) != have.end();
    });
}

std::uint64_t at_least_one(std::uint64_t index) {
    return std::max<std::uint64_t>(index, 1);
}

// Every check of the node, its own first, then by service.
template <class Visit>
void for_each_check(const CatalogNode& node, Visit visit) {
    for (const auto& [id, check] : node.checks) visit(CheckRef{&node, nullptr, &check});
    for (const auto& [id, instance] : node.services) {
        for (const auto& [check_id, check] : instance.checks) {
            visit(CheckRef{&node, &instance.row, &check});
        }
    }
}

}  // namespace

bool contains_all(const Metadata& have, const Metadata& want) {
    return std::all_of(want.begin(), want.end(), [&](const auto& pair) {
        const auto found = have.find(pair.first);
        return found != have.end() && found->second == pair.second;
    });
}

Health InstanceRef::health() const noexcept {
    Health worst = Health::passing;
    for (const auto& [id, check] : node->checks) worst = std::max(worst, check.status);
    for (const auto& [id, check] : instance->checks) worst = std::max(worst, check.status);
    return worst;
}

Result<> Catalog::check(const Command& command) const {
    return std::visit(Refuse{*this}, command);
}

Result<Applied> Catalog::apply(Command command) {
    if (Result<> ready = prepare(command, Duration::zero()); !ready)
        return std::move(ready).error();
    if (Result<> allowed = check(command); !allowed) return std::move(allowed).error();
    Applied outcome;
    Apply apply(*this, outcome);
    std::visit([&](auto& c) { apply(c); }, command);
    apply.follow_aliases();
    if (outcome.changed) ++index_;
    outcome.index = index_;
    std::sort(outcome.touched.begin(), outcome.touched.end());
    outcome.touched.erase(
        std::unique(outcome.touched.begin(), outcome.touched.end()), outcome.touched.end()
    );
    return outcome;
}

std::vector<std::string> Catalog::local_checks() const {
    std::vector<std::string> ids;
    if (local_ == nullptr) return ids;
    for (const auto& [id, owner] : local_->check_owner) ids.push_back(id);
    return ids;
}

const Catalog::NamedService* Catalog::named(std::string_view name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : &found->second;
}

std::uint64_t Catalog::absent_service_index() const {
    return at_least_one(service_extinction_);
}

std::uint64_t Catalog::index_of(const WatchKey& key) const {
    switch (key.topic) {
        case WatchTopic::services:
            return at_least_one(services_index_);
        case WatchTopic::nodes:
            return at_least_one(nodes_index_);
        case WatchTopic::node: {
            const auto found = nodes_.find(key.name);
            return found == nodes_.end() ? at_least_one(node_extinction_) : found->second.index;
        }
        case WatchTopic::service: {
            const NamedService* found = named(key.name);
            return found == nullptr ? absent_service_index() : found->index;
        }
        case WatchTopic::health_service:
        case WatchTopic::health_checks: {
            const NamedService* found = named(key.name);
            return found == nullptr ? absent_service_index() : found->health_index;
        }
        case WatchTopic::health_state:
        case WatchTopic::health_node:
            return at_least_one(checks_index_);
        case WatchTopic::kv_key:
            return at_least_one(kv_.key_index(key.name));
        case WatchTopic::acl:
            return at_least_one(acl_.index());
        case WatchTopic::queries:
            return at_least_one(queries_.index());
        case WatchTopic::kv_prefix:
            return at_least_one(kv_.prefix_index(key.name));
        case WatchTopic::sessions:
        case WatchTopic::session:
        case WatchTopic::session_node:
            return at_least_one(sessions_.index());
        case WatchTopic::events:
            return at_least_one(events_.index());
    }
    return 1;
}

Indexed<std::map<std::string_view, std::vector<std::string_view>>> Catalog::services(
    const Metadata& node_meta
) const {
    std::map<std::string_view, std::vector<std::string_view>> data;
    for (const auto& [name, service] : by_name_) {
        std::vector<std::string_view> tags;
        bool any = false;
        for (const auto& [where, placed] : service.instances) {
            if (!contains_all(placed.node->row.meta, node_meta)) continue;
            any = true;
            const auto& own = placed.instance->row.tags;
            tags.insert(tags.end(), own.begin(), own.end());
        }
        if (!any) continue;
        std::sort(tags.begin(), tags.end());
        tags.erase(std::unique(tags.begin(), tags.end()), tags.end());
        data.emplace_hint(data.end(), name, std::move(tags));
    }
    return {at_least_one(services_index_), std::move(data)};
}

std::vector<InstanceRef> Catalog::select(std::string_view name, const ServiceFilter& filter) const {
    std::vector<InstanceRef> chosen;
    const NamedService* found = named(name);
    if (found == nullptr) return chosen;
    chosen.reserve(found->instances.size());
    for (const auto& [where, placed] : found->instances) {
        const InstanceRef ref{placed.node, placed.instance};
        if (matches(ref, filter)) chosen.push_back(ref);
    }
    return chosen;
}

bool Catalog::matches(const InstanceRef& ref, const ServiceFilter& filter) {
    return has_tags(ref.instance->row.tags, filter.tags) &&
           contains_all(ref.node->row.meta, filter.node_meta) &&
           (!filter.passing_only || ref.health() == Health::passing);
}

std::size_t Catalog::instances_of(std::string_view name) const {
    const NamedService* found = named(name);
    return found == nullptr ? 0 : found->instances.size();
}

std::uint64_t Catalog::notes_of(std::string_view name) const {
    const NamedService* found = named(name);
    return found == nullptr ? 0 : found->changes.notes();
}

std::optional<ServiceChanges> Catalog::health_changes(std::string_view name, std::uint64_t since)
    const {
    const NamedService* found = named(name);
    if (found == nullptr || since > found->health_index || !found->changes.reaches(since)) {
        return std::nullopt;
    }
    std::set<std::pair<std::string_view, std::string_view>> touched;
    found->changes.for_each_since(since, [&](const ChangeLog::Entry& entry) {
        touched.emplace(entry.node, entry.id);
    });
    ServiceChanges out;
    for (const auto& [node, id] : touched) {
        const auto at = found->instances.find(std::pair(std::string(node), std::string(id)));
        if (at == found->instances.end()) {
            out.gone.emplace_back(node, id);
        } else {
            out.changed.push_back({at->second.node, at->second.instance});
        }
    }
    return out;
}

Indexed<std::vector<InstanceRef>> Catalog::service(
    std::string_view name, const ServiceFilter& filter
) const {
    const NamedService* found = named(name);
    return {found == nullptr ? absent_service_index() : found->index, select(name, filter)};
}

Indexed<std::vector<InstanceRef>> Catalog::health_service(
    std::string_view name, const ServiceFilter& filter
) const {
    const NamedService* found = named(name);
    return {found == nullptr ? absent_service_index() : found->health_index, select(name, filter)};
}

Indexed<std::vector<const CatalogNode*>> Catalog::nodes(const Metadata& node_meta) const {
    std::vector<const CatalogNode*> data;
    for (const auto& [name, node] : nodes_) {
        if (contains_all(node.row.meta, node_meta)) data.push_back(&node);
    }
    return {at_least_one(nodes_index_), std::move(data)};
}

Indexed<const CatalogNode*> Catalog::node(std::string_view name) const {
    const auto found = nodes_.find(name);
    if (found == nodes_.end()) return {at_least_one(node_extinction_), nullptr};
    return {found->second.index, &found->second};
}

Indexed<std::vector<CheckRef>> Catalog::health_checks(std::string_view service) const {
    const NamedService* found = named(service);
    if (found == nullptr) return {absent_service_index(), {}};
    std::vector<CheckRef> data;
    for (const auto& [where, placed] : found->instances) {
        for (const auto& [id, check] : placed.instance->checks) {
            data.push_back({placed.node, &placed.instance->row, &check});
        }
    }
    return {found->health_index, std::move(data)};
}

Indexed<std::vector<CheckRef>> Catalog::health_state(std::string_view state) const {
    std::vector<CheckRef> data;
    for (const auto& [name, node] : nodes_) {
        for_each_check(node, [&](const CheckRef& ref) {
            if (state == "any" || state == mesh::to_string(ref.check->status)) data.push_back(ref);
        });
    }
    return {at_least_one(checks_index_), std::move(data)};
}

Indexed<std::vector<CheckRef>> Catalog::health_node(std::string_view node) const {
    std::vector<CheckRef> data;
    if (const auto found = nodes_.find(node); found != nodes_.end()) {
        for_each_check(found->second, [&](const CheckRef& ref) { data.push_back(ref); });
    }
    return {at_least_one(checks_index_), std::move(data)};
}

const Instance* Catalog::agent_service(std::string_view id) const {
    if (local_ == nullptr) return nullptr;
    const auto found = local_->services.find(id);
    return found == local_->services.end() ? nullptr : &found->second;
}

CheckRef Catalog::agent_check(std::string_view id) const {
    if (local_ == nullptr) return {nullptr, nullptr, nullptr};
    const auto owner = local_->check_owner.find(id);
    if (owner == local_->check_owner.end()) return {local_, nullptr, nullptr};
    if (owner->second.empty()) return {local_, nullptr, &local_->checks.find(id)->second};
    const Instance& instance = local_->services.find(owner->second)->second;
    return {local_, &instance.row, &instance.checks.find(id)->second};
}

Indexed<std::vector<const SessionRow*>> Catalog::sessions() const {
    return {at_least_one(sessions_.index()), sessions_.all()};
}

Indexed<std::vector<const SessionRow*>> Catalog::node_sessions(std::string_view node) const {
    return {at_least_one(sessions_.index()), sessions_.of_node(node)};
}

Indexed<const SessionRow*> Catalog::session(std::string_view id) const {
    return {at_least_one(sessions_.index()), sessions_.get(id)};
}

Indexed<const KvRow*> Catalog::kv_get(std::string_view key) const {
    return {at_least_one(kv_.key_index(key)), kv_.get(key)};
}

Indexed<std::vector<KvStore::Item>> Catalog::kv_list(std::string_view prefix) const {
    return {at_least_one(kv_.prefix_index(prefix)), kv_.list(prefix)};
}

Indexed<std::vector<std::string>> Catalog::kv_keys(
    std::string_view prefix, std::string_view separator
) const {
    return {at_least_one(kv_.prefix_index(prefix)), kv_.keys(prefix, separator)};
}

}  // namespace datapunk::mesh::catalog
