#pragma once

// SessionStore: the sessions, which keys each holds, which of their checks may end them, and the
// keys that are protected by a lock delay.
//
//     session ──> keys it holds (KvRow::session says the same)
//        │
//        └─ ends ─> release: keys freed / delete: keys gone; then for lock_delay nobody can lock
//                   them, so that a holder that does not know yet finishes what it does
//
// Consul keeps lock delays in the leader's memory and forgets them when it restarts; here they are
// state like any other: SessionTimers (session_timers.h) ends them through the log.
//
// Not thread-safe. O(log n) each. Source: Consul agent/consul/state/session.go, delay_oss.go.

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "catalog/kv.h"
#include "catalog/rows.h"

namespace datapunk::mesh::catalog {

class SessionStore {
  public:
    using Delays = std::map<std::string, Duration, std::less<>>;  // key -> how long

    struct Ended {
        SessionRow row;
        std::vector<std::string> keys;
    };

    const SessionRow* get(std::string_view id) const;
    std::vector<const SessionRow*> all() const;
    std::vector<const SessionRow*> of_node(std::string_view node) const;
    std::vector<std::string> ids_of_node(std::string_view node) const;
    std::vector<std::string> keys_of(std::string_view id) const;
    std::vector<std::string> ids_of_check(std::string_view node, std::string_view check_id) const;

    std::uint64_t index() const noexcept { return index_; }

    void raise_to(std::uint64_t index) noexcept { index_ = index; }

    std::size_t size() const noexcept { return sessions_.size(); }

    // Keys locked or within their delay.
    std::size_t locks() const noexcept { return held_ + delays_.size(); }

    const Delays& lock_delays() const noexcept { return delays_; }

    bool is_delayed(std::string_view key) const { return delays_.contains(key); }

    // The id is new.
    void add(SessionRow session, std::uint64_t index);
    std::optional<Ended> remove(std::string_view id, std::uint64_t index);
    void hold(std::string_view id, const std::string& key);
    void let_go(std::string_view id, const std::string& key);

    void delay(const std::string& key, Duration delay) { delays_.insert_or_assign(key, delay); }

    bool end_delay(const std::string& key) { return delays_.erase(key) > 0; }

    // For the snapshot. Who holds what is in the keys' rows.
    struct State {
        std::vector<SessionRow> sessions;
        Delays lock_delays;
        std::uint64_t index = 0;
    };
    template <class Archive>
    void save(Archive& out) const {
        out(std::uint64_t{sessions_.size()});
        for (const auto& [id, entry] : sessions_) out(entry.row);
        out(delays_);
        out(index_);
    }
    // False if an id comes twice or a key is locked by a session that does not exist.
    [[nodiscard]] bool restore(State state, const KvStore::Rows& rows);

  private:
    struct Entry {
        SessionRow row;
        std::set<std::string, std::less<>> keys;
    };
    using Ids = std::set<std::string, std::less<>>;

    template <class Visit>
    static void for_each_check(const SessionRow& session, Visit visit);

    std::map<std::string, Entry, std::less<>> sessions_;
    std::map<std::string, Ids, std::less<>> by_node_;
    std::map<std::pair<std::string, std::string>, Ids> by_check_;  // of node and check
    Delays delays_;
    std::size_t held_ = 0;
    std::uint64_t index_ = 0;
};

}  // namespace datapunk::mesh::catalog
