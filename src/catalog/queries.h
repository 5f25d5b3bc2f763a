#pragma once

// QueryStore: prepared queries: a service lookup with its conditions, stored under an id and
// perhaps a name. A value; not thread-safe; O(log queries).

#include <datapunk/mesh/endpoint.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "catalog/rows.h"

namespace datapunk::mesh::catalog {

struct QueryRow {
    std::string id;  // UUID
    std::string name;
    std::string token;  // whose rights the query is run with; empty: the asker's
    std::string service;
    bool only_passing = false;  // else only critical instances are left out
    std::vector<std::string> ignore_checks;
    std::string near;
    std::vector<std::string> tags;  // all of them; "!tag": without it
    Metadata node_meta;
    Metadata service_meta;
    std::string dns_ttl;  // "" or a duration as it was written
    RowIndex index;
    friend bool operator==(const QueryRow&, const QueryRow&) = default;
};

class QueryStore {
  public:
    using Rows = std::map<std::string, QueryRow, std::less<>>;

    // What these return lives until the next write.
    const QueryRow* get(std::string_view id) const;
    const QueryRow* named(std::string_view name) const;

    // By id, or else by name; if no name is spelled so, one that differs in case only.
    const QueryRow* find(std::string_view id_or_name) const;

    const Rows& rows() const noexcept { return rows_; }

    std::uint64_t index() const noexcept { return index_; }

    void raise_to(std::uint64_t index) noexcept { index_ = index; }

    // True if something changed.
    bool put(QueryRow row, std::uint64_t index);
    bool erase(std::string_view id, std::uint64_t index);

    struct State {
        std::vector<QueryRow> rows;
        std::uint64_t index = 0;
    };
    State save() const;
    void restore(State state);

  private:
    Rows rows_;
    std::uint64_t index_ = 0;
};

}  // namespace datapunk::mesh::catalog
