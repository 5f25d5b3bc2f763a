// The part of Apply that sessions and locks make happen.

#include <algorithm>
#include <utility>

#include "catalog/apply.h"
#include "catalog/limits.h"

namespace datapunk::mesh::catalog {

void Apply::touch_session(const SessionRow& session) {
    outcome_.sessions.push_back(session.id);
    touch(WatchTopic::sessions);
    touch(WatchTopic::session, session.id);
    touch(WatchTopic::session_node, session.node);
}

void Apply::forget_lock(const std::string& key) {
    const KvRow* row = catalog_.kv_.get(key);
    if (row != nullptr && !row->session.empty()) catalog_.sessions_.let_go(row->session, key);
}

void Apply::end_session(const std::string& id) {
    const auto ended = catalog_.sessions_.remove(id, next_);
    if (!ended) return;
    touch_session(ended->row);
    const Duration delay = std::min(ended->row.lock_delay, kLockDelayMax);
    for (const std::string& key : ended->keys) {
        if (ended->row.behavior == SessionBehavior::erase) {
            catalog_.kv_.erase(key, next_);
        } else {
            KvRow freed = *catalog_.kv_.get(key);
            freed.session.clear();
            catalog_.kv_.set(key, std::move(freed), next_);
        }
        touch(WatchTopic::kv_key, key);
        if (delay <= Duration::zero()) continue;
        catalog_.sessions_.delay(key, delay);
        outcome_.lock_delays.push_back(key);
    }
}

void Apply::end_sessions_of_check(std::string_view node, std::string_view check_id) {
    for (const std::string& id : catalog_.sessions_.ids_of_check(node, check_id)) end_session(id);
}

void Apply::operator()(KvAcquire& c) {
    const KvRow* row = catalog_.kv_.get(c.key);
    const bool is_own = row != nullptr && row->session == c.session;
    const bool is_free = row == nullptr || row->session.empty();
    outcome_.accepted = is_own || (is_free && !catalog_.sessions_.is_delayed(c.key));
    if (!outcome_.accepted) return;
    KvRow fresh{.value = std::move(c.value), .flags = c.flags, .index = {}, .session = c.session};
    fresh.lock_index = (row == nullptr ? 0 : row->lock_index) + (is_own ? 0 : 1);
    catalog_.sessions_.hold(c.session, c.key);
    if (catalog_.kv_.set(c.key, std::move(fresh), next_)) touch(WatchTopic::kv_key, c.key);
}

void Apply::operator()(KvRelease& c) {
    const KvRow* row = catalog_.kv_.get(c.key);
    outcome_.accepted = row != nullptr && row->session == c.session;
    if (!outcome_.accepted) return;
    KvRow fresh{.value = std::move(c.value), .flags = c.flags, .index = {}, .session = {}};
    fresh.lock_index = row->lock_index;
    catalog_.sessions_.let_go(c.session, c.key);
    catalog_.kv_.set(c.key, std::move(fresh), next_);
    touch(WatchTopic::kv_key, c.key);
}

void Apply::operator()(CreateSession& c) {
    c.session.index = {next_, next_};
    touch_session(c.session);
    catalog_.sessions_.add(std::move(c.session), next_);
}

void Apply::operator()(DestroySession& c) {
    end_session(c.session_id);
}

void Apply::operator()(RenewSession&) {}

void Apply::operator()(EndLockDelays& c) {
    for (std::string& key : c.keys) {
        if (catalog_.sessions_.end_delay(key)) outcome_.lock_delays.push_back(std::move(key));
    }
}

}  // namespace datapunk::mesh::catalog
