#include "catalog/change_log.h"

#include <algorithm>

namespace datapunk::mesh::catalog {

void ChangeLog::note(
    std::uint64_t index, std::string_view node, std::string_view id, std::size_t instances
) {
    ++notes_;
    if (!entries_.empty()) {
        const Entry& last = entries_.back();
        if (last.index == index && last.id == id && last.node == node) return;
    }
    const std::size_t kept = std::min(kKeptMax, (instances < 16 ? 4 : 16) + instances / 4);
    if (entries_.size() >= kept) {
        // A quarter at a time, so that this is rare; never a part of one index.
        auto end = entries_.begin() + static_cast<std::ptrdiff_t>(entries_.size() - kept * 3 / 4);
        floor_ = (end - 1)->index;
        while (end != entries_.end() && end->index == floor_) ++end;
        entries_.erase(entries_.begin(), end);
    }
    entries_.push_back({index, std::string(node), std::string(id)});
}

}  // namespace datapunk::mesh::catalog
