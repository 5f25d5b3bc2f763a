#pragma once

// KvStore: the keys and values, with the index of every key, every prefix and the whole table.
//
//     key present   its own modified index
//     key absent    the table's index: never below the write that deleted it
//     prefix        the highest of its keys and of its tombstones; the table's if there are none
//
// A tombstone remembers the index of a deletion; of old ones only the highest index survives
// (floor), which can make a query return once too often but never hides a deletion.
//
// Not thread-safe. O(log n); a prefix costs its keys. Source: Consul agent/consul/state/kvs.go.

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "catalog/rows.h"

namespace datapunk::mesh::catalog {

class KvStore {
  public:
    using Rows = std::map<std::string, KvRow, std::less<>>;

    struct Item {
        std::string_view key;
        const KvRow* row;
    };

    // Rows and keys that these return live until the next write.
    const KvRow* get(std::string_view key) const;
    std::vector<Item> list(std::string_view prefix) const;
    // The keys under prefix; with a separator, cut after its first occurrence behind the prefix.
    std::vector<std::string> keys(std::string_view prefix, std::string_view separator) const;

    std::uint64_t index() const noexcept { return index_; }

    std::uint64_t key_index(std::string_view key) const;
    std::uint64_t prefix_index(std::string_view prefix) const;

    std::size_t size() const noexcept { return rows_.size(); }

    // Bytes of all keys and values together.
    std::size_t bytes() const noexcept { return bytes_; }

    // True if something changed: the same value and flags again do not. A lock stays with its
    // holder.
    bool put(const std::string& key, std::string value, std::uint64_t flags, std::uint64_t index);
    // As put(), with the lock as `fresh` has it; fresh.index is set here.
    bool set(const std::string& key, KvRow fresh, std::uint64_t index);
    // Calls removed(key) for each key that is gone. A whole prefix leaves one tombstone.
    bool erase(const std::string& key, std::uint64_t index);
    bool erase_prefix(
        const std::string& prefix,
        std::uint64_t index,
        const std::function<void(const std::string&)>& removed
    );

    // For the snapshot.
    struct State {
        Rows rows;
        std::map<std::string, std::uint64_t, std::less<>> tombstones;
        std::uint64_t floor = 0;
        std::uint64_t index = 0;
    };
    template <class Archive>
    void save(Archive& out) const {
        out(rows_);
        out(tombstones_);
        out(floor_);
        out(index_);
    }
    void restore(State state);
    // Every key and every prefix counts as changed at this index.
    void raise_to(std::uint64_t index);

  private:
    void bury(const std::string& key, std::uint64_t index);

    Rows rows_;
    std::map<std::string, std::uint64_t, std::less<>> tombstones_;
    std::deque<std::pair<std::uint64_t, std::string>> burials_;  // oldest first, some overtaken
    std::uint64_t floor_ = 0;
    std::uint64_t index_ = 0;
    std::size_t bytes_ = 0;
};

}  // namespace datapunk::mesh::catalog
