#include "catalog/kv.h"

#include <algorithm>

#include "catalog/limits.h"

namespace datapunk::mesh::catalog {

const KvRow* KvStore::get(std::string_view key) const {
    const auto found = rows_.find(key);
    return found == rows_.end() ? nullptr : &found->second;
}

std::vector<KvStore::Item> KvStore::list(std::string_view prefix) const {
    std::vector<Item> items;
    for (auto at = rows_.lower_bound(prefix); at != rows_.end() && at->first.starts_with(prefix);
         ++at) {
        items.push_back({at->first, &at->second});
    }
    return items;
}

std::vector<std::string> KvStore::keys(std::string_view prefix, std::string_view separator) const {
    std::vector<std::string> names;
    for (auto at = rows_.lower_bound(prefix); at != rows_.end() && at->first.starts_with(prefix);) {
        const std::string& key = at->first;
        const std::size_t cut =
            separator.empty() ? std::string::npos : key.find(separator, prefix.size());
        if (cut == std::string::npos) {
            names.push_back(key);
            ++at;
            continue;
        }
        names.push_back(key.substr(0, cut + separator.size()));
        while (at != rows_.end() && at->first.starts_with(names.back())) ++at;
    }
    return names;
}

std::uint64_t KvStore::key_index(std::string_view key) const {
    const KvRow* row = get(key);
    return row != nullptr ? row->index.modified : index_;
}

std::uint64_t KvStore::prefix_index(std::string_view prefix) const {
    if (prefix.empty()) return index_;
    std::uint64_t highest = 0;
    for (auto at = rows_.lower_bound(prefix); at != rows_.end() && at->first.starts_with(prefix);
         ++at) {
        highest = std::max(highest, at->second.index.modified);
    }
    for (auto at = tombstones_.lower_bound(prefix);
         at != tombstones_.end() && at->first.starts_with(prefix);
         ++at) {
        highest = std::max(highest, at->second);
    }
    return highest == 0 ? index_ : std::max(highest, floor_);
}

bool KvStore::put(
    const std::string& key, std::string value, std::uint64_t flags, std::uint64_t index
) {
    KvRow fresh{.value = std::move(value), .flags = flags, .index = {}, .session = {}};
    if (const KvRow* old = get(key); old != nullptr) {
        fresh.lock_index = old->lock_index;
        fresh.session = old->session;
    }
    return set(key, std::move(fresh), index);
}

bool KvStore::set(const std::string& key, KvRow fresh, std::uint64_t index) {
    const auto [at, is_new] = rows_.try_emplace(key);
    KvRow& row = at->second;
    if (is_new) {
        row.index.created = index;
        bytes_ += key.size();
    }
    fresh.index = row.index;
    if (!is_new && fresh == row) return false;
    bytes_ += fresh.value.size() - row.value.size();
    row = std::move(fresh);
    row.index.modified = index;
    index_ = index;
    return true;
}

bool KvStore::erase(const std::string& key, std::uint64_t index) {
    const auto found = rows_.find(key);
    if (found == rows_.end()) return false;
    bytes_ -= key.size() + found->second.value.size();
    rows_.erase(found);
    index_ = index;
    bury(key, index);
    return true;
}

bool KvStore::erase_prefix(
    const std::string& prefix,
    std::uint64_t index,
    const std::function<void(const std::string&)>& removed
) {
    const auto first = rows_.lower_bound(prefix);
    auto last = first;
    for (; last != rows_.end() && last->first.starts_with(prefix); ++last) {
        removed(last->first);
        bytes_ -= last->first.size() + last->second.value.size();
    }
    if (first == last) return false;
    rows_.erase(first, last);
    index_ = index;
    // Older tombstones below would make a longer prefix look older than this deletion.
    auto old = tombstones_.lower_bound(prefix);
    while (old != tombstones_.end() && old->first.starts_with(prefix)) old = tombstones_.erase(old);
    bury(prefix, index);
    return true;
}

void KvStore::bury(const std::string& key, std::uint64_t index) {
    tombstones_.insert_or_assign(key, index);
    burials_.emplace_back(index, key);
    const auto overtaken = [&](const auto& burial) {
        const auto found = tombstones_.find(burial.second);
        return found == tombstones_.end() || found->second != burial.first;
    };
    while (tombstones_.size() > kTombstonesMax) {
        if (!overtaken(burials_.front())) {
            floor_ = burials_.front().first;
            tombstones_.erase(burials_.front().second);
        }
        burials_.pop_front();
    }
    // A key deleted again and again must not grow the queue.
    if (burials_.size() > 2 * kTombstonesMax) std::erase_if(burials_, overtaken);
}

void KvStore::raise_to(std::uint64_t index) {
    for (auto& [key, row] : rows_) row.index.modified = index;
    floor_ = index_ = index;
}

void KvStore::restore(State state) {
    rows_ = std::move(state.rows);
    tombstones_ = std::move(state.tombstones);
    floor_ = state.floor;
    index_ = state.index;
    bytes_ = 0;
    for (const auto& [key, row] : rows_) bytes_ += key.size() + row.value.size();
    burials_.clear();
    for (const auto& [key, index] : tombstones_) burials_.emplace_back(index, key);
    std::sort(burials_.begin(), burials_.end());
}

}  // namespace datapunk::mesh::catalog
