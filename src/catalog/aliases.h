#pragma once

// AliasTable: which checks of the local node are aliases, what each follows, and which have to look
// again because that moved. alias_verdict() says what an alias comes to. An alias is part of the
// state: it changes in the step of the index that changed what it follows, so that nobody ever sees
// the one without the other, and a replay gives the same.
//
//     alias ── of a service of this node       its checks, and this node's
//          ├── of a service of a named node    likewise, of that node
//          └── of a named node                 the checks of the node itself
//
// Passing if there is no check, critical if there is no such service or node. Consul's, but for one
// thing: there an alias that stands among what it follows looks at itself, and once critical stays
// it for ever; here it leaves itself out. (Two that follow each other hold each other, as there.)
// Not thread-safe; the catalog's. Cost: O(log aliases) for each check that changes.
// Source: Consul agent/checks/alias.go.

#include <datapunk/mesh/endpoint.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "catalog/rows.h"

namespace datapunk::mesh::catalog {

class Catalog;

class AliasTable {
  public:
    // `check` is an alias of the local node: known from now on, and due.
    void add(const CheckRow& check);
    void remove(const CheckRow& check);

    // Something about the checks of a service changed, or of a whole node if `service_id` is empty.
    void moved(std::string_view node, bool is_local, std::string_view service_id);

    // The next one that has to look again, in the order of their ids.
    std::optional<std::string> take_due();

    void forget_due() { due_.clear(); }

    std::size_t size() const noexcept { return size_; }

  private:
    using Target = std::pair<std::string, std::string>;  // node (empty: the local one), service id

    void moved_at(std::string_view node, std::string_view service_id);

    std::map<Target, std::set<std::string>> followers_;
    std::set<std::string> due_;
    std::size_t size_ = 0;
};

struct AliasVerdict {
    Health status = Health::passing;
    std::string output;
};

// `alias` is a check of the local node, which there is.
AliasVerdict alias_verdict(const Catalog& catalog, const CheckRow& alias);

}  // namespace datapunk::mesh::catalog
