#pragma once

// FakeEtcdStore: what an etcd knows: keys with revisions, their history until it is compacted, and
// leases that keys hang on. No network and no clock: fake_etcd.h has them. For tests only.

#include <datapunk/mesh/time.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace datapunk::mesh::registry::etcd {

class FakeEtcdStore {
  public:
    struct Value {
        std::string bytes;
        std::uint64_t mod_revision = 0;
        std::string lease;
    };

    struct Event {
        std::uint64_t revision = 0;
        std::string key;
        std::string bytes;
        bool is_delete = false;
    };

    struct Lease {
        Duration ttl{};
        Instant ends{};
    };

    using Keys = std::map<std::string, Value>;

    void put(const std::string& key, const std::string& bytes, const std::string& lease = {}) {
        put_at(++revision, key, bytes, lease);
    }

    void remove(const std::string& key) {
        if (keys.contains(key)) remove_at(++revision, key);
    }

    void compact() {
        compacted = revision;
        history.clear();
    }

    Keys keys;
    std::uint64_t revision = 1;
    std::uint64_t compacted = 0;
    std::string cluster = "77";
    std::vector<Event> history;
    std::map<std::string, Lease> leases;

  protected:
    // As a step of the transaction that has this revision.
    void put_at(
        std::uint64_t at, const std::string& key, const std::string& bytes, const std::string& lease
    ) {
        keys[key] = {bytes, at, lease};
        note({at, key, bytes, false});
    }

    void remove_at(std::uint64_t at, const std::string& key) {
        if (keys.erase(key) > 0) note({at, key, {}, true});
    }

    // From `from` to before `end`, or just `from` without one.
    std::vector<std::pair<std::string, Value>> select(
        const std::string& from, const std::string& end, bool newest_first
    ) const {
        std::vector<std::pair<std::string, Value>> out;
        for (const auto& [key, value] : keys) {
            if (end.empty() ? key == from : key >= from && key < end) out.emplace_back(key, value);
        }
        if (newest_first) {
            std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) {
                return a.second.mod_revision > b.second.mod_revision;
            });
        }
        return out;
    }

    std::string grant(Duration ttl, Instant now) {
        const std::string id = std::to_string(++last_lease_);
        leases[id] = {ttl, now + ttl};
        return id;
    }

    // Whether it was there still.
    bool renew(const std::string& id, Instant now) {
        const auto at = leases.find(id);
        if (at == leases.end()) return false;
        at->second.ends = now + at->second.ttl;
        return true;
    }

    void revoke(const std::string& id) {
        leases.erase(id);
        std::vector<std::string> gone;
        for (const auto& [key, value] : keys) {
            if (value.lease == id) gone.push_back(key);
        }
        for (const std::string& key : gone) remove(key);
    }

    void expire(Instant now) {
        std::vector<std::string> over;
        for (const auto& [id, lease] : leases) {
            if (lease.ends <= now) over.push_back(id);
        }
        for (const std::string& id : over) revoke(id);
    }

    std::function<void()> on_change_;

  private:
    void note(Event event) {
        history.push_back(std::move(event));
        if (on_change_) on_change_();
    }

    std::uint64_t last_lease_ = 0;
};

}  // namespace datapunk::mesh::registry::etcd
