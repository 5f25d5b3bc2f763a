#include "catalog/queries.h"

#include <utility>

#include "core/strings.h"

namespace datapunk::mesh::catalog {

const QueryRow* QueryStore::get(std::string_view id) const {
    const auto found = rows_.find(id);
    return found == rows_.end() ? nullptr : &found->second;
}

const QueryRow* QueryStore::named(std::string_view name) const {
    if (name.empty()) return nullptr;
    for (const auto& [id, row] : rows_) {
        if (row.name == name) return &row;
    }
    return nullptr;
}

const QueryRow* QueryStore::find(std::string_view id_or_name) const {
    const QueryRow* row = get(id_or_name);
    if (row == nullptr) row = named(id_or_name);
    if (row != nullptr || id_or_name.empty()) return row;
    for (const auto& [id, other] : rows_) {
        if (core::equals_ignoring_case(other.name, id_or_name) ||
            core::equals_ignoring_case(id, id_or_name)) {
            return &other;
        }
    }
    return nullptr;
}

bool QueryStore::put(QueryRow row, std::uint64_t index) {
    const auto [at, is_new] = rows_.try_emplace(row.id);
    if (!is_new) {
        row.index = at->second.index;
        if (row == at->second) return false;
    }
    row.index = {is_new ? index : at->second.index.created, index};
    at->second = std::move(row);
    index_ = index;
    return true;
}

bool QueryStore::erase(std::string_view id, std::uint64_t index) {
    const auto found = rows_.find(id);
    if (found == rows_.end()) return false;
    rows_.erase(found);
    index_ = index;
    return true;
}

QueryStore::State QueryStore::save() const {
    State out{.rows = {}, .index = index_};
    for (const auto& [id, row] : rows_) out.rows.push_back(row);
    return out;
}

void QueryStore::restore(State state) {
    for (QueryRow& row : state.rows) {
        std::string id = row.id;
        rows_.insert_or_assign(std::move(id), std::move(row));
    }
    index_ = state.index;
}

}  // namespace datapunk::mesh::catalog
