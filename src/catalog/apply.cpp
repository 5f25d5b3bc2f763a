#include "catalog/apply.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "catalog/aliases.h"
#include "catalog/limits.h"

namespace datapunk::mesh::catalog {

namespace {

// a == b but for where they stand in the order of writes.
template <class Row>
bool same_content(Row& fresh, const Row& stored) {
    fresh.index = stored.index;
    return fresh == stored;
}

std::string maintenance_id(std::string_view service_id) {
    return service_id.empty() ? "_node_maintenance"
                              : fmt::format("_service_maintenance:{}", service_id);
}

constexpr std::string_view kNoReason =
    "Maintenance mode is enabled for this {}, but no reason was provided. This is a default "
    "message.";

}  // namespace

Apply::Apply(Catalog& catalog, Applied& outcome)
    : catalog_(catalog), outcome_(outcome), next_(catalog.index_ + 1) {}

void Apply::touch(WatchTopic topic, std::string_view name) {
    outcome_.changed = true;
    outcome_.touched.push_back({topic, std::string(name)});
}

void Apply::touch_instance(CatalogNode& node, const ServiceRow& service) {
    note_change(node, service);
    auto& named = catalog_.by_name_.find(service.name)->second;
    named.index = named.health_index = next_;
    node.index = next_;
    catalog_.services_index_ = next_;
    touch(WatchTopic::services);
    touch(WatchTopic::service, service.name);
    touch(WatchTopic::health_service, service.name);
    touch(WatchTopic::node, node.row.name);
}

void Apply::note_change(const CatalogNode& node, const ServiceRow& service) {
    const auto [at, is_new] = catalog_.by_name_.try_emplace(service.name);
    Catalog::NamedService& named = at->second;
    // One that was not there: what came before is not known any more.
    if (is_new || named.health_index == 0) named.changes = ChangeLog(next_);
    named.changes.note(next_, node.row.name, service.id, named.instances.size());
}

void Apply::touch_check(const CatalogNode& node, const ServiceRow* service, const CheckRow& check) {
    catalog_.checks_index_ = next_;
    touch(WatchTopic::health_state, "any");
    touch(WatchTopic::health_state, mesh::to_string(check.status));
    touch(WatchTopic::health_node, node.row.name);
    if (&node == catalog_.local_) outcome_.local_checks.push_back(check.id);
    alias_target_moved(node, service == nullptr ? std::string_view() : service->id);
    const auto touch_health = [&](const ServiceRow& row) {
        note_change(node, row);
        catalog_.by_name_.find(row.name)->second.health_index = next_;
        touch(WatchTopic::health_service, row.name);
    };
    if (service != nullptr) {
        touch_health(*service);
        touch(WatchTopic::health_checks, service->name);
    } else {
        for (const auto& [id, instance] : node.services) touch_health(instance.row);
    }
}

void Apply::alias_target_moved(const CatalogNode& node, std::string_view service_id) {
    catalog_.aliases_.moved(node.row.name, &node == catalog_.local_, service_id);
}

CatalogNode& Apply::put_node(NodeRow row) {
    const auto [at, is_new] = catalog_.nodes_.try_emplace(row.name);
    CatalogNode& node = at->second;
    if (!is_new && same_content(row, node.row)) return node;
    row.index = {is_new ? next_ : node.row.index.created, next_};
    node.row = std::move(row);
    node.index = next_;
    catalog_.nodes_index_ = next_;
    touch(WatchTopic::nodes);
    touch(WatchTopic::node, node.row.name);
    for (const auto& [id, instance] : node.services) touch_instance(node, instance.row);
    return node;
}

Instance& Apply::put_service(CatalogNode& node, ServiceRow row) {
    const auto [at, is_new] = node.services.try_emplace(row.id);
    Instance& instance = at->second;
    if (is_new) {
        ++catalog_.service_count_;
        alias_target_moved(node, row.id);
    } else if (same_content(row, instance.row)) {
        return instance;
    }
    const bool renamed = !is_new && row.name != instance.row.name;
    const bool retagged = !is_new && row.tags != instance.row.tags;
    if (renamed || retagged) rename_or_retag(node, instance);
    if (renamed) unplace(node, instance.row);
    row.index = {is_new ? next_ : instance.row.index.created, next_};
    instance.row = std::move(row);
    catalog_.by_name_[instance.row.name].instances.insert_or_assign(
        {node.row.name, instance.row.id}, Catalog::Placed{&node, &instance}
    );
    touch_instance(node, instance.row);
    if (renamed) touch(WatchTopic::health_checks, instance.row.name);
    return instance;
}

// Checks show their service's name and tags: they change with it.
void Apply::rename_or_retag(CatalogNode& node, Instance& instance) {
    for (auto& [id, check] : instance.checks) {
        check.index.modified = next_;
        touch_check(node, &instance.row, check);
    }
}

void Apply::unplace(CatalogNode& node, const ServiceRow& row) {
    touch_instance(node, row);
    const auto named = catalog_.by_name_.find(row.name);
    named->second.instances.erase({node.row.name, row.id});
    if (named->second.instances.empty()) {
        catalog_.by_name_.erase(named);
        catalog_.service_extinction_ = next_;
    }
}

void Apply::put_check(CatalogNode& node, CheckRow row, bool keep) {
    const auto [owner, is_new] = node.check_owner.try_emplace(row.id, row.service_id);
    if (!is_new && owner->second != row.service_id) {
        remove_check(node, row.id);
        return put_check(node, std::move(row), keep);
    }
    Instance* instance =
        row.service_id.empty() ? nullptr : &node.services.find(row.service_id)->second;
    const ServiceRow* service = instance == nullptr ? nullptr : &instance->row;
    CheckRow& stored = (instance == nullptr ? node.checks : instance->checks)[row.id];
    if (is_new) {
        ++catalog_.check_count_;
    } else {
        if (keep) {
            row.status = stored.status;
            row.output = stored.output;
        }
        if (same_content(row, stored)) return;
        if (row.status != stored.status) {
            touch(WatchTopic::health_state, mesh::to_string(stored.status));
        }
    }
    const bool is_local = &node == catalog_.local_;
    if (!is_new && is_local) catalog_.aliases_.remove(stored);
    row.index = {is_new ? next_ : stored.index.created, next_};
    stored = std::move(row);
    if (is_local && stored.definition.kind == CheckKind::alias) catalog_.aliases_.add(stored);
    touch_check(node, service, stored);
    if (stored.status == Health::critical) end_sessions_of_check(node.row.name, stored.id);
}

void Apply::remove_check(CatalogNode& node, std::string_view id) {
    const auto owner = node.check_owner.find(id);
    if (owner == node.check_owner.end()) return;
    Instance* instance =
        owner->second.empty() ? nullptr : &node.services.find(owner->second)->second;
    CheckMap& checks = instance == nullptr ? node.checks : instance->checks;
    const auto found = checks.find(id);
    touch_check(node, instance == nullptr ? nullptr : &instance->row, found->second);
    if (&node == catalog_.local_) catalog_.aliases_.remove(found->second);
    const std::string gone = found->first;  // `id` may be a view into what goes now
    checks.erase(found);
    node.check_owner.erase(owner);
    --catalog_.check_count_;
    end_sessions_of_check(node.row.name, gone);
}

void Apply::remove_service(CatalogNode& node, std::string_view id) {
    const auto found = node.services.find(id);
    if (found == node.services.end()) return;
    Instance& instance = found->second;
    while (!instance.checks.empty()) {
        remove_check(node, std::string(instance.checks.begin()->first));
    }
    unplace(node, instance.row);
    alias_target_moved(node, instance.row.id);
    node.services.erase(found);
    --catalog_.service_count_;
}

void Apply::remove_node(CatalogNode& node) {
    while (!node.services.empty()) {
        remove_service(node, std::string(node.services.begin()->first));
    }
    while (!node.checks.empty()) remove_check(node, std::string(node.checks.begin()->first));
    const std::string name = node.row.name;
    for (const std::string& id : catalog_.sessions_.ids_of_node(name)) end_session(id);
    catalog_.nodes_.erase(name);
    catalog_.nodes_index_ = catalog_.node_extinction_ = next_;
    touch(WatchTopic::nodes);
    touch(WatchTopic::node, name);
}

void Apply::operator()(SetLocalNode& c) {
    CatalogNode& node = put_node(std::move(c.node));
    catalog_.local_ = &node;
    CheckRow serf;
    serf.id = "serfHealth";
    serf.name = "Serf Health Status";
    serf.status = Health::passing;
    serf.output = "Agent alive and reachable";
    put_check(node, std::move(serf), false);
}

void Apply::operator()(RegisterService& c) {
    CatalogNode& node = *catalog_.local_;
    Instance& instance = put_service(node, std::move(c.service));
    if (c.replace_existing_checks) {
        std::set<std::string, std::less<>> wanted;
        for (const CheckRegistration& check : c.checks) wanted.insert(check.check.id);
        std::vector<std::string> unwanted;
        for (const auto& [id, check] : instance.checks) {
            // A service that announces itself again does not end its operator's maintenance.
            if (check.definition.kind == CheckKind::maintenance) continue;
            if (!wanted.contains(id)) unwanted.push_back(id);
        }
        for (const std::string& id : unwanted) remove_check(node, id);
    }
    for (CheckRegistration& check : c.checks) {
        if (!check.has_status) check.check.status = Health::critical;
        put_check(node, std::move(check.check), true);
    }
}

void Apply::operator()(DeregisterService& c) {
    remove_service(*catalog_.local_, c.service_id);
}

void Apply::operator()(RegisterCheck& c) {
    if (!c.check.has_status) c.check.check.status = Health::critical;
    put_check(*catalog_.local_, std::move(c.check.check), true);
}

void Apply::operator()(DeregisterCheck& c) {
    remove_check(*catalog_.local_, c.check_id);
}

void Apply::operator()(UpdateCheck& c) {
    CatalogNode& node = *catalog_.local_;
    const std::string& owner = node.check_owner.find(c.check_id)->second;
    Instance* instance = owner.empty() ? nullptr : &node.services.find(owner)->second;
    CheckMap& checks = instance == nullptr ? node.checks : instance->checks;
    CheckRow& check = checks.find(c.check_id)->second;
    const bool speaks = check.output != c.output;
    check.output = std::move(c.output);
    if (speaks) note_output(node, instance);
    set_status(node, instance, check, c.status, speaks && c.sync_output);
}

// What is no news and moves no index is found in the next changes all the same.
void Apply::note_output(const CatalogNode& node, const Instance* instance) {
    if (instance != nullptr) return note_change(node, instance->row);
    for (const auto& [id, each] : node.services) note_change(node, each.row);
}

// `speaks`: its output is news as well, also if its status is not.
void Apply::set_status(
    CatalogNode& node, Instance* instance, CheckRow& check, Health status, bool speaks
) {
    const bool flips = check.status != status;
    if (!flips && !speaks) return;
    if (flips) touch(WatchTopic::health_state, mesh::to_string(check.status));
    check.status = status;
    check.index.modified = next_;
    touch_check(node, instance == nullptr ? nullptr : &instance->row, check);
    if (check.status == Health::critical) end_sessions_of_check(node.row.name, check.id);
}

// One alias a turn. A status that stays moves nobody, so chains end; aliases that follow each other
// in a ring settle as well, but nothing proves how soon.
void Apply::follow_aliases() {
    AliasTable& aliases = catalog_.aliases_;
    for (std::size_t turns = 16 * (aliases.size() + 1); turns > 0; --turns) {
        const std::optional<std::string> id = aliases.take_due();
        if (!id) return;
        CatalogNode& node = *catalog_.local_;
        const std::string& owner = node.check_owner.find(*id)->second;
        Instance* instance = owner.empty() ? nullptr : &node.services.find(owner)->second;
        CheckMap& checks = instance == nullptr ? node.checks : instance->checks;
        CheckRow& alias = checks.find(*id)->second;
        AliasVerdict verdict = alias_verdict(catalog_, alias);
        verdict.output.resize(std::min(verdict.output.size(), kOutputBytesMax));
        if (alias.output != verdict.output) note_output(node, instance);
        alias.output = std::move(verdict.output);
        set_status(node, instance, alias, verdict.status, false);
    }
    aliases.forget_due();
}

void Apply::maintain(std::string check_id, std::string_view service_id, std::string reason) {
    CatalogNode& node = *catalog_.local_;
    if (node.check_owner.contains(check_id)) return;  // the first reason stays
    CheckRow check;
    check.id = std::move(check_id);
    check.name = service_id.empty() ? "Node Maintenance Mode" : "Service Maintenance Mode";
    check.service_id = service_id;
    check.definition.kind = CheckKind::maintenance;
    check.notes =
        reason.empty()
            ? fmt::format(fmt::runtime(kNoReason), service_id.empty() ? "node" : "service")
            : std::move(reason);
    put_check(node, std::move(check), false);
}

void Apply::operator()(ServiceMaintenance& c) {
    if (!c.enable) return remove_check(*catalog_.local_, maintenance_id(c.service_id));
    maintain(maintenance_id(c.service_id), c.service_id, std::move(c.reason));
}

void Apply::operator()(NodeMaintenance& c) {
    if (!c.enable) return remove_check(*catalog_.local_, maintenance_id({}));
    maintain(maintenance_id({}), {}, std::move(c.reason));
}

void Apply::operator()(CatalogRegister& c) {
    const auto found = catalog_.nodes_.find(c.node.name);
    CatalogNode& node = found != catalog_.nodes_.end() && c.skip_node_update
                            ? found->second
                            : put_node(std::move(c.node));
    if (c.service) put_service(node, std::move(*c.service));
    for (CheckRow& check : c.checks) {
        if (!is_agents_own(node, check.id)) put_check(node, std::move(check), false);
    }
}

// Checks that this agent runs or was told to expect are its own: what others say of them in the
// catalog does not last in Consul either, where the agent corrects it within two minutes.
bool Apply::is_agents_own(const CatalogNode& node, std::string_view check_id) const {
    if (&node != catalog_.local_) return false;
    const CheckRow* check = catalog_.agent_check(check_id).check;
    return check != nullptr && check->definition.kind != CheckKind::none;
}

void Apply::operator()(CatalogDeregister& c) {
    const auto found = catalog_.nodes_.find(c.node);
    if (found == catalog_.nodes_.end()) return;
    if (!c.service_id.empty()) return remove_service(found->second, c.service_id);
    if (!c.check_id.empty()) return remove_check(found->second, c.check_id);
    // The agent would announce its own node again at once.
    if (&found->second != catalog_.local_) remove_node(found->second);
}

void Apply::operator()(KvPut& c) {
    if (c.cas) {
        const KvRow* row = catalog_.kv_.get(c.key);
        if ((row == nullptr ? 0 : row->index.modified) != *c.cas) {
            outcome_.accepted = false;
            return;
        }
    }
    if (catalog_.kv_.put(c.key, std::move(c.value), c.flags, next_)) {
        touch(WatchTopic::kv_key, c.key);
    }
}

void Apply::operator()(KvDelete& c) {
    if (c.cas) {
        const KvRow* row = catalog_.kv_.get(c.key);
        // As Consul: 0 never matches, an absent key is gone already.
        outcome_.accepted = *c.cas != 0 && (row == nullptr || row->index.modified == *c.cas);
        if (!outcome_.accepted) return;
    }
    if (c.recurse) {
        catalog_.kv_.erase_prefix(c.key, next_, [&](const std::string& key) {
            forget_lock(key);
            touch(WatchTopic::kv_key, key);
        });
        return;
    }
    forget_lock(c.key);
    if (catalog_.kv_.erase(c.key, next_)) touch(WatchTopic::kv_key, c.key);
}

}  // namespace datapunk::mesh::catalog
