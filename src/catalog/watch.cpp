#include "catalog/watch.h"

#include <fmt/format.h>

#include "catalog/catalog.h"
#include "catalog/limits.h"
#include "core/assert.h"

namespace datapunk::mesh::catalog {

Result<WaiterTable::Subscribed> WaiterTable::subscribe(
    const Catalog& catalog, WatchKey key, std::uint64_t index, WaitToken token
) {
    if (catalog.index_of(key) > index) return Subscribed::ready;
    if (keys_.size() >= kWaitersMax) {
        return Error{
            .code = Code::exhausted,
            .what = fmt::format("{} blocking queries wait already", kWaitersMax),
            .retryable = true,
        };
    }
    const bool is_new = keys_.emplace(token, key).second;
    MESH_ASSERT(is_new);
    const auto [at, is_first] = waiters_.try_emplace(std::move(key));
    if (is_first && at->first.topic == WatchTopic::kv_prefix) {
        ++prefix_lengths_[at->first.name.size()];
    }
    at->second.emplace(token, index);
    return Subscribed::waiting;
}

bool WaiterTable::unsubscribe(WaitToken token) {
    const auto found = keys_.find(token);
    if (found == keys_.end()) return false;
    forget(waiters_.find(found->second), token);
    return true;
}

void WaiterTable::forget(std::map<WatchKey, Waiters>::iterator at, WaitToken token) {
    keys_.erase(token);
    at->second.erase(token);
    if (!at->second.empty()) return;
    if (at->first.topic == WatchTopic::kv_prefix) {
        const auto length = prefix_lengths_.find(at->first.name.size());
        if (--length->second == 0) prefix_lengths_.erase(length);
    }
    waiters_.erase(at);
}

void WaiterTable::wake_key(
    const Catalog& catalog, const WatchKey& key, std::vector<WaitToken>& woken
) {
    const auto at = waiters_.find(key);
    if (at == waiters_.end()) return;
    const std::uint64_t index = catalog.index_of(key);
    std::vector<WaitToken> due;
    for (const auto& [token, seen] : at->second) {
        if (index > seen) due.push_back(token);
    }
    woken.insert(woken.end(), due.begin(), due.end());
    for (const WaitToken token : due) {
        // The last one erases the entry; `at` is not used after it.
        forget(at, token);
    }
}

std::vector<WaitToken> WaiterTable::wake(
    const Catalog& catalog, const std::vector<WatchKey>& touched
) {
    std::vector<WaitToken> woken;
    if (keys_.empty()) return woken;
    for (const WatchKey& key : touched) {
        wake_key(catalog, key, woken);
        if (key.topic != WatchTopic::kv_key || prefix_lengths_.empty()) continue;
        std::vector<std::size_t> lengths;  // a copy: waking may end the last wait on a length
        for (const auto& [length, count] : prefix_lengths_) {
            if (length <= key.name.size()) lengths.push_back(length);
        }
        for (const std::size_t length : lengths) {
            wake_key(catalog, {WatchTopic::kv_prefix, key.name.substr(0, length)}, woken);
        }
    }
    return woken;
}

std::vector<WaitToken> WaiterTable::wake_all() {
    std::vector<WaitToken> woken;
    for (const auto& [token, key] : keys_) woken.push_back(token);
    waiters_.clear();
    keys_.clear();
    prefix_lengths_.clear();
    return woken;
}

}  // namespace datapunk::mesh::catalog
