#include "catalog/sessions.h"

#include "core/assert.h"
#include "core/strings.h"

namespace datapunk::mesh::catalog {

std::string_view to_string(SessionBehavior behavior) noexcept {
    return behavior == SessionBehavior::erase ? "delete" : "release";
}

Duration ttl_of(const SessionRow& session) {
    if (session.ttl.empty()) return Duration::zero();
    const auto ttl = core::parse_duration(session.ttl);
    return ttl ? *ttl : Duration::zero();
}

template <class Visit>
void SessionStore::for_each_check(const SessionRow& session, Visit visit) {
    for (const std::string& id : session.node_checks) visit(id);
    for (const std::string& id : session.checks) visit(id);
    for (const SessionServiceCheck& check : session.service_checks) visit(check.id);
}

const SessionRow* SessionStore::get(std::string_view id) const {
    const auto found = sessions_.find(id);
    return found == sessions_.end() ? nullptr : &found->second.row;
}

std::vector<const SessionRow*> SessionStore::all() const {
    std::vector<const SessionRow*> rows;
    rows.reserve(sessions_.size());
    for (const auto& [id, entry] : sessions_) rows.push_back(&entry.row);
    return rows;
}

std::vector<const SessionRow*> SessionStore::of_node(std::string_view node) const {
    std::vector<const SessionRow*> rows;
    for (const std::string& id : ids_of_node(node)) rows.push_back(get(id));
    return rows;
}

std::vector<std::string> SessionStore::ids_of_node(std::string_view node) const {
    const auto found = by_node_.find(node);
    if (found == by_node_.end()) return {};
    return {found->second.begin(), found->second.end()};
}

std::vector<std::string> SessionStore::keys_of(std::string_view id) const {
    const auto found = sessions_.find(id);
    if (found == sessions_.end()) return {};
    return {found->second.keys.begin(), found->second.keys.end()};
}

std::vector<std::string> SessionStore::ids_of_check(
    std::string_view node, std::string_view check_id
) const {
    if (sessions_.empty()) return {};
    const auto found = by_check_.find({std::string(node), std::string(check_id)});
    if (found == by_check_.end()) return {};
    return {found->second.begin(), found->second.end()};
}

void SessionStore::add(SessionRow session, std::uint64_t index) {
    const std::string id = session.id;
    by_node_[session.node].insert(id);
    for_each_check(session, [&](const std::string& check) {
        by_check_[{session.node, check}].insert(id);
    });
    const bool is_new = sessions_.emplace(id, Entry{.row = std::move(session), .keys = {}}).second;
    MESH_ASSERT(is_new);
    index_ = index;
}

std::optional<SessionStore::Ended> SessionStore::remove(std::string_view id, std::uint64_t index) {
    const auto found = sessions_.find(id);
    if (found == sessions_.end()) return std::nullopt;
    Entry entry = std::move(found->second);
    sessions_.erase(found);
    const auto drop = [&](auto& ids_of, const auto& where) {
        const auto at = ids_of.find(where);
        if (at == ids_of.end()) return;  // a check listed twice
        at->second.erase(entry.row.id);
        if (at->second.empty()) ids_of.erase(at);
    };
    drop(by_node_, entry.row.node);
    for_each_check(entry.row, [&](const std::string& check) {
        drop(by_check_, std::pair(entry.row.node, check));
    });
    held_ -= entry.keys.size();
    index_ = index;
    Ended ended{.row = std::move(entry.row), .keys = {}};
    ended.keys.assign(entry.keys.begin(), entry.keys.end());
    return ended;
}

void SessionStore::hold(std::string_view id, const std::string& key) {
    const auto found = sessions_.find(id);
    MESH_ASSERT(found != sessions_.end());
    held_ += found->second.keys.insert(key).second ? 1 : 0;
}

void SessionStore::let_go(std::string_view id, const std::string& key) {
    const auto found = sessions_.find(id);
    if (found != sessions_.end()) held_ -= found->second.keys.erase(key);
}

bool SessionStore::restore(State state, const KvStore::Rows& rows) {
    *this = SessionStore();
    for (SessionRow& session : state.sessions) {
        if (sessions_.contains(session.id)) return false;
        add(std::move(session), state.index);
    }
    for (const auto& [key, row] : rows) {
        if (row.session.empty()) continue;
        if (!sessions_.contains(row.session)) return false;
        hold(row.session, key);
    }
    delays_ = std::move(state.lock_delays);
    index_ = state.index;
    return true;
}

}  // namespace datapunk::mesh::catalog
