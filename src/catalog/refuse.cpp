#include <fmt/format.h>

#include "catalog/apply.h"
#include "catalog/limits.h"

namespace datapunk::mesh::catalog {

namespace {

Error not_found(std::string what) {
    return {.code = Code::not_found, .what = std::move(what), .source = Source::downstream};
}

// Whoever asks may ask again when the state has changed; answered 500, as Consul does.
Error conflict(std::string what) {
    return {.code = Code::conflict, .what = std::move(what), .source = Source::downstream};
}

Error full(std::string_view table, std::size_t limit) {
    return {
        .code = Code::exhausted,
        .what = fmt::format("the registry is full: it holds {} {} already", limit, table),
        .source = Source::downstream,
    };
}

}  // namespace

Result<> Refuse::need_local() const {
    if (catalog.local_ != nullptr) return Ok{};
    return Error{
        .code = Code::unavailable, .what = "this agent has no node yet", .retryable = true
    };
}

Result<> Refuse::need_service(std::string_view id) const {
    if (Result<> local = need_local(); !local) return local;
    if (catalog.local_->services.contains(id)) return Ok{};
    return not_found(fmt::format(
        "Unknown service ID \"{}\". Ensure that the service ID is passed, not the service name.", id
    ));
}

Result<> Refuse::need_check(std::string_view id) const {
    if (Result<> local = need_local(); !local) return local;
    if (catalog.local_->check_owner.contains(id)) return Ok{};
    return not_found(fmt::format(
        "Unknown check ID \"{}\". Ensure that the check ID is passed, not the check name.", id
    ));
}

// Counts every check of the command as new: near the limit that refuses a little too early.
Result<> Refuse::room_for(
    const CatalogNode* node, const std::string* service_id, std::size_t new_checks
) const {
    if (node == nullptr && catalog.nodes_.size() >= kNodesMax) return full("nodes", kNodesMax);
    if (new_checks > 0 && catalog.check_count_ + new_checks > kChecksMax) {
        return full("checks", kChecksMax);
    }
    if (service_id == nullptr) return Ok{};
    const Instance* instance = nullptr;
    if (node != nullptr) {
        const auto found = node->services.find(*service_id);
        if (found != node->services.end()) instance = &found->second;
    }
    if (instance == nullptr && catalog.service_count_ >= kServicesMax) {
        return full("services", kServicesMax);
    }
    return Ok{};
}

Result<> Refuse::operator()(const SetLocalNode& c) const {
    if (catalog.local_ != nullptr && catalog.local_->row.name != c.node.name) {
        return Error{
            .code = Code::conflict,
            .what = fmt::format(
                "this registry belongs to node \"{}\", not \"{}\"",
                catalog.local_->row.name,
                c.node.name
            ),
        };
    }
    return Ok{};
}

Result<> Refuse::operator()(const RegisterService& c) const {
    if (Result<> local = need_local(); !local) return local;
    const auto found = catalog.local_->services.find(c.service.id);
    if (found != catalog.local_->services.end() && !c.replace_existing_checks) {
        std::size_t total = found->second.checks.size();
        for (const CheckRegistration& check : c.checks) {
            total += found->second.checks.contains(check.check.id) ? 0 : 1;
        }
        if (total > kChecksPerServiceMax)
            return full("checks of this service", kChecksPerServiceMax);
    }
    return room_for(catalog.local_, &c.service.id, c.checks.size());
}

Result<> Refuse::operator()(const DeregisterService& c) const {
    return need_service(c.service_id);
}

Result<> Refuse::operator()(const RegisterCheck& c) const {
    if (Result<> local = need_local(); !local) return local;
    const std::string& service_id = c.check.check.service_id;
    if (!service_id.empty()) {
        const auto found = catalog.local_->services.find(service_id);
        if (found == catalog.local_->services.end()) {
            return not_found(fmt::format("ServiceID \"{}\" does not exist", service_id));
        }
        if (found->second.checks.size() >= kChecksPerServiceMax &&
            !found->second.checks.contains(c.check.check.id)) {
            return full("checks of this service", kChecksPerServiceMax);
        }
    }
    return room_for(catalog.local_, nullptr, 1);
}

Result<> Refuse::operator()(const DeregisterCheck& c) const {
    return need_check(c.check_id);
}

Result<> Refuse::operator()(const UpdateCheck& c) const {
    if (Result<> known = need_check(c.check_id); !known) return known;
    const CheckRef ref = catalog.agent_check(c.check_id);
    if (c.ttl_only && ref.check->definition.kind != CheckKind::ttl) {
        return Error{
            .code = Code::conflict,
            .what = fmt::format("CheckID \"{}\" does not have associated TTL", c.check_id),
            .source = Source::downstream,
        };
    }
    return Ok{};
}

Result<> Refuse::operator()(const ServiceMaintenance& c) const {
    if (Result<> known = need_service(c.service_id); !known) return known;
    return room_for(catalog.local_, nullptr, c.enable ? 1 : 0);
}

Result<> Refuse::operator()(const NodeMaintenance&) const {
    return need_local();
}

Result<> Refuse::operator()(const CatalogRegister& c) const {
    const auto found = catalog.nodes_.find(c.node.name);
    const CatalogNode* node = found == catalog.nodes_.end() ? nullptr : &found->second;
    for (const CheckRow& check : c.checks) {
        if (check.service_id.empty() || (c.service && c.service->id == check.service_id)) continue;
        if (node != nullptr && node->services.contains(check.service_id)) continue;
        return Error{
            .code = Code::invalid,
            .what = fmt::format(
                "Unknown service ID '{}' for check ID '{}'", check.service_id, check.id
            ),
            .source = Source::downstream,
        };
    }
    return room_for(node, c.service ? &c.service->id : nullptr, c.checks.size());
}

Result<> Refuse::operator()(const CatalogDeregister&) const {
    return Ok{};
}

Result<> Refuse::room_for_key(std::string_view key, std::size_t value_bytes) const {
    const KvRow* old = catalog.kv_.get(key);
    if (old == nullptr && catalog.kv_.size() >= kKvKeysMax) return full("keys", kKvKeysMax);
    const std::size_t freed = old == nullptr ? 0 : old->value.size() + key.size();
    if (catalog.kv_.bytes() - freed + key.size() + value_bytes > kKvBytesMax) {
        return full("bytes of keys and values", kKvBytesMax);
    }
    return Ok{};
}

Result<> Refuse::operator()(const KvPut& c) const {
    return room_for_key(c.key, c.value.size());
}

Result<> Refuse::operator()(const KvAcquire& c) const {
    if (catalog.sessions_.get(c.session) == nullptr) {
        return conflict(fmt::format("raft apply failed: invalid session \"{}\"", c.session));
    }
    if (catalog.sessions_.locks() >= kLocksMax) {
        const KvRow* old = catalog.kv_.get(c.key);
        if (old == nullptr || old->session.empty()) return full("locks", kLocksMax);
    }
    return room_for_key(c.key, c.value.size());
}

Result<> Refuse::operator()(const KvRelease& c) const {
    const KvRow* old = catalog.kv_.get(c.key);
    return old == nullptr ? Ok{} : room_for_key(c.key, c.value.size());
}

Result<> Refuse::operator()(const CreateSession& c) const {
    const SessionRow& session = c.session;
    const auto node = catalog.nodes_.find(session.node);
    if (node == catalog.nodes_.end()) return conflict("apply failed: Missing node registration");
    if (catalog.sessions_.get(session.id) != nullptr) {
        return conflict(fmt::format("apply failed: session \"{}\" exists already", session.id));
    }
    if (catalog.sessions_.size() >= kSessionsMax) return full("sessions", kSessionsMax);
    std::vector<std::string> ids = session.node_checks;
    ids.insert(ids.end(), session.checks.begin(), session.checks.end());
    for (const SessionServiceCheck& check : session.service_checks) ids.push_back(check.id);
    for (const std::string& id : ids) {
        const auto owner = node->second.check_owner.find(id);
        if (owner == node->second.check_owner.end()) {
            return conflict(fmt::format("apply failed: Missing check '{}' registration", id));
        }
        const CheckMap& checks = owner->second.empty()
                                     ? node->second.checks
                                     : node->second.services.find(owner->second)->second.checks;
        if (checks.find(id)->second.status == Health::critical) {
            return conflict(fmt::format("apply failed: Check '{}' is in critical state", id));
        }
    }
    return Ok{};
}

Result<> Refuse::operator()(const DestroySession&) const {
    return Ok{};
}

Result<> Refuse::operator()(const RenewSession& c) const {
    if (catalog.sessions_.get(c.session_id) != nullptr) return Ok{};
    return not_found(fmt::format("Session id '{}' not found", c.session_id));
}

Result<> Refuse::operator()(const EndLockDelays&) const {
    return Ok{};
}

Result<> Refuse::operator()(const KvDelete&) const {
    return Ok{};
}

}  // namespace datapunk::mesh::catalog
